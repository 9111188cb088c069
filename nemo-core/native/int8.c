/* Rows through a linear layer whose weights are int8, and rounding the rows for it.

   Sums are exact integers, so no way of cutting the work changes a bit. N rows, I input width, O output width. */
#include <math.h>
#include <stdbool.h>

#include "share.h"
#include "vector.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif
#ifdef __AVX512F__
#include <cpuid.h>
#endif

typedef struct {
    const float *x_NI;
    int8_t *rounded_NI;
    float *largest_N;
    int64_t rows, width;
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
EXPORT void nemo_round(const void *task) {
    const Rounding *rounding = task;
    share(round_rows, rounding, rounding->rows, 3 * rounding->rows * rounding->width);
}

#if defined __AVX512F__
#define TALL 4 /* rows of a tile, whose sums stay in the processor's registers */
#else
#define TALL 1
#endif
#define BROAD 4 /* outputs of a tile: as many streams of weights as a processor reads ahead of */
#define WIDE 64
#define NEAR (1 << 19)                           /* bytes of input rows that stay in the second cache */
#define UNROLLED _Pragma("GCC unroll 32") /* so that sums stay in registers */

typedef int8_t Bytes __attribute__((vector_size(WIDE)));
typedef int8_t HalfBytes __attribute__((vector_size(WIDE / 2)));
typedef int16_t Shorts __attribute__((vector_size(WIDE)));

static inline Bytes load_bytes(const int8_t *place, int64_t count) {
    Bytes values = {0};
    if (count >= WIDE)
        memcpy(&values, place, sizeof values);
    else
        memcpy(&values, place, (size_t)count);
    return values;
}

static inline Shorts widened(const Bytes *bytes, int half) {
    HalfBytes values;
    memcpy(&values, (const char *)bytes + half * (WIDE / 2), sizeof values);
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

/* VNNI multiplies bytes without a sign by bytes with one, so x is raised by 128; `finish` takes off what that adds. */
static inline __attribute__((always_inline)) Ints dot(Ints sum, Bytes x, Bytes weight, const bool vnni) {
#if defined __AVX512F__
    if (vnni) {
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(weight));
        return sum;
    }
#endif
    (void)vnni;
    return sum + pairs(widened(&x, 0), widened(&weight, 0)) + pairs(widened(&x, 1), widened(&weight, 1));
}

typedef struct {
    const int8_t *x_NI;
    const float *largest_N;
    const int8_t *weight_OI;
    const int32_t *raised_O; /* 128 times the sum of an output's weights */
    const float *step_O, *bias_O;
    float *y_NO;
    int64_t rows, width, outputs;
} Product;

static inline __attribute__((always_inline)) void finish_one(const Product *product, int64_t row, int64_t output,
                                                             Ints sum, const bool vnni) {
    int32_t whole = sum_of_ints(sum) - (vnni ? product->raised_O[output] : 0);
    float y = (float)whole * product->step_O[output] * product->largest_N[row];
    product->y_NO[row * product->outputs + output] = product->bias_O ? y + product->bias_O[output] : y;
}

static inline __attribute__((always_inline)) void finish_four(const Product *product, int64_t row, int64_t output,
                                                              const Ints *sum, const bool vnni) {
    FourInts whole = sums_of_ints(sum), raised;
    Four step, bias;
    memcpy(&raised, product->raised_O + output, sizeof raised);
    memcpy(&step, product->step_O + output, sizeof step);
    Four y = __builtin_convertvector(vnni ? whole - raised : whole, Four) * step * product->largest_N[row];
    if (product->bias_O) {
        memcpy(&bias, product->bias_O + output, sizeof bias);
        y = y + bias;
    }
    memcpy(product->y_NO + row * product->outputs + output, &y, sizeof y);
}

static inline __attribute__((always_inline)) void finish(const Product *product, int64_t row, int64_t output,
                                                         const int rows, const int outputs, const Ints *sum,
                                                         const bool vnni) {
    UNROLLED for (int r = 0; r < rows; r++) {
        int o = 0;
        UNROLLED for (; o + 4 <= outputs; o += 4) finish_four(product, row + r, output + o, sum + r * outputs + o, vnni);
        UNROLLED for (; o < outputs; o++) finish_one(product, row + r, output + o, sum[r * outputs + o], vnni);
    }
}

static inline __attribute__((always_inline)) void step(const Product *product, int64_t row, int64_t output, int64_t i,
                                                       int64_t count, const int rows, const int outputs, Ints *sum,
                                                       const bool vnni) {
    int64_t width = product->width;
    Bytes x[TALL];
    UNROLLED for (int r = 0; r < rows; r++) {
        x[r] = load_bytes(product->x_NI + (row + r) * width + i, count);
        if (vnni) x[r] ^= (int8_t)-128;
    }
    UNROLLED for (int o = 0; o < outputs; o++) {
        Bytes weight = load_bytes(product->weight_OI + (output + o) * width + i, count);
        UNROLLED for (int r = 0; r < rows; r++) sum[r * outputs + o] = dot(sum[r * outputs + o], x[r], weight, vnni);
    }
}

/* Meanwhile `count` weight rows from the `ahead`th after the tile's first on are asked for. */
static inline __attribute__((always_inline)) void multiply(const Product *product, int64_t row, int64_t output,
                                                           const int rows, const int outputs, int64_t ahead,
                                                           const int count, const bool vnni) {
    int64_t width = product->width, i = 0;
    const int8_t *next = product->weight_OI + (output + ahead) * width;
    Ints sum[TALL * BROAD] = {{0}};
    for (; i + WIDE <= width; i += WIDE) {
        UNROLLED for (int o = 0; o < count; o++) __builtin_prefetch(next + o * width + i);
        step(product, row, output, i, WIDE, rows, outputs, sum, vnni);
    }
    if (i < width) step(product, row, output, i, width - i, rows, outputs, sum, vnni);
    finish(product, row, output, rows, outputs, sum, vnni);
}

static inline __attribute__((always_inline)) void column(const Product *product, int64_t row, int64_t last,
                                                         int64_t output, const int outputs, const bool vnni) {
    if (last - row < TALL) {
        multiply(product, row, output, 1, outputs, 2 * outputs, outputs, vnni);
        row += 1;
    } else {
        multiply(product, row, output, TALL, outputs, outputs, outputs, vnni);
        row += TALL;
    }
    for (; row + TALL <= last; row += TALL) multiply(product, row, output, TALL, outputs, 0, 0, vnni);
    for (; row < last; row++) multiply(product, row, output, 1, outputs, 0, 0, vnni);
}

static inline __attribute__((always_inline)) void multiply_all(const Product *product, int64_t first, int64_t last,
                                                               const bool vnni) {
    int64_t most = NEAR / product->width / TALL * TALL;
    if (most < 4 * TALL) most = 4 * TALL;
    for (int64_t row = 0; row < product->rows; row += most) {
        int64_t end = row + most < product->rows ? row + most : product->rows, o = first;
        for (; o + BROAD <= last; o += BROAD) column(product, row, end, o, BROAD, vnni);
        for (; o < last; o++) column(product, row, end, o, 1, vnni);
    }
}

static bool has_vnni(void) {
#if defined __AVX512F__
    unsigned a, b, c = 0, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1u << 11);
#else
    return false;
#endif
}

static void multiply_plain(const void *task, int64_t first, int64_t last) { multiply_all(task, first, last, false); }
static void multiply_vnni(const void *task, int64_t first, int64_t last) { multiply_all(task, first, last, true); }

EXPORT void nemo_product_int8(const void *task) {
    const Product *product = task;
    static int known = -1;
    int vnni = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (vnni < 0) __atomic_store_n(&known, vnni = has_vnni(), __ATOMIC_RELAXED);
    Work work = vnni ? multiply_vnni : multiply_plain;
    share(work, product, product->outputs, product->outputs * product->width * product->rows / 4);
}
