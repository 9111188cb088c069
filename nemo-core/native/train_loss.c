/* Cross-entropy of scores over a vocabulary and its slope, in their place. C rows, V vocabulary. */
#include <math.h>

#include "functions.h"
#include "share.h"

typedef struct {
    float *score_CV, *loss_C;
    const int64_t *target_C;
    int64_t width;
} Loss;

static float most_of(const float *score_V, int64_t width) {
    Floats most = all(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) most = larger(load(score_V + i), most);
    float largest = largest_of(most);
    for (; i < width; i++) largest = score_V[i] > largest ? score_V[i] : largest;
    return largest;
}

/* Scores become e**(score - most); their sum. Sums of sixteen-lane pieces are added up piece by piece. */
static float raise(float *score_V, int64_t width, float most) {
    Floats total = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        Floats power = exponential(load(score_V + i) - most);
        store(score_V + i, power);
        total += power;
    }
    float sum = sum_of(total);
    if (i < width) {
        Floats power = exponential(load_some(score_V + i, width - i) - most);
        store_some(score_V + i, power, width - i);
        for (int64_t lane = 0; lane < width - i; lane++) sum += power[lane];
    }
    return sum;
}

static void lose_rows(const void *task, int64_t first, int64_t last) {
    const Loss *loss = task;
    int64_t width = loss->width;
    for (int64_t row = first; row < last; row++) {
        float *score_V = loss->score_CV + row * width, most = most_of(score_V, width);
        float wanted = score_V[loss->target_C[row]], sum = raise(score_V, width, most), factor = 1.0f / sum;
        for (int64_t i = 0; i < width; i++) score_V[i] *= factor;
        score_V[loss->target_C[row]] -= 1.0f;
        loss->loss_C[row] = logf(sum) - (wanted - most);
    }
}

/* loss = -log softmax(score)[target]; the scores become its slope by them, softmax - one hot. */
EXPORT void nemo_train_loss(float *score_CV, const int64_t *target_C, float *loss_C, int64_t rows, int64_t width) {
    Loss loss = {score_CV, loss_C, target_C, width};
    share(lose_rows, &loss, rows, 8 * rows * width);
}
