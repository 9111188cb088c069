/* Similarity sketches in one pass: Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017).

   In round r each shingle falls into a bin and lowers the value there; a bin filled in an earlier round is not touched.
   After `bins` rounds, shingle by shingle, bin by bin, the rest is filled. */
#include "hashes.h"

#define ROUND UINT64_C(0xA0761D6478BD642F)

typedef struct {
    uint32_t *bins; /* the sketch of the present text */
    bool *filled, *fresh;
    int64_t count;
} Sketch;

/* The bin that the upper half of a hash falls into. */
static inline int64_t bin_of(uint64_t value, int64_t bins) {
    return (int64_t)(((value >> 32) * (uint64_t)bins) >> 32);
}

static inline uint32_t lower_of(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Lower the bin of every hash; the number of bins filled. */
static int64_t first_round(const uint64_t *hashes, int64_t count, uint64_t seed, Sketch *sketch) {
    int64_t bins = sketch->count, filled = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t value = (hashes[i] ^ seed) * UINT64_C(0x9FB21C651E98DF25);
        value ^= value >> 32;
        int64_t at = bin_of(value * UINT64_C(0xD6E8FEB86659FD93), bins);
        sketch->bins[at] = lower_of(sketch->bins[at], (uint32_t)value);
        sketch->filled[at] = true;
    }
    for (int64_t at = 0; at < bins; at++) filled += sketch->filled[at];
    return filled;
}

/* Fill bins that are empty; the number of them that are not any more. */
static int64_t later_round(const uint64_t *hashes, int64_t count, uint64_t seed, int64_t turn, Sketch *sketch) {
    int64_t bins = sketch->count, filled = 0;
    uint64_t salt = mix(seed + (uint64_t)turn * ROUND);
    for (int64_t i = 0; i < count; i++) {
        uint64_t value = mix(hashes[i] ^ salt);
        int64_t at = turn < bins ? bin_of(value, bins) : turn - bins;
        if (sketch->filled[at]) continue;
        filled += !sketch->fresh[at];
        sketch->fresh[at] = true;
        sketch->bins[at] = lower_of(sketch->bins[at], (uint32_t)value);
    }
    for (int64_t at = 0; at < bins; at++) {
        sketch->filled[at] |= sketch->fresh[at];
        sketch->fresh[at] = false;
    }
    return filled;
}

/* Sketches [rows, bins] of texts whose shingle hashes are hashes[starts[i]:starts[i + 1]]; `out` is all ones before, and
   stays so where there are none. */
EXPORT int64_t sketches(const uint64_t *hashes, int64_t size, const int64_t *starts, int64_t rows, int64_t bins,
                        uint64_t seed, uint32_t *out) {
    if (!ascend_within(starts, rows, size)) return BAD_OFFSETS;
    Sketch sketch = {.filled = calloc((size_t)bins + 1, sizeof(bool)), .fresh = calloc((size_t)bins + 1, sizeof(bool)),
                     .count = bins};
    bool made = sketch.filled && sketch.fresh;
    uint64_t salt = mix(seed + 1);
    for (int64_t row = 0; made && row < rows; row++) {
        const uint64_t *some = hashes + starts[row];
        int64_t number = starts[row + 1] - starts[row];
        if (!number) continue;
        sketch.bins = out + row * bins;
        memset(sketch.filled, 0, (size_t)bins * sizeof(bool));
        int64_t filled = first_round(some, number, salt, &sketch);
        for (int64_t turn = 1; filled < bins; turn++) filled += later_round(some, number, salt, turn, &sketch);
    }
    free(sketch.filled);
    free(sketch.fresh);
    return made ? DONE : NO_MEMORY;
}
