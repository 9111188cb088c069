/* A step as it was noted once: kernels and what each is to do, one after another. N numbers. */
#include "share.h"
#include "vector.h"

typedef struct {
    void (*kernel)(const void *task);
    const void *task;
} Call;

EXPORT void nemo_run(const Call *calls, int64_t count) {
    for (int64_t i = 0; i < count; i++) calls[i].kernel(calls[i].task);
}

typedef struct {
    const float *left_N, *right_N;
    float *sum_N;
    int64_t count;
} Sum;

static void add_some(const void *task, int64_t first, int64_t last) {
    const Sum *sum = task;
    for (int64_t i = first; i < last; i++) sum->sum_N[i] = sum->left_N[i] + sum->right_N[i];
}

EXPORT void nemo_add(const void *task) {
    const Sum *sum = task;
    share(add_some, sum, sum->count, 3 * sum->count);
}
