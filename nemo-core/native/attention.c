/* Attention of single queries over cached keys and values, read where they lie, block by block.

   A row's numbers come from its own positions alone, in their order: they do not depend on the other rows, nor on where
   its blocks lie. B rows, J blocks of a row, K key heads, G query heads of each, D head width, V value width,
   S positions of all blocks. */
#include <math.h>
#include <stdlib.h>

#include "functions.h"
#include "share.h"

typedef struct {
    const float *q; /* [B, stride]: K*G heads of D at the start of each row */
    const float *k_KSD, *v_KSV;
    const int64_t *block_BJ, *start_B, *stop_B;
    float *mixed_BKGV;
    int64_t stride, rows, kv_heads, groups, width, value_width, positions, block_size, blocks;
    int64_t most; /* 0 at first: the most positions that a row sees, filled up to whole vectors */
    float scale, softcap;
} Rows;

/* Positions that lie one after another: `place` in the cache, `at` and `count` among those that a row sees. */
typedef struct {
    int64_t place, at, count;
} Stretch;

static Stretch stretch_at(const Rows *rows, int64_t row, int64_t at) {
    int64_t size = rows->block_size, position = rows->start_B[row] + at, inside = position % size;
    int64_t left = rows->stop_B[row] - position, room = size - inside;
    int64_t place = rows->block_BJ[row * rows->blocks + position / size] * size + inside;
    return (Stretch){place, at, left < room ? left : room};
}

static inline __attribute__((always_inline)) float match(const float *q_D, const float *k_D, int64_t width) {
    Floats even = {0}, odd = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES) {
        even += load(q_D + i) * load(k_D + i);
        odd += load(q_D + i + LANES) * load(k_D + i + LANES);
    }
    for (; i + LANES <= width; i += LANES) even += load(q_D + i) * load(k_D + i);
    if (i < width) odd += load_some(q_D + i, width - i) * load_some(k_D + i, width - i);
    return sum_of(even + odd);
}

static void match_stretch(const Rows *rows, const float *q_GD, const float *k_SD, Stretch stretch, float *score) {
    for (int64_t i = 0; i < stretch.count; i++)
        for (int64_t g = 0; g < rows->groups; g++)
            score[g * rows->most + stretch.at + i] =
                rows->scale * match(q_GD + g * rows->width, k_SD + (stretch.place + i) * rows->width, rows->width);
}

/* mixed[j] += weight[i] * v[i][j] for `vectors` whole vectors of j, which stay in registers meanwhile. */
static inline __attribute__((always_inline)) void mix_columns(float *mixed, const float *v, int64_t width,
                                                              const float *weight, int64_t count, const int vectors) {
    Floats sum[4];
    for (int j = 0; j < vectors; j++) sum[j] = load(mixed + j * LANES);
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < vectors; j++) sum[j] += weight[i] * load(v + i * width + j * LANES);
    for (int j = 0; j < vectors; j++) store(mixed + j * LANES, sum[j]);
}

static void mix_head(float *mixed_V, const float *v_IV, int64_t width, const float *weight_I, int64_t count) {
    int64_t j = 0;
    for (; j + 4 * LANES <= width; j += 4 * LANES) mix_columns(mixed_V + j, v_IV + j, width, weight_I, count, 4);
    for (; j + LANES <= width; j += LANES) mix_columns(mixed_V + j, v_IV + j, width, weight_I, count, 1);
    for (int64_t i = 0; j < width && i < count; i++)
        for (int64_t k = j; k < width; k++) mixed_V[k] += weight_I[i] * v_IV[i * width + k];
}

static void mix_stretch(const Rows *rows, float *mixed_GV, const float *v_SV, Stretch stretch, const float *weight) {
    int64_t width = rows->value_width;
    for (int64_t g = 0; g < rows->groups; g++)
        mix_head(mixed_GV + g * width, v_SV + stretch.place * width, width, weight + g * rows->most + stretch.at,
                 stretch.count);
}

/* softcap * tanh(score / softcap) (Gemma 2) of `count` scores, then up to the next whole vector nothing is seen. */
static float prepare(float *score, int64_t count, float softcap) {
    Floats most = all(-INFINITY);
    int64_t padded = (count + LANES - 1) / LANES * LANES;
    for (int64_t i = count; i < padded; i++) score[i] = -INFINITY;
    for (int64_t i = 0; i < padded; i += LANES) {
        Floats value = load(score + i);
        if (softcap > 0)
            value = choose(value == -INFINITY, value, softcap * hyperbolic_tangent(value / softcap));
        store(score + i, value);
        most = larger(value, most);
    }
    return largest_of(most);
}

/* The numerators of softmax in place; their sum. */
static float weigh(float *score, int64_t count, float softcap) {
    float largest = prepare(score, count, softcap);
    Floats total = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        Floats value = load(score + i);
        Floats weight = choose(value == -INFINITY, all(0.0f), exponential(value - largest));
        store(score + i, weight);
        total += weight;
    }
    return sum_of(total);
}

/* One key head of one row. `score` has room for G * most floats. */
static void attend(const Rows *rows, int64_t row, int64_t head, float *score) {
    int64_t groups = rows->groups, value_width = rows->value_width, count = rows->stop_B[row] - rows->start_B[row];
    const float *k_SD = rows->k_KSD + head * rows->positions * rows->width;
    const float *v_SV = rows->v_KSV + head * rows->positions * value_width;
    const float *q_GD = rows->q + row * rows->stride + head * groups * rows->width;
    float *mixed_GV = rows->mixed_BKGV + (row * rows->kv_heads + head) * groups * value_width;
    Stretch stretch;
    for (int64_t at = 0; at < count; at += stretch.count) {
        stretch = stretch_at(rows, row, at);
        match_stretch(rows, q_GD, k_SD, stretch, score);
    }
    memset(mixed_GV, 0, (size_t)(groups * value_width) * sizeof(float));
    for (int64_t g = 0; g < groups; g++) {
        float *own = score + g * rows->most, factor = 1.0f / weigh(own, count, rows->softcap);
        for (int64_t i = 0; i < count; i++) own[i] *= factor;
    }
    for (int64_t at = 0; at < count; at += stretch.count) {
        stretch = stretch_at(rows, row, at);
        mix_stretch(rows, mixed_GV, v_SV, stretch, score);
    }
}

static void attend_some(const void *task, int64_t first, int64_t last) {
    const Rows *rows = task;
    float *score = malloc((size_t)(rows->groups * rows->most) * sizeof(float));
    if (score == NULL) abort();
    for (int64_t i = first; i < last; i++) attend(rows, i / rows->kv_heads, i % rows->kv_heads, score);
    free(score);
}

EXPORT void nemo_attend(const void *task) {
    Rows rows = *(const Rows *)task;
    int64_t seen = 0;
    for (int64_t row = 0; row < rows.rows; row++) {
        int64_t count = rows.stop_B[row] - rows.start_B[row];
        seen += count;
        rows.most = count > rows.most ? count : rows.most;
    }
    rows.most = (rows.most + LANES - 1) / LANES * LANES;
    share(attend_some, &rows, rows.rows * rows.kv_heads, seen * rows.kv_heads * (rows.width + rows.value_width));
}
