/* Similarity sketches in one pass: Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017).

   In round r each shingle falls into a bin and lowers the value there; a bin filled in an earlier round is not touched.
   After `bins` rounds, shingle by shingle, bin by bin, the rest is filled. */
#include "hashes.h"

#define ROUND UINT64_C(0xA0761D6478BD642F)

enum { VACANT = 0, FRESH = 1, FILLED = 2 };

typedef struct {
    uint32_t *bins;  /* the sketch of the present text */
    uint8_t *states; /* of each bin: vacant, filled in this round, or in an earlier one */
    int64_t *fresh;  /* the bins that were filled in this round */
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
        sketch->states[at] = FILLED;
    }
    for (int64_t at = 0; at < bins; at++) filled += sketch->states[at] == FILLED;
    return filled;
}

/* Fill bins that are empty; the number of them that are not any more. */
static int64_t later_round(const uint64_t *hashes, int64_t count, uint64_t seed, int64_t turn, Sketch *sketch) {
    int64_t bins = sketch->count, filled = 0;
    uint64_t salt = mix(seed + (uint64_t)turn * ROUND);
    if (turn >= bins && sketch->states[turn - bins] == FILLED) return 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t value = mix(hashes[i] ^ salt);
        int64_t at = turn < bins ? bin_of(value, bins) : turn - bins;
        if (sketch->states[at] == FILLED) continue;
        if (sketch->states[at] == VACANT) sketch->fresh[filled++] = at;
        sketch->states[at] = FRESH;
        sketch->bins[at] = lower_of(sketch->bins[at], (uint32_t)value);
    }
    for (int64_t k = 0; k < filled; k++) sketch->states[sketch->fresh[k]] = FILLED;
    return filled;
}

/* Sketches [rows, bins] of texts whose shingle hashes are hashes[starts[i]:starts[i + 1]]; `out` is all ones before, and
   stays so where there are none. */
EXPORT int64_t sketches(const uint64_t *hashes, int64_t size, const int64_t *starts, int64_t rows, int64_t bins,
                        uint64_t seed, uint32_t *out) {
    if (!ascend_within(starts, rows, size)) return BAD_OFFSETS;
    Sketch sketch = {.states = room_for(bins, 1), .fresh = room_for(bins, sizeof(int64_t)), .count = bins};
    bool made = sketch.states && sketch.fresh;
    uint64_t salt = mix(seed + 1);
    for (int64_t row = 0; made && row < rows; row++) {
        const uint64_t *some = hashes + starts[row];
        int64_t number = starts[row + 1] - starts[row];
        if (!number) continue;
        sketch.bins = out + row * bins;
        memset(sketch.states, VACANT, (size_t)bins);
        int64_t filled = first_round(some, number, salt, &sketch);
        for (int64_t turn = 1; filled < bins; turn++) filled += later_round(some, number, salt, turn, &sketch);
    }
    free(sketch.states);
    free(sketch.fresh);
    return made ? DONE : NO_MEMORY;
}
