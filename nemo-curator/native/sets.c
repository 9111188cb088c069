/* Jaccard similarity of sorted sets. */
#include "texts.h"

/* Size of the intersection over size of the union; 0 for two empty ones. */
EXPORT double jaccard(const uint64_t *one, int64_t size, const uint64_t *other, int64_t other_size) {
    int64_t i = 0, j = 0, both = 0;
    while (i < size && j < other_size) {
        uint64_t a = one[i], b = other[j];
        both += a == b;
        i += a <= b;
        j += b <= a;
    }
    int64_t together = size + other_size - both;
    return together ? (double)both / (double)together : 0.0;
}

/* Which of the sets values[starts[j]:starts[j + 1]], j from `row` + 1 on, are alike to number `row`, into `found`; those
   whose sizes alone exclude it are passed over. Their number. */
EXPORT int64_t alike(const uint64_t *values, int64_t size, const int64_t *starts, int64_t rows, int64_t row,
                     double similarity, int64_t *found) {
    if (!ascend_within(starts, rows, size) || row < 0 || row >= rows) return BAD_OFFSETS;
    int64_t count = 0, own = starts[row + 1] - starts[row];
    for (int64_t j = row + 1; j < rows; j++) {
        int64_t other = starts[j + 1] - starts[j], fewer = least(own, other);
        if ((double)fewer < similarity * (double)most(own, other) || fewer == 0) continue;
        if (jaccard(values + starts[row], own, values + starts[j], other) >= similarity) found[count++] = j;
    }
    return count;
}
