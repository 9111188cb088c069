/* 64-bit hashes of spans of bytes and of runs of values. */
#ifndef HASHES_H
#define HASHES_H

#include "texts.h"

#define SEED UINT64_C(0x9E3779B97F4A7C15)
#define PRIME UINT64_C(0x100000001B3)
#define BASE UINT64_C(0x9E3779B97F4A7C15)

/* Spread every bit of a value over all of it: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
    return value ^ (value >> 31);
}

/* One more byte in a hash of bytes, which `mix` finishes (FNV-1a's step: Fowler, Noll, Vo). */
static inline uint64_t with_byte(uint64_t value, uint8_t byte) { return (value ^ byte) * PRIME; }

/* Hash of data[start:end]; its length in characters goes to `characters`. */
static inline uint64_t hash_of(const uint8_t *data, int64_t start, int64_t end, int64_t *characters) {
    uint64_t value = SEED;
    int64_t length = 0;
    for (int64_t i = start; i < end; i++) {
        value = with_byte(value, data[i]);
        length += (data[i] & 0xC0) != 0x80;
    }
    *characters = length;
    return mix(value);
}

/* BASE**exponent mod 2**64: the weight of the value that leaves a window of `exponent` values (Karp, Rabin 1987). */
static inline uint64_t power(int64_t exponent) {
    uint64_t value = 1;
    for (int64_t i = 0; i < exponent; i++) value *= BASE;
    return value;
}

#endif
