/* Turning queries and keys by position, and storing keys and values.

   N tokens, D head width, R turned features, S positions of the cache. */
#include "share.h"
#include "turn.h"
#include "vector.h"

typedef struct {
    float *x;            /* [N, stride]: `heads` heads of D at the start of each row */
    const float *cos_NR, *sin_NR;
    int64_t stride, tokens, heads, width, turned;
} Turn;

static void turn_rows(const void *task, int64_t first, int64_t last) {
    const Turn *turn = task;
    for (int64_t token = first; token < last; token++)
        for (int64_t head = 0; head < turn->heads; head++) {
            float *x_D = turn->x + token * turn->stride + head * turn->width;
            int64_t table = token * turn->turned;
            turn_head(x_D, x_D, turn->cos_NR + table, turn->sin_NR + table, turn->turned, 1.0f);
        }
}

/* x -> x * cos + (-second half, first half) * sin of the first R features of every head, in place (Su et al. 2021). */
EXPORT void nemo_turn(const void *task) {
    const Turn *turn = task;
    share(turn_rows, turn, turn->tokens, 2 * turn->tokens * turn->heads * turn->turned);
}

typedef struct {
    const float *x; /* [N, stride]: `heads` heads of D at the start of each row */
    const int64_t *slot_N;
    float *cache_KSD;
    int64_t stride, tokens, heads, width, positions;
} Stored;

static void store_rows(const void *task, int64_t first, int64_t last) {
    const Stored *stored = task;
    for (int64_t token = first; token < last; token++)
        for (int64_t head = 0; head < stored->heads; head++) {
            float *place = stored->cache_KSD + (head * stored->positions + stored->slot_N[token]) * stored->width;
            const float *x_D = stored->x + token * stored->stride + head * stored->width;
            memcpy(place, x_D, (size_t)stored->width * sizeof(float));
        }
}

EXPORT void nemo_store(const void *task) {
    const Stored *stored = task;
    share(store_rows, stored, stored->tokens, 2 * stored->tokens * stored->heads * stored->width);
}
