/* Products with weights of int8, and rounding their inputs. N rows, I input width, O output width. */
#include <math.h>

#include <stdlib.h>

#include "share.h"
#include "vector.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

typedef struct {
    const float *x_NI;
    int8_t *rounded_NI;
    float *largest_N;
    int64_t width;
} Rounding;

static float largest_magnitude(const float *x_I, int64_t width) {
    Floats most = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) most = larger(magnitude(load(x_I + i)), most);
    if (i < width) most = larger(magnitude(load_some(x_I + i, width - i)), most);
    return largest_of(most);
}

static void round_rows(const void *task, int64_t first, int64_t last) {
    const Rounding *rounding = task;
    for (int64_t row = first; row < last; row++) {
        const float *x_I = rounding->x_NI + row * rounding->width;
        int8_t *rounded_I = rounding->rounded_NI + row * rounding->width;
        float largest = largest_magnitude(x_I, rounding->width);
        if (!(largest >= 1e-12f)) largest = largest == largest ? 1e-12f : largest;
        rounding->largest_N[row] = largest;
        for (int64_t i = 0; i < rounding->width; i++) rounded_I[i] = (int8_t)rintf(x_I[i] / largest * 127.0f);
    }
}

/* Each row over its largest magnitude, in -127 to 127, rounded half to even. */
EXPORT void nemo_round(const float *x_NI, int8_t *rounded_NI, float *largest_N, int64_t rows, int64_t width) {
    Rounding rounding = {x_NI, rounded_NI, largest_N, width};
    share(round_rows, &rounding, rows, 3 * rows * width);
}

#define WIDE 32
#define ABREAST 4 /* outputs computed at a time, so that the next weights are read while these are summed */

typedef int8_t Bytes __attribute__((vector_size(WIDE)));
typedef int16_t Shorts __attribute__((vector_size(2 * WIDE)));

static inline Shorts widened(const int8_t *place) {
    Bytes values;
    memcpy(&values, place, sizeof values);
    return __builtin_convertvector(values, Shorts);
}

/* Products of neighbours summed in pairs. */
static inline Ints pairs(Shorts left, Shorts right) {
#if defined __AVX512BW__
    return (Ints)_mm512_madd_epi16((__m512i)left, (__m512i)right);
#elif defined __AVX2__
    union { Shorts whole; __m256i half[2]; } a = {left}, b = {right};
    union { __m256i half[2]; Ints whole; } sum;
    for (int i = 0; i < 2; i++) sum.half[i] = _mm256_madd_epi16(a.half[i], b.half[i]);
    return sum.whole;
#else
    Ints sum;
    for (int i = 0; i < LANES; i++) sum[i] = left[2 * i] * right[2 * i] + left[2 * i + 1] * right[2 * i + 1];
    return sum;
#endif
}

static inline int32_t total(Ints values) {
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int lane = 0; lane < width; lane++) values[lane] += values[lane + width];
    return values[0];
}

typedef struct {
    const int16_t *x_I;
    const int8_t *weight_OI;
    const float *step_O, *bias_O;
    float *y_O;
    int64_t width;
    float largest;
} Product;

/* Weights past the end of a row would be those of the next: the last few inputs are summed one by one. */
static void sum_outputs(const Product *product, int64_t first, int64_t count, int32_t *sum) {
    int64_t whole = product->width / WIDE * WIDE;
    const int8_t *weight_I = product->weight_OI + first * product->width;
    Ints parts[ABREAST] = {{0}};
    for (int64_t i = 0; i < whole; i += WIDE) {
        Shorts x;
        memcpy(&x, product->x_I + i, sizeof x);
        for (int64_t o = 0; o < ABREAST; o++) {
            if (i % 64 == 0) __builtin_prefetch(weight_I + (2 * ABREAST + o) * product->width + i);
            if (o < count) parts[o] += pairs(widened(weight_I + o * product->width + i), x);
        }
    }
    for (int64_t o = 0; o < count; o++) {
        sum[o] = total(parts[o]);
        for (int64_t i = whole; i < product->width; i++)
            sum[o] += (int32_t)product->x_I[i] * weight_I[o * product->width + i];
    }
}

static void finish(const Product *product, int64_t first, int64_t count, const int32_t *sum) {
    for (int64_t o = first; o < first + count; o++) {
        float y = (float)sum[o - first] * product->step_O[o] * product->largest;
        product->y_O[o] = product->bias_O ? y + product->bias_O[o] : y;
    }
}

static void multiply_some(const void *task, int64_t first, int64_t last) {
    int32_t sum[ABREAST];
    int64_t o = first;
    for (; o + ABREAST <= last; o += ABREAST) {
        sum_outputs(task, o, ABREAST, sum);
        finish(task, o, ABREAST, sum);
    }
    if (o < last) {
        sum_outputs(task, o, last - o, sum);
        finish(task, o, last - o, sum);
    }
}

/* One row of inputs, rounded here, times weights [O, I]; sums are exact, so they are what any other route sums. */
EXPORT void nemo_row_times_int8(const float *x_I, const int8_t *weight_OI, const float *step_O, const float *bias_O,
                                float *y_O, int64_t width, int64_t outputs) {
    int8_t *rounded_I = malloc((size_t)width);
    int16_t *wide_I = malloc((size_t)width * sizeof(int16_t));
    if (rounded_I == NULL || wide_I == NULL) abort();
    float largest;
    nemo_round(x_I, rounded_I, &largest, 1, width);
    for (int64_t i = 0; i < width; i++) wide_I[i] = rounded_I[i];
    Product product = {wide_I, weight_OI, step_O, bias_O, y_O, width, largest};
    share(multiply_some, &product, outputs, outputs * width / 4);
    free(rounded_I);
    free(wide_I);
}
