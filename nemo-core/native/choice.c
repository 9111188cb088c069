/* The likeliest token. N rows, V vocabulary. */
#include <math.h>

#include "vector.h"

static int64_t first_of(const float *score_V, int64_t width, float wanted) {
    int64_t token = 0;
    while (token < width - 1 && score_V[token] != wanted) token++;
    return token;
}

static int64_t first_that_is_none(const float *score_V, int64_t width) {
    int64_t token = 0;
    while (token < width - 1 && score_V[token] == score_V[token]) token++;
    return token;
}

static int64_t likeliest(const float *score_V, int64_t width) {
    Floats most = all(-INFINITY);
    Ints strange = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        Floats value = load(score_V + i);
        strange |= value != value;
        most = larger(value, most);
    }
    float largest = largest_of(most);
    int64_t any = 0;
    for (int lane = 0; lane < LANES; lane++) any |= strange[lane];
    for (; i < width; i++) {
        any |= score_V[i] != score_V[i];
        largest = score_V[i] > largest ? score_V[i] : largest;
    }
    return any ? first_that_is_none(score_V, width) : first_of(score_V, width, largest);
}

/* The first of the largest scores of each row; NaN is larger than any number, as in torch. */
EXPORT void nemo_likeliest(const float *score_NV, int64_t *token_N, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++) token_N[row] = likeliest(score_NV + row * width, width);
}
