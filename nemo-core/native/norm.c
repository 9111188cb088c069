/* Root-mean-square norm (Zhang and Sennrich 2019). N rows, E width. */
#include <math.h>

#include "share.h"
#include "vector.h"

typedef struct {
    const float *x_NE, *scale_E;
    float *y_NE;
    int64_t width, stride, out_stride;
    float eps;
} Norm;

static float sum_of_squares(const float *x_E, int64_t width) {
    Floats even = {0}, odd = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES) {
        Floats left = load(x_E + i), right = load(x_E + i + LANES);
        even += left * left;
        odd += right * right;
    }
    for (; i < width; i += LANES) {
        Floats rest = width - i < LANES ? load_some(x_E + i, width - i) : load(x_E + i);
        even += rest * rest;
    }
    return sum_of(even + odd);
}

static void norm_rows(const void *task, int64_t first, int64_t last) {
    const Norm *norm = task;
    int64_t width = norm->width;
    for (int64_t row = first; row < last; row++) {
        const float *x_E = norm->x_NE + row * norm->stride;
        float *y_E = norm->y_NE + row * norm->out_stride;
        float factor = 1.0f / sqrtf(sum_of_squares(x_E, width) / (float)width + norm->eps);
        for (int64_t i = 0; i < width; i++) y_E[i] = x_E[i] * factor * norm->scale_E[i];
    }
}

EXPORT void nemo_rms_norm(const float *x_NE, int64_t stride, const float *scale_E, float *y_NE, int64_t out_stride,
                          int64_t rows, int64_t width, float eps) {
    Norm norm = {x_NE, scale_E, y_NE, width, stride, out_stride, eps};
    share(norm_rows, &norm, rows, 2 * rows * width);
}
