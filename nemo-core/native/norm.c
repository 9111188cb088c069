/* Norms of rows. N rows, E width. */
#include <math.h>

#include "share.h"
#include "vector.h"

typedef struct {
    const float *x, *scale_E, *bias_E; /* stretches of `inner` rows, `stride` from one to the next; bias_E may be NULL */
    float *y_NE;
    int64_t stride, inner, rows, width;
    float eps;
} Norm;

static const float *row_of(const Norm *norm, int64_t row) {
    return norm->x + row / norm->inner * norm->stride + row % norm->inner * norm->width;
}

/* Of x - mean. */
static float sum_of_squares(const float *x_E, float mean, int64_t width) {
    Floats even = {0}, odd = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES) {
        Floats left = load(x_E + i) - mean, right = load(x_E + i + LANES) - mean;
        even += left * left;
        odd += right * right;
    }
    for (; i + LANES <= width; i += LANES) even += (load(x_E + i) - mean) * (load(x_E + i) - mean);
    float rest = 0.0f;
    for (; i < width; i++) rest += (x_E[i] - mean) * (x_E[i] - mean);
    return sum_of(even + odd) + rest;
}

static float sum_of_row(const float *x_E, int64_t width) {
    Floats even = {0}, odd = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES) {
        even += load(x_E + i);
        odd += load(x_E + i + LANES);
    }
    float rest = 0.0f;
    for (; i < width; i++) rest += x_E[i];
    return sum_of(even + odd) + rest;
}

static void rms_rows(const void *task, int64_t first, int64_t last) {
    const Norm *norm = task;
    int64_t width = norm->width;
    for (int64_t row = first; row < last; row++) {
        const float *x_E = row_of(norm, row);
        float *y_E = norm->y_NE + row * width;
        float factor = 1.0f / sqrtf(sum_of_squares(x_E, 0.0f, width) / (float)width + norm->eps);
        for (int64_t i = 0; i < width; i++) y_E[i] = x_E[i] * factor * norm->scale_E[i];
    }
}

static void layer_rows(const void *task, int64_t first, int64_t last) {
    const Norm *norm = task;
    int64_t width = norm->width;
    for (int64_t row = first; row < last; row++) {
        const float *x_E = row_of(norm, row);
        float *y_E = norm->y_NE + row * width;
        float mean = sum_of_row(x_E, width) / (float)width;
        float factor = 1.0f / sqrtf(sum_of_squares(x_E, mean, width) / (float)width + norm->eps);
        for (int64_t i = 0; i < width; i++) y_E[i] = (x_E[i] - mean) * factor * norm->scale_E[i];
        for (int64_t i = 0; norm->bias_E && i < width; i++) y_E[i] += norm->bias_E[i];
    }
}

/* Root-mean-square norm (Zhang and Sennrich 2019). */
EXPORT void nemo_rms_norm(const void *task) {
    const Norm *norm = task;
    share(rms_rows, norm, norm->rows, 2 * norm->rows * norm->width);
}

/* Layer norm (Ba et al. 2016). */
EXPORT void nemo_layer_norm(const void *task) {
    const Norm *norm = task;
    share(layer_rows, norm, norm->rows, 3 * norm->rows * norm->width);
}
