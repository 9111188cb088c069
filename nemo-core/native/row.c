/* One row through a linear layer in fp32: bound by reading the weights. I input width, O output width. */
#include "share.h"
#include "vector.h"

#define ABREAST 4 /* outputs at a time: as many streams of weights as the processor reads ahead of */

typedef struct {
    const float *x_I, *weight_OI, *bias_O;
    float *y_O;
    int64_t width;
} Product;

static inline __attribute__((always_inline)) void some_outputs(const Product *product, int64_t first, const int count) {
    int64_t width = product->width, i = 0;
    const float *weight_I = product->weight_OI + first * width;
    Floats sum[ABREAST] = {{0}};
    for (; i + LANES <= width; i += LANES) {
        Floats x = load(product->x_I + i);
        for (int o = 0; o < count; o++) {
            __builtin_prefetch(weight_I + (count + o) * width + i); /* the next outputs' */
            sum[o] += x * load(weight_I + o * width + i);
        }
    }
    if (i < width) {
        Floats x = load_some(product->x_I + i, width - i);
        for (int o = 0; o < count; o++) sum[o] += x * load_some(weight_I + o * width + i, width - i);
    }
    for (int o = 0; o < count; o++)
        product->y_O[first + o] = sum_of(sum[o]) + (product->bias_O ? product->bias_O[first + o] : 0.0f);
}

static void multiply_some(const void *task, int64_t first, int64_t last) {
    int64_t o = first;
    for (; o + ABREAST <= last; o += ABREAST) some_outputs(task, o, ABREAST);
    for (; o < last; o++) some_outputs(task, o, 1);
}

EXPORT void nemo_row_times(const float *x_I, const float *weight_OI, const float *bias_O, float *y_O, int64_t width,
                           int64_t outputs) {
    Product product = {x_I, weight_OI, bias_O, y_O, width};
    share(multiply_some, &product, outputs, outputs * width);
}
