/* MinHash signatures with the hash family of cuDF's Series.str.minhash (32-bit), bit for bit.

   Permutation (a, b) maps the hash h of a shingle to ((h*a + b) mod (2**61 - 1)) & 0xffffffff, and the signature holds
   the minimum of each. With x = h*a + b < 2**63 the value is that of low32(x) + (x >> 61), save where the residue wraps.
   The second term is 3 at most, so the minimum is sought among the low halves, with 32-bit arithmetic on full vectors,
   and settled afterwards: from the least low half follows the h that has it, by the inverse of a; and only for a few
   permutations can a neighbour be less. Where that cannot be excluded, all values are computed. */
#include "murmur.h"

#define MASK61 ((UINT64_C(1) << 61) - 1)
#define EMPTY UINT32_MAX

enum { TILE = 2048, ABREAST = 4, MAX_SHIFT = 3 };

/* One permutation, and what `settled` needs to know: the inverse of the odd part of a = odd * 2**shift modulo 2**32. */
typedef struct {
    uint32_t a, b, inverse, shift;
    bool wraps;
} Permutation;

/* All of them; a and b are filled up to a multiple of ABREAST. */
typedef struct {
    Permutation *each;
    uint32_t *a, *b, *lows;
    int64_t count, padded;
    uint64_t *marks; /* bits of the hashes of the present text */
    int64_t words;   /* that there is room for in `marks` */
} Family;

static inline uint32_t lower_of(uint32_t a, uint32_t b) { return a < b ? a : b; }

static int64_t bit_length(uint64_t value) { return value ? 64 - __builtin_clzll(value) : 0; }

/* Whether some 32-bit h makes t >= p: whether h*a + b can be (k+1)*2**61 - 1 - j, j <= k.

   t is (x & p) + (x >> 61) with p = 2**61 - 1; where it reaches p, the residue is t - p. */
static bool may_wrap(uint32_t a, uint32_t b) {
    if (a == 0) return true;
    for (uint64_t k = 0; k < 4; k++) {
        for (uint64_t j = 0; j <= k; j++) {
            uint64_t product = (k + 1) * (MASK61 + 1) - (1 + j) - b, h = product / a;
            if (h * a == product && h < UINT64_C(1) << 32) return true;
        }
    }
    return false;
}

/* For each (a, b), whether it may wrap. */
EXPORT int64_t permutations_wrap(const uint32_t *a, const uint32_t *b, int64_t count, bool *out) {
    for (int64_t k = 0; k < count; k++) out[k] = may_wrap(a[k], b[k]);
    return DONE;
}

static Permutation permutation_of(uint32_t a, uint32_t b) {
    uint32_t odd = a, shift = 0;
    while (!(odd & 1) && shift < 32) {
        odd >>= 1;
        shift++;
    }
    uint32_t guess = odd; /* right in three bits; each step of Newton's doubles them */
    for (int step = 0; step < 5; step++) guess *= 2 - odd * guess;
    return (Permutation){a, b, guess, shift, may_wrap(a, b)};
}

/* The minimum of one permutation, by all its values. */
static uint32_t whole_minimum(const uint32_t *hashes, int64_t count, Permutation p) {
    uint32_t lowest = EMPTY;
    for (int64_t i = 0; i < count; i++) {
        uint64_t x = (uint64_t)hashes[i] * p.a + p.b, t = (x & MASK61) + (x >> 61);
        lowest = lower_of(lowest, (uint32_t)(t + ((t + 1) >> 61)));
    }
    return lowest;
}

/* Lower each of `lows` to the least (h*a + b + 3) mod 2**32.

   The added 3 puts the values that the second term may carry beyond 2**32 at 0, 1 and 2. */
static void least_low_halves(const uint32_t *restrict hashes, int64_t count, const Family *family) {
    const uint32_t *a = family->a, *b = family->b;
    for (int64_t first = 0; first < count; first += TILE) {
        int64_t last = least(first + TILE, count);
        for (int64_t k = 0; k < family->padded; k += ABREAST) {
            uint32_t *lows = family->lows + k;
            uint32_t a0 = a[k], a1 = a[k + 1], a2 = a[k + 2], a3 = a[k + 3];
            uint32_t b0 = b[k] + 3, b1 = b[k + 1] + 3, b2 = b[k + 2] + 3, b3 = b[k + 3] + 3;
            uint32_t l0 = lows[0], l1 = lows[1], l2 = lows[2], l3 = lows[3];
            for (int64_t i = first; i < last; i++) {
                uint32_t h = hashes[i];
                l0 = lower_of(l0, h * a0 + b0);
                l1 = lower_of(l1, h * a1 + b1);
                l2 = lower_of(l2, h * a2 + b2);
                l3 = lower_of(l3, h * a3 + b3);
            }
            lows[0] = l0;
            lows[1] = l1;
            lows[2] = l2;
            lows[3] = l3;
        }
    }
}

/* Set the bit of every hash, by its leading binary digits, in the first 2**bits of the marks. */
static void mark(const uint32_t *hashes, int64_t count, int64_t bits, uint64_t *marks) {
    memset(marks, 0, sizeof(uint64_t) << most(0, bits - 6));
    for (int64_t i = 0; i < count; i++) {
        uint64_t place = (uint64_t)hashes[i] >> (32 - bits);
        marks[place >> 6] |= UINT64_C(1) << (place & 63);
    }
}

static inline bool marked(uint64_t value, int64_t bits, const uint64_t *marks) {
    uint64_t place = value >> (32 - bits);
    return (marks[place >> 6] >> (place & 63)) & 1;
}

/* The minimum that belongs to the least low half; -1 where more than one hash may have a part in it. */
static int64_t settled(uint32_t low, Permutation p, int64_t bits, const uint64_t *marks) {
    int64_t best = -1;
    uint64_t carry = 3, stride = UINT64_C(1) << (32 - p.shift);
    for (uint64_t step = 0; step < 3 && step <= carry; step++) {
        /* a neighbour `step` higher is less if its second term is smaller by more than that */
        uint32_t offset = low + (uint32_t)step - p.b;
        if (offset & ((1u << p.shift) - 1)) continue;
        uint64_t base = ((offset >> p.shift) * p.inverse) & (stride - 1);
        for (uint64_t turn = 0; turn < UINT64_C(1) << p.shift; turn++) {
            uint64_t h = base + turn * stride;
            if (!marked(h, bits, marks)) continue;
            uint64_t high = (h * p.a + p.b) >> 61;
            if (step == 0 && best < 0) {
                best = (int64_t)(low + high);
                carry = high;
            } else if (step == 0 || step + high < carry) {
                return -1;
            }
        }
    }
    return best;
}

/* Set `minima` to the minimum of every permutation over hashes[0:count]. */
static void lower_minima(const uint32_t *hashes, int64_t count, const Family *family, uint32_t *minima) {
    memset(family->lows, 0xFF, (size_t)family->padded * sizeof(uint32_t));
    least_low_halves(hashes, count, family);
    int64_t bits = least(32, most(12, 6 + bit_length((uint64_t)count)));
    bits = least(bits, 5 + bit_length((uint64_t)family->words));
    mark(hashes, count, bits, family->marks);
    for (int64_t k = 0; k < family->count; k++) {
        Permutation p = family->each[k];
        int64_t value = -1;
        if (!p.wraps && family->lows[k] >= 3 && p.shift <= MAX_SHIFT) {
            value = settled(family->lows[k] - 3, p, bits, family->marks);
        }
        minima[k] = value >= 0 ? (uint32_t)value : whole_minimum(hashes, count, p);
    }
}

static void family_free(Family *family) {
    free(family->each);
    free(family->a);
    free(family->b);
    free(family->lows);
    free(family->marks);
}

/* The permutations, with room for texts of up to `longest` shingles; false where there is no memory. */
static bool family_make(Family *family, const uint32_t *a, const uint32_t *b, int64_t count, int64_t longest) {
    family->count = count;
    family->padded = (count + ABREAST - 1) / ABREAST * ABREAST;
    family->words = most(64, 2 * longest);
    family->each = room_for(count, sizeof(Permutation));
    family->a = room_for(family->padded, sizeof(uint32_t));
    family->b = room_for(family->padded, sizeof(uint32_t));
    family->lows = room_for(family->padded, sizeof(uint32_t));
    family->marks = room_for(family->words, sizeof(uint64_t));
    if (!family->each || !family->a || !family->b || !family->lows || !family->marks) return false;
    for (int64_t k = 0; k < count; k++) family->each[k] = permutation_of(a[k], b[k]);
    for (int64_t k = 0; k < family->padded; k++) {
        family->a[k] = k < count ? a[k] : 1;
        family->b[k] = k < count ? b[k] : 0;
    }
    return true;
}

/* Signatures [rows, count] of texts whose shingle hashes are hashes[starts[i]:starts[i + 1]]; `out` is all ones before,
   and stays so where there are none. */
EXPORT int64_t signatures_of_hashes(const uint32_t *hashes, int64_t size, const int64_t *starts, int64_t rows,
                                    const uint32_t *a, const uint32_t *b, int64_t count, uint32_t *out) {
    if (!ascend_within(starts, rows, size)) return BAD_OFFSETS;
    Family family;
    bool made = family_make(&family, a, b, count, longest_of(starts, rows));
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t number = starts[row + 1] - starts[row];
        if (number) lower_minima(hashes + starts[row], number, &family, out + row * count);
    }
    family_free(&family);
    return made ? DONE : NO_MEMORY;
}

/* Signatures [rows, count] of all texts, from shingles of `width` characters; `out` is all ones before, and stays so where
   a text is empty. */
EXPORT int64_t signatures(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows, const uint32_t *a,
                          const uint32_t *b, int64_t count, int64_t width, uint64_t seed, uint32_t *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    int64_t longest = longest_of(offsets, rows);
    Family family;
    uint32_t *hashes = room_for(longest, sizeof(uint32_t)), *blocks = room_for(MURMUR_TILE + width, sizeof(uint32_t));
    bool made = family_make(&family, a, b, count, longest) && hashes && blocks;
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t number = window_hashes(data, offsets[row], offsets[row + 1], width, (uint32_t)seed, blocks, hashes);
        if (number) lower_minima(hashes, number, &family, out + row * count);
    }
    family_free(&family);
    free(hashes);
    free(blocks);
    return made ? DONE : NO_MEMORY;
}

/* A 64-bit key [bands, rows] for each band of a signature [rows, count]: equal bands have equal keys.

   The mixing step is the finaliser of MurmurHash3_x64_128; two different bands collide with probability 2**-64. */
EXPORT int64_t band_keys(const uint32_t *minima, int64_t rows, int64_t count, int64_t bands, uint64_t *out) {
    int64_t each = count / bands;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t band = 0; band < bands; band++) {
            uint64_t key = (uint64_t)(band + 1) * UINT64_C(0x9E3779B97F4A7C15);
            for (int64_t k = band * each; k < (band + 1) * each; k++) {
                key = (key ^ minima[row * count + k]) * UINT64_C(0xFF51AFD7ED558CCD);
                key ^= key >> 33;
                key *= UINT64_C(0xC4CEB9FE1A85EC53);
                key ^= key >> 29;
            }
            out[band * rows + row] = key;
        }
    }
    return DONE;
}
