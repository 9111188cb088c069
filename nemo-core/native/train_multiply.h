/* Products of small matrices that lie in the processor's caches: what a library of products is not made for. */
#ifndef NEMO_TRAIN_MULTIPLY_H
#define NEMO_TRAIN_MULTIPLY_H

#include <stdbool.h>

#include "vector.h"

#define BLOCK 32 /* rows of queries */
#define PANEL 32 /* columns that lie side by side; two vectors */

/* As many sums as the registers hold: rows by vectors. */
#if defined(__AVX512F__)
enum { ROWS = 8, VECTORS = 2 };
#elif defined(__AVX2__) || defined(__aarch64__)
enum { ROWS = 4, VECTORS = 1 };
#else
enum { ROWS = 2, VECTORS = 1 };
#endif

/* c[m, n] (+)= a[m, k] * b[k, n]: rows of c and b lie `stride` apart; a has a stride for each of its indices. */
typedef struct {
    float *c;
    int64_t c_stride;
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t b_stride;
} Product;

static inline __attribute__((always_inline)) void tile(Product p, int64_t depth, const int rows, const int vectors,
                                                       bool fresh) {
    Floats sum[ROWS][VECTORS];
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < vectors; n++) sum[m][n] = all(0.0f);
    for (int64_t k = 0; k < depth; k++) {
        Floats b[VECTORS];
        for (int n = 0; n < vectors; n++) b[n] = load(p.b + k * p.b_stride + n * LANES);
        for (int m = 0; m < rows; m++) {
            float a = p.a[m * p.a_row + k * p.a_column];
            for (int n = 0; n < vectors; n++) sum[m][n] += a * b[n];
        }
    }
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < vectors; n++) {
            float *c = p.c + m * p.c_stride + n * LANES;
            store(c, fresh ? sum[m][n] : load(c) + sum[m][n]); /* sums of a block, then over blocks: less is rounded off */
        }
}

static inline __attribute__((always_inline)) void strip(Product p, int64_t rows, int64_t depth, const int vectors,
                                                        bool fresh) {
    int64_t m = 0;
    for (; m + ROWS <= rows; m += ROWS, p.c += ROWS * p.c_stride, p.a += ROWS * p.a_row)
        tile(p, depth, ROWS, vectors, fresh);
    for (; m < rows; m++, p.c += p.c_stride, p.a += p.a_row) tile(p, depth, 1, vectors, fresh);
}

/* `columns` is a multiple of LANES; `fresh` forgets what was in c. */
static void multiply(Product p, int64_t rows, int64_t columns, int64_t depth, bool fresh) {
    int64_t n = 0;
    for (; n + VECTORS * LANES <= columns; n += VECTORS * LANES, p.c += VECTORS * LANES, p.b += VECTORS * LANES)
        strip(p, rows, depth, VECTORS, fresh);
    for (; n < columns; n += LANES, p.c += LANES, p.b += LANES) strip(p, rows, depth, 1, fresh);
}

#endif
