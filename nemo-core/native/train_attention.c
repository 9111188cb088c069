/* Causal attention both ways, for training: each query sees the keys from its own `start` to itself, so that packed
   documents and windows cost what they see.

   B batch, T position, H query heads, K key heads, G = H/K, D head width, V value width; P: rounded up to a whole vector.
   A thread takes a key head of a batch row with all of its queries, in blocks of BLOCK; scores of a block exist at once
   (Rabe and Staats 2021), and are made again on the way back (Dao et al. 2022). No sum depends on threads. */
#include <math.h>
#include <stdlib.h>

#include "functions.h"
#include "share.h"
#include "train_multiply.h"

typedef struct {
    const float *q, *k, *v, *grad, *out; /* [B, T, H or K, D or V] */
    const int64_t *start_BT;
    float *mixed, *log_sum_BHT, *grad_q, *grad_k, *grad_v;
    int64_t length, kv_heads, groups, width, value_width;
    float scale;
} Attention;

/* Room for one key head and one block of its queries; P: padded widths, S: padded length. */
typedef struct {
    int64_t length, width, value_width; /* padded; a length that is no power of two, so that rows do not evict rows */
    float *k_across, *v_across;         /* [S/PANEL, D or V, PANEL] */
    float *k_SD, *v_SV, *grad_k_SD, *grad_v_SV;
    float *score, *slope; /* [BLOCK, S] */
    float *q_D, *grad_V, *wide;  /* [BLOCK, P] */
} Room;

/* A block of queries: its first one, how many, and the keys that any of them sees. */
typedef struct {
    int64_t first, count, low, high;
} Block;

static int64_t up_to(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

static Room make_room(const Attention *task) {
    Room room = {up_to(task->length, PANEL) + LANES, up_to(task->width, LANES), up_to(task->value_width, LANES)};
    int64_t wider = room.width > room.value_width ? room.width : room.value_width;
    float **parts[] = {&room.k_across, &room.v_across, &room.k_SD, &room.v_SV, &room.grad_k_SD, &room.grad_v_SV,
                       &room.score, &room.slope, &room.q_D, &room.grad_V, &room.wide};
    int64_t sizes[] = {room.length * room.width, room.length * room.value_width, room.length * room.width,
                       room.length * room.value_width, room.length * room.width, room.length * room.value_width,
                       BLOCK * room.length, BLOCK * room.length, BLOCK * room.width, BLOCK * room.value_width,
                       BLOCK * wider};
    int64_t total = 0;
    for (int part = 0; part < 11; part++) total += sizes[part];
    float *place = aligned_alloc(sizeof(Floats), (size_t)total * sizeof(float));
    if (place == NULL) abort();
    for (int part = 0; part < 11; place += sizes[part], part++) *parts[part] = place;
    return room;
}

/* Rows of `width` numbers, `stride` apart, side by side and filled up with zeros to `padded`. */
static void gather(float *to, const float *from, int64_t rows, int64_t stride, int64_t width, int64_t padded) {
    for (int64_t row = 0; row < rows; row++) {
        memcpy(to + row * padded, from + row * stride, (size_t)width * sizeof(float));
        memset(to + row * padded + width, 0, (size_t)(padded - width) * sizeof(float));
    }
}

static void scatter(float *to, const float *from, int64_t rows, int64_t stride, int64_t width, int64_t padded) {
    for (int64_t row = 0; row < rows; row++)
        memcpy(to + row * stride, from + row * padded, (size_t)width * sizeof(float));
}

/* Transposed in panels of PANEL rows: what stands below each other lies side by side; zeros fill the last panel. */
static void turn_across(float *to, const float *from, int64_t rows, int64_t stride, int64_t width) {
    for (int64_t first = 0; first < rows; first += PANEL, to += width * PANEL)
        for (int64_t j = 0; j < PANEL; j++)
            for (int64_t i = 0; i < width; i++)
                to[i * PANEL + j] = first + j < rows ? from[(first + j) * stride + i] : 0.0f;
}

static Block block_at(const Attention *task, int64_t batch, int64_t first) {
    int64_t left = task->length - first, count = left < BLOCK ? left : BLOCK;
    Block block = {first, count, first, first + count};
    for (int64_t i = 0; i < count; i++) {
        int64_t start = task->start_BT[batch * task->length + first + i];
        if (start < block.low) block.low = start;
    }
    block.low = block.low / PANEL * PANEL;
    return block;
}

/* Products of a block's rows with all keys or values that it sees, [BLOCK, S]; columns are those of the whole row. */
static void match(float *score, const Room *room, const float *row, int64_t stride, const float *across, int64_t width,
                  Block block) {
    for (int64_t key = block.low; key < block.high; key += PANEL)
        multiply((Product){score + key, room->length, row, stride, 1, across + key * width, PANEL}, block.count, PANEL,
                 width, true);
}

/* Nothing is seen before `start` and after `last`, of the columns from low to the whole panel that holds high. */
static void hide(float *score, Block block, int64_t start, int64_t last) {
    int64_t end = up_to(block.high, PANEL);
    for (int64_t key = block.low; key < start; key++) score[key] = -INFINITY;
    for (int64_t key = last + 1; key < end; key++) score[key] = -INFINITY;
}

/* e**(scale * score - subtracted) in place, 0 where nothing is seen; their sum. */
static float raise(float *score, Block block, float scale, float subtracted) {
    Floats total = {0};
    for (int64_t key = block.low; key < up_to(block.high, PANEL); key += LANES) {
        Floats value = load(score + key);
        Floats weight = choose(value == -INFINITY, all(0.0f), exponential(value * scale - subtracted));
        store(score + key, weight);
        total += weight;
    }
    return sum_of(total);
}

static float most_of(const float *score, Block block) {
    Floats most = all(-INFINITY);
    for (int64_t key = block.low; key < up_to(block.high, PANEL); key += LANES) most = larger(load(score + key), most);
    return largest_of(most);
}

/* Softmax of each row in place; logarithms of the sums in `log_sum`. */
static void weigh(const Attention *task, const Room *room, Block block, const int64_t *start, float *log_sum) {
    for (int64_t i = 0; i < block.count; i++) {
        float *score = room->score + i * room->length;
        hide(score, block, start[i], block.first + i);
        float most = most_of(score, block) * task->scale, sum = raise(score, block, task->scale, most);
        Floats factor = all(1.0f / sum);
        for (int64_t key = block.low; key < up_to(block.high, PANEL); key += LANES)
            store(score + key, load(score + key) * factor);
        log_sum[i] = most + logf(sum);
    }
}

/* Where the numbers of a head of a batch row begin, in a tensor of `heads` heads. */
static int64_t place_of(const Attention *task, int64_t batch, int64_t head, int64_t heads, int64_t width) {
    return (batch * task->length * heads + head) * width;
}

static void forth_block(const Attention *task, const Room *room, int64_t batch, int64_t head, Block block) {
    int64_t heads = task->kv_heads * task->groups, width = task->width, value_width = task->value_width;
    const int64_t *start = task->start_BT + batch * task->length + block.first;
    const float *q = task->q + place_of(task, batch, head, heads, width) + block.first * heads * width;
    float *mixed = task->mixed + place_of(task, batch, head, heads, value_width) + block.first * heads * value_width;
    match(room->score, room, q, heads * width, room->k_across, width, block);
    weigh(task, room, block, start, task->log_sum_BHT + (batch * heads + head) * task->length + block.first);
    Product product = {room->wide, room->value_width, room->score + block.low, room->length, 1,
                       room->v_SV + block.low * room->value_width, room->value_width};
    multiply(product, block.count, room->value_width, block.high - block.low, true);
    scatter(mixed, room->wide, block.count, heads * value_width, value_width, room->value_width);
}

static void forth_heads(const void *given, int64_t first, int64_t last) {
    const Attention *task = given;
    Room room = make_room(task);
    int64_t stride = task->kv_heads * task->width, value_stride = task->kv_heads * task->value_width;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t batch = unit / task->kv_heads, kv_head = unit % task->kv_heads;
        const float *k = task->k + place_of(task, batch, kv_head, task->kv_heads, task->width);
        const float *v = task->v + place_of(task, batch, kv_head, task->kv_heads, task->value_width);
        turn_across(room.k_across, k, task->length, stride, task->width);
        gather(room.v_SV, v, task->length, value_stride, task->value_width, room.value_width);
        for (int64_t head = kv_head * task->groups; head < (kv_head + 1) * task->groups; head++)
            for (int64_t query = 0; query < task->length; query += BLOCK)
                forth_block(task, &room, batch, head, block_at(task, batch, query));
    }
    free(room.k_across);
}

static float match_rows(const float *left, const float *right, int64_t width) {
    Floats total = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) total += load(left + i) * load(right + i);
    if (i < width) total += load_some(left + i, width - i) * load_some(right + i, width - i);
    return sum_of(total);
}

/* Weights again from the scores, and the slopes by scores from those by weights, both in place. */
static void slope_back(const Attention *task, const Room *room, Block block, const int64_t *start, const float *log_sum,
                       const float *out, int64_t stride) {
    for (int64_t i = 0; i < block.count; i++) {
        float *score = room->score + i * room->length, *slope = room->slope + i * room->length;
        hide(score, block, start[i], block.first + i);
        raise(score, block, task->scale, log_sum[i]);
        float pull = match_rows(room->grad_V + i * room->value_width, out + i * stride, task->value_width);
        for (int64_t key = block.low; key < up_to(block.high, PANEL); key += LANES)
            store(slope + key, load(score + key) * (load(slope + key) - pull) * task->scale);
    }
}

static void back_block(const Attention *task, const Room *room, int64_t batch, int64_t head, Block block) {
    int64_t heads = task->kv_heads * task->groups, stride = heads * task->width, value_stride = heads * task->value_width;
    int64_t seen = block.high - block.low, padded = room->width, value_padded = room->value_width;
    int64_t at = place_of(task, batch, head, heads, task->width) + block.first * stride;
    int64_t value_at = place_of(task, batch, head, heads, task->value_width) + block.first * value_stride;
    gather(room->q_D, task->q + at, block.count, stride, task->width, padded);
    gather(room->grad_V, task->grad + value_at, block.count, value_stride, task->value_width, value_padded);
    match(room->score, room, room->q_D, padded, room->k_across, task->width, block);
    match(room->slope, room, room->grad_V, value_padded, room->v_across, task->value_width, block);
    slope_back(task, room, block, task->start_BT + batch * task->length + block.first,
               task->log_sum_BHT + (batch * heads + head) * task->length + block.first, task->out + value_at,
               value_stride);
    float *score = room->score + block.low, *slope = room->slope + block.low;
    multiply((Product){room->grad_v_SV + block.low * value_padded, value_padded, score, 1, room->length, room->grad_V,
                       value_padded}, seen, value_padded, block.count, false);
    multiply((Product){room->grad_k_SD + block.low * padded, padded, slope, 1, room->length, room->q_D, padded}, seen,
             padded, block.count, false);
    multiply((Product){room->wide, padded, slope, room->length, 1, room->k_SD + block.low * padded, padded},
             block.count, padded, seen, true);
    scatter(task->grad_q + at, room->wide, block.count, stride, task->width, padded);
}

static void back_heads(const void *given, int64_t first, int64_t last) {
    const Attention *task = given;
    Room room = make_room(task);
    int64_t stride = task->kv_heads * task->width, value_stride = task->kv_heads * task->value_width;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t batch = unit / task->kv_heads, kv_head = unit % task->kv_heads;
        int64_t at = place_of(task, batch, kv_head, task->kv_heads, task->width);
        int64_t value_at = place_of(task, batch, kv_head, task->kv_heads, task->value_width);
        turn_across(room.k_across, task->k + at, task->length, stride, task->width);
        turn_across(room.v_across, task->v + value_at, task->length, value_stride, task->value_width);
        gather(room.k_SD, task->k + at, task->length, stride, task->width, room.width);
        memset(room.grad_k_SD, 0, (size_t)(task->length * room.width) * sizeof(float));
        memset(room.grad_v_SV, 0, (size_t)(task->length * room.value_width) * sizeof(float));
        for (int64_t head = kv_head * task->groups; head < (kv_head + 1) * task->groups; head++)
            for (int64_t query = 0; query < task->length; query += BLOCK)
                back_block(task, &room, batch, head, block_at(task, batch, query));
        scatter(task->grad_k + at, room.grad_k_SD, task->length, stride, task->width, room.width);
        scatter(task->grad_v + value_at, room.grad_v_SV, task->length, value_stride, task->value_width,
                room.value_width);
    }
    free(room.k_across);
}

/* softmax(scale * q k^T) v over the keys from each query's start to itself, and the logarithms of softmax's sums. */
EXPORT void nemo_train_attend(const float *q, const float *k, const float *v, const int64_t *start_BT, float *mixed,
                              float *log_sum_BHT, int64_t batch, int64_t length, int64_t kv_heads, int64_t groups,
                              int64_t width, int64_t value_width, float scale) {
    Attention task = {.q = q, .k = k, .v = v, .start_BT = start_BT, .mixed = mixed, .log_sum_BHT = log_sum_BHT,
                      .length = length, .kv_heads = kv_heads, .groups = groups, .width = width,
                      .value_width = value_width, .scale = scale};
    share(forth_heads, &task, batch * kv_heads, batch * kv_heads * groups * length * (width + value_width) * 4);
}

/* Gradients of q, k and v; `out` and `log_sum_BHT` are what nemo_train_attend gave, `grad` is the gradient of `out`. */
EXPORT void nemo_train_attend_back(const float *q, const float *k, const float *v, const int64_t *start_BT,
                                   const float *out, const float *log_sum_BHT, const float *grad, float *grad_q,
                                   float *grad_k, float *grad_v, int64_t batch, int64_t length, int64_t kv_heads,
                                   int64_t groups, int64_t width, int64_t value_width, float scale) {
    Attention task = {.q = q, .k = k, .v = v, .grad = grad, .out = out, .start_BT = start_BT,
                      .log_sum_BHT = (float *)log_sum_BHT, .grad_q = grad_q, .grad_k = grad_k, .grad_v = grad_v,
                      .length = length, .kv_heads = kv_heads, .groups = groups, .width = width,
                      .value_width = value_width, .scale = scale};
    share(back_heads, &task, batch * kv_heads, batch * kv_heads * groups * length * (width + value_width) * 8);
}

/* The first key of each query where a mask [B, T, T] lets every query see the keys from one of them to itself and no
   others; `*fits` is 0 where it is another mask. */
EXPORT void nemo_train_spans(const uint8_t *allowed_BTS, int64_t *start_BT, int64_t *fits, int64_t batch,
                             int64_t length) {
    *fits = 1;
    for (int64_t row = 0; row < batch * length; row++) {
        const uint8_t *allowed = allowed_BTS + row * length;
        int64_t query = row % length, start = 0;
        while (start < length && !allowed[start]) start++;
        start_BT[row] = start;
        int64_t seen = 0, before = 0;
        for (int64_t key = 0; key < length; key++) seen += allowed[key] != 0;
        for (int64_t key = start; key <= query; key++) before += allowed[key] != 0;
        if (start > query || seen != query - start + 1 || before != seen) *fits = 0;
    }
}
