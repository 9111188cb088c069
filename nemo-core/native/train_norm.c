/* RMS norm (Zhang and Sennrich 2019) both ways, for training. N rows, E width, P blocks of rows.

   Sums over rows are taken within blocks of BLOCK rows and then over blocks, so that they do not depend on threads. */
#include <math.h>

#include "share.h"
#include "vector.h"

#define BLOCK 64

typedef struct {
    const float *x_NE, *scale_E, *inverse_N, *grad_NE;
    float *y_NE, *inverse_out_N, *grad_x_NE, *grad_scale_PE;
    int64_t rows, width;
    float eps;
} Norm;

static inline Floats some(const float *place, int64_t count) {
    return count < LANES ? load_some(place, count) : load(place);
}

static inline void put(float *place, Floats values, int64_t count) {
    if (count < LANES)
        store_some(place, values, count);
    else
        store(place, values);
}

static float sum_of_squares(const float *x_E, int64_t width) {
    Floats squares = {0};
    for (int64_t i = 0; i < width; i += LANES) {
        Floats x = some(x_E + i, width - i);
        squares += x * x;
    }
    return sum_of(squares);
}

static void norm_rows(const void *task, int64_t first, int64_t last) {
    const Norm *norm = task;
    int64_t width = norm->width;
    for (int64_t row = first; row < last; row++) {
        const float *x_E = norm->x_NE + row * width;
        float inverse = 1.0f / sqrtf(sum_of_squares(x_E, width) / (float)width + norm->eps);
        norm->inverse_out_N[row] = inverse;
        for (int64_t i = 0; i < width; i += LANES) {
            Floats y = some(x_E + i, width - i) * inverse * some(norm->scale_E + i, width - i);
            put(norm->y_NE + row * width + i, y, width - i);
        }
    }
}

/* y = x * inverse * scale, and inverse = 1 / rms of x. */
EXPORT void nemo_train_norm(const float *x_NE, const float *scale_E, float *y_NE, float *inverse_N, int64_t rows,
                            int64_t width, float eps) {
    Norm norm = {.x_NE = x_NE, .scale_E = scale_E, .y_NE = y_NE, .inverse_out_N = inverse_N, .width = width, .eps = eps};
    share(norm_rows, &norm, rows, 4 * rows * width);
}

static void back_row(const Norm *norm, int64_t row, float *grad_scale_E) {
    int64_t width = norm->width, at = row * width;
    const float *x_E = norm->x_NE + at, *grad_E = norm->grad_NE + at;
    float inverse = norm->inverse_N[row];
    Floats total = {0};
    for (int64_t i = 0; i < width; i += LANES) {
        Floats slope = some(grad_E + i, width - i) * some(x_E + i, width - i);
        total += slope * some(norm->scale_E + i, width - i);
        put(grad_scale_E + i, some(grad_scale_E + i, width - i) + slope * inverse, width - i);
    }
    float pull = sum_of(total) * inverse * inverse * inverse / (float)width;
    for (int64_t i = 0; i < width; i += LANES) {
        Floats grad = some(grad_E + i, width - i) * some(norm->scale_E + i, width - i) * inverse;
        grad -= some(x_E + i, width - i) * pull;
        put(norm->grad_x_NE + at + i, grad, width - i);
    }
}

static void back_blocks(const void *task, int64_t first, int64_t last) {
    const Norm *norm = task;
    for (int64_t block = first; block < last; block++) {
        float *grad_scale_E = norm->grad_scale_PE + block * norm->width;
        memset(grad_scale_E, 0, (size_t)norm->width * sizeof(float));
        int64_t end = (block + 1) * BLOCK < norm->rows ? (block + 1) * BLOCK : norm->rows;
        for (int64_t row = block * BLOCK; row < end; row++) back_row(norm, row, grad_scale_E);
    }
}

/* Gradients of input and scale. `grad_scale_PE` is room for one row for every 64 rows of the input, rounded up; its
   first one is the answer. */
EXPORT void nemo_train_norm_back(const float *x_NE, const float *scale_E, const float *inverse_N, const float *grad_NE,
                                 float *grad_x_NE, float *grad_scale_PE, int64_t rows, int64_t width) {
    Norm norm = {.x_NE = x_NE, .scale_E = scale_E, .inverse_N = inverse_N, .grad_NE = grad_NE, .grad_x_NE = grad_x_NE,
                 .grad_scale_PE = grad_scale_PE, .rows = rows, .width = width};
    int64_t blocks = (rows + BLOCK - 1) / BLOCK;
    share(back_blocks, &norm, blocks, 4 * rows * width);
    for (int64_t block = 1; block < blocks; block++)
        for (int64_t i = 0; i < width; i++) grad_scale_PE[i] += grad_scale_PE[block * width + i];
}
