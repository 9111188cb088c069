/* Rotation by position (Su et al. 2021), for training: into new memory, either way.

   B batch, T position, H heads, D head width, R turned features, all of them even. */
#include "share.h"
#include "turn.h"
#include "vector.h"

typedef struct {
    const float *x_BTHD, *cos_TR, *sin_TR;
    float *y_BTHD;
    int64_t places, heads, width, turned; /* places: rows of the tables before they begin again */
    float sign;
} Turn;

static void turn_rows(const void *task, int64_t first, int64_t last) {
    const Turn *turn = task;
    for (int64_t row = first; row < last; row++) {
        int64_t table = row % turn->places * turn->turned;
        for (int64_t head = 0; head < turn->heads; head++) {
            int64_t at = (row * turn->heads + head) * turn->width, turned = turn->turned;
            const float *cos_R = turn->cos_TR + table, *sin_R = turn->sin_TR + table;
            turn_head(turn->x_BTHD + at, turn->y_BTHD + at, cos_R, sin_R, turned, turn->sign);
            for (int64_t i = at + turned; i < at + turn->width; i++) turn->y_BTHD[i] = turn->x_BTHD[i];
        }
    }
}

/* x -> x * cos + sign * (-second half, first half) * sin of the first R features of every head. */
EXPORT void nemo_train_turn(const float *x_BTHD, const float *cos_TR, const float *sin_TR, float *y_BTHD, int64_t rows,
                            int64_t places, int64_t heads, int64_t width, int64_t turned, float sign) {
    Turn turn = {x_BTHD, cos_TR, sin_TR, y_BTHD, places, heads, width, turned, sign};
    share(turn_rows, &turn, rows, 2 * rows * heads * width);
}
