/* A Bloom filter (Bloom 1970): a set of 64-bit hashes that may take a stranger for a member, never the reverse. */
#include "hashes.h"

/* Add the values in order and set `seen` where one was there before; how many were not.

   The places of a value are first + i * second mod num_bits (Kirsch, Mitzenmacher 2008). */
EXPORT int64_t test_and_add(uint64_t *bits, int64_t num_bits, int64_t num_hashes, const uint64_t *values,
                            int64_t count, bool *seen) {
    int64_t fresh = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t first = mix(values[i]), second = mix(first ^ UINT64_C(0x9E3779B97F4A7C15)) | 1;
        bool known = true;
        for (int64_t k = 0; k < num_hashes; k++, first += second) {
            uint64_t place = first % (uint64_t)num_bits, bit = UINT64_C(1) << (place & 63);
            known &= (bits[place >> 6] & bit) != 0;
            bits[place >> 6] |= bit;
        }
        seen[i] = known;
        fresh += !known;
    }
    return fresh;
}
