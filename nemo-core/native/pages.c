/* Weights in pages of two megabytes, where the system has such: without them a processor spends a fifth of the time of
   reading weights on finding out where they are. */
#if defined __linux__
#define _DEFAULT_SOURCE
#include <stdint.h>
#include <sys/mman.h>

#include "export.h"

#define PAGE (INT64_C(2) << 20)
#define HUGEPAGE 14 /* from now on; the numbers are Linux', older headers lack the second */
#define COLLAPSE 25 /* now */

/* What lies beside the weights in the same pages moves with them; nobody sees it. A system that refuses changes
   nothing. */
EXPORT void nemo_settle(const void *place, int64_t bytes) {
    uintptr_t first = (uintptr_t)place / PAGE * PAGE, end = ((uintptr_t)place + (uintptr_t)bytes + PAGE - 1) / PAGE * PAGE;
    for (uintptr_t page = first; page < end; page += PAGE)
        if (madvise((void *)page, PAGE, HUGEPAGE) == 0) madvise((void *)page, PAGE, COLLAPSE);
}
#else
#include <stdint.h>

#include "export.h"

EXPORT void nemo_settle(const void *place, int64_t bytes) {
    (void)place;
    (void)bytes;
}
#endif
