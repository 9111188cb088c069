#include "share.h"

#include <stddef.h>

#include "vector.h"

#define LEAST_COST 65536 /* floats of one thread's part; to wake a thread takes as long as reading some thousands */

typedef void (*Parallel)(void (*body)(void *), void *data, unsigned threads, unsigned flags);

typedef struct {
    Work work;
    const void *task;
    int64_t rows, part, taken;
} Job;

static Parallel parallel = NULL;
static int64_t threads = 1;

/* `found` is GOMP_parallel of the OpenMP library that torch has loaded, or NULL: then there is one thread. */
EXPORT void nemo_set_threads(void *found, int64_t count) {
    parallel = (Parallel)found;
    threads = count > 0 ? count : 1;
}

/* Every thread takes parts until none is left, so that it does not matter how many came. */
static void take_parts(void *data) {
    Job *job = data;
    for (;;) {
        int64_t first = __atomic_fetch_add(&job->taken, job->part, __ATOMIC_RELAXED);
        if (first >= job->rows) return;
        int64_t last = first + job->part < job->rows ? first + job->part : job->rows;
        job->work(job->task, first, last);
    }
}

void share(Work work, const void *task, int64_t rows, int64_t cost) {
    int64_t wanted = cost / LEAST_COST;
    if (wanted > threads) wanted = threads;
    if (wanted > rows) wanted = rows;
    if (parallel == NULL || wanted < 2) {
        work(task, 0, rows);
        return;
    }
    Job job = {work, task, rows, (rows + 2 * wanted - 1) / (2 * wanted), 0};
    parallel(take_parts, &job, (unsigned)wanted, 0);
}
