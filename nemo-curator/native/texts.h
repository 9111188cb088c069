/* The strings of an Arrow column as kernels take them, and what kernels return.

   String number i is data[offsets[i]] to data[offsets[i + 1]] (excluded). Nothing is assumed of the bytes: text that is
   no UTF-8 has some answer, and never one that reads or writes beyond the buffers. */
#ifndef TEXTS_H
#define TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"

/* What a kernel returns that could not do its work; numbers from 0 on are answers. */
enum { DONE = 0, NO_MEMORY = -1, BAD_OFFSETS = -2 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Whether the offsets of `rows` strings ascend and stay within a buffer of `size` elements. */
static inline bool ascend_within(const int64_t *offsets, int64_t rows, int64_t size) {
    if (rows < 0 || offsets[0] < 0 || offsets[rows] > size) return false;
    bool fine = true;
    for (int64_t row = 0; row < rows; row++) fine &= offsets[row] <= offsets[row + 1];
    return fine;
}

/* Elements of the longest string, 1 at least. */
static inline int64_t longest_of(const int64_t *offsets, int64_t rows) {
    int64_t longest = 1;
    for (int64_t row = 0; row < rows; row++) longest = most(longest, offsets[row + 1] - offsets[row]);
    return longest;
}

/* Room for `count` elements of `size` bytes, or NULL. */
static inline void *room_for(int64_t count, size_t size) {
    return (uint64_t)count > SIZE_MAX / 2 / size ? NULL : malloc((size_t)most(count, 1) * size);
}

#endif
