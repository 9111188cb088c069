/* Rows through a linear layer in fp32, with the weights as they lie in the model.

   A number of the result is summed along its row and its weights alone: sixteen sums side by side over each stretch of
   the width, those together, one stretch after another. So its bits do not depend on how many rows there are, nor on how
   they are cut into tiles. N rows, I input width, O output width. */
#include "share.h"
#include "vector.h"

#if defined __AVX512F__
#define TALL 4 /* rows and outputs of a tile, whose sums fill the processor's registers */
#define BROAD 6
#else
#define TALL 2
#define BROAD 3
#endif
#define STREAMS 4       /* outputs of a lone row at a time: as many streams of weights as a processor reads ahead of */
#define STRETCH 512     /* of the width at a time: so much of some rows stays in the first cache for all weights */
#define NEAR (1 << 17)  /* weights that stay in the second cache, where all rows find them */
#define UNROLLED _Pragma("GCC unroll 32") /* so that sums stay in registers */

typedef struct {
    const float *x_NI, *weight_OI, *bias_O;
    float *y_NO;
    int64_t stride, rows, width, outputs; /* stride: from one row of y to the next */
} Product;

typedef struct {
    int64_t row, output, first, last; /* first and last: of the stretch */
} Tile;

/* The first stretch sets y, the others add to it. */
static inline __attribute__((always_inline)) void put(const Product *product, Tile at, const int rows,
                                                      const int outputs, const Floats *sum) {
    float part[TALL * BROAD];
    int k = 0;
    UNROLLED for (; k + 4 <= rows * outputs; k += 4) {
        Four four = sums_of(sum + k);
        memcpy(part + k, &four, sizeof four);
    }
    UNROLLED for (; k < rows * outputs; k++) part[k] = sum_of(sum[k]);
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int o = 0; o < outputs; o++) {
            float *y = product->y_NO + (at.row + r) * product->stride + at.output + o;
            float before = at.first ? *y : product->bias_O ? product->bias_O[at.output + o] : 0.0f;
            *y = before + part[r * outputs + o];
        }
}

/* Meanwhile `count` weight rows from the `ahead`th after the tile's first on are asked for. */
static inline __attribute__((always_inline)) void multiply(const Product *product, Tile at, const int rows,
                                                           const int outputs, int64_t ahead, const int count) {
    int64_t width = product->width, i = at.first;
    const float *x_I = product->x_NI + at.row * width, *weight_I = product->weight_OI + at.output * width;
    Floats sum[TALL * BROAD] = {{0}}, x[TALL];
    for (; i + LANES <= at.last; i += LANES) {
        UNROLLED for (int o = 0; o < count; o++) __builtin_prefetch(weight_I + (ahead + o) * width + i);
        UNROLLED for (int r = 0; r < rows; r++) x[r] = load(x_I + r * width + i);
        UNROLLED for (int o = 0; o < outputs; o++) {
            Floats weight = load(weight_I + o * width + i);
            UNROLLED for (int r = 0; r < rows; r++) sum[r * outputs + o] += x[r] * weight;
        }
    }
    if (i < at.last) {
        UNROLLED for (int r = 0; r < rows; r++) x[r] = load_some(x_I + r * width + i, at.last - i);
        UNROLLED for (int o = 0; o < outputs; o++) {
            Floats weight = load_some(weight_I + o * width + i, at.last - i);
            UNROLLED for (int r = 0; r < rows; r++) sum[r * outputs + o] += x[r] * weight;
        }
    }
    put(product, at, rows, outputs, sum);
}

/* All rows up to `last` times some outputs, along one stretch; the first tiles ask for the next outputs' weights. */
static inline __attribute__((always_inline)) void column(const Product *product, Tile at, int64_t last,
                                                         const int outputs) {
    int64_t tiles = (last - at.row) / TALL, ahead = outputs;
    if (tiles >= 3) {
        for (int tile = 0; tile < 3; tile++, at.row += TALL, ahead += BROAD / 3)
            multiply(product, at, TALL, outputs, ahead, BROAD / 3);
    } else if (tiles) {
        multiply(product, at, TALL, outputs, ahead, BROAD);
        at.row += TALL;
    }
    for (; at.row + TALL <= last; at.row += TALL) multiply(product, at, TALL, outputs, 0, 0);
    for (; TALL > 2 && at.row + 2 <= last; at.row += 2) multiply(product, at, 2, outputs, ahead, tiles ? 0 : BROAD);
    if (at.row < last) multiply(product, at, 1, outputs, 0, 0);
}

static inline __attribute__((always_inline)) void columns(const Product *product, int64_t row, int64_t last,
                                                          int64_t output, const int outputs) {
    for (int64_t first = 0; first == 0 || first < product->width; first += STRETCH) {
        int64_t end = first + STRETCH < product->width ? first + STRETCH : product->width;
        Tile at = {row, output, first, end};
        if (product->rows == 1)
            multiply(product, at, 1, outputs, outputs, outputs);
        else
            column(product, at, last, outputs);
    }
}

static void multiply_some(const void *task, int64_t first, int64_t last) {
    const Product *product = task;
    const int tall = 4 * TALL, broad = product->rows == 1 ? STREAMS : BROAD;
    int64_t most = NEAR / product->width / broad * broad;
    if (most < broad) most = broad;
    for (int64_t start = first; start < last; start += most) {
        int64_t stop = start + most < last ? start + most : last;
        for (int64_t row = 0; row < product->rows; row += tall) {
            int64_t end = row + tall < product->rows ? row + tall : product->rows, o = start;
            if (product->rows == 1)
                for (; o + STREAMS <= stop; o += STREAMS) columns(product, row, end, o, STREAMS);
            else
                for (; o + BROAD <= stop; o += BROAD) columns(product, row, end, o, BROAD);
            for (; o < stop; o++) columns(product, row, end, o, 1);
        }
    }
}

EXPORT void nemo_product(const void *task) {
    const Product *product = task;
    share(multiply_some, product, product->outputs, product->outputs * product->width * product->rows);
}
