/* Windows of ASCII alone, nearly all of most texts, are hashed tile by tile: the mixed 4-byte block that begins at a
   byte serves every window it lies in, and the loops over a tile run on vector registers. */
#include "murmur.h"

#include "utf8.h"

static inline uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/* A 4-byte block as it enters the hash. */
static inline uint32_t mixed(uint32_t block) { return rotate(block * 0xCC9E2D51u, 15) * 0x1B873593u; }

/* The hash after one more mixed block. */
static inline uint32_t stirred(uint32_t value, uint32_t block) { return rotate(value ^ block, 13) * 5u + 0xE6546B64u; }

/* The hash of `length` bytes once all blocks are in. */
static inline uint32_t finished(uint32_t value, int64_t length) {
    value ^= (uint32_t)length;
    value ^= value >> 16;
    value *= 0x85EBCA6Bu;
    value ^= value >> 13;
    value *= 0xC2B2AE35u;
    return value ^ value >> 16;
}

/* `count` (up to 4) bytes from `at` as a number. */
static inline uint32_t little_endian(const uint8_t *at, int64_t count) {
    uint32_t block = 0;
    for (int64_t i = 0; i < count; i++) block |= (uint32_t)at[i] << (8 * i);
    return block;
}

/* The hash of data[start:end]. */
static uint32_t murmur3(const uint8_t *data, int64_t start, int64_t end, uint32_t seed) {
    uint32_t value = seed;
    int64_t blocks = start + ((end - start) & ~INT64_C(3));
    for (int64_t i = start; i < blocks; i += 4) value = stirred(value, mixed(little_endian(data + i, 4)));
    if (end > blocks) value ^= mixed(little_endian(data + blocks, end - blocks));
    return finished(value, end - start);
}

/* The hash of a whole buffer. */
EXPORT int64_t murmur3_32(const uint8_t *data, int64_t size, uint64_t seed) {
    return murmur3(data, 0, size, (uint32_t)seed);
}

/* Hash `count` <= MURMUR_TILE windows of `width` bytes, the first at `data`, into `out`. */
static void tile_hashes(const uint8_t *restrict data, int64_t count, int64_t width, uint32_t seed,
                        uint32_t *restrict blocks, uint32_t *restrict out) {
    int64_t whole = width & ~INT64_C(3), left = width - whole, number = whole ? count + whole - 4 : 0;
    for (int64_t i = 0; i < number; i++) blocks[i] = mixed(little_endian(data + i, 4));
    for (int64_t i = 0; i < count; i++) out[i] = seed;
    for (int64_t first = 0; first < whole; first += 4) {
        for (int64_t i = 0; i < count; i++) out[i] = stirred(out[i], blocks[i + first]);
    }
    for (int64_t i = 0; left && i < count; i++) out[i] ^= mixed(little_endian(data + i + whole, left));
    for (int64_t i = 0; i < count; i++) out[i] = finished(out[i], width);
}

/* The byte behind `characters` characters from `at`, or `end`. */
static int64_t after(const uint8_t *data, int64_t at, int64_t end, int64_t characters) {
    for (int64_t k = 0; k < characters && at < end; k++) {
        at++;
        while (at < end && continues(data[at])) at++;
    }
    return at;
}

/* The first byte from `at` on that is not ASCII, or `end`. */
static int64_t ascii_until(const uint8_t *data, int64_t at, int64_t end) {
    while (at + 64 <= end) {
        uint8_t seen = 0;
        for (int64_t i = at; i < at + 64; i++) seen |= data[i];
        if (seen & 0x80) break;
        at += 64;
    }
    while (at < end && data[at] < 0x80) at++;
    return at;
}

int64_t window_hashes(const uint8_t *data, int64_t start, int64_t end, int64_t width, uint32_t seed, uint32_t *blocks,
                      uint32_t *out) {
    int64_t count = 0, head = start, plain = ascii_until(data, start, end);
    int64_t tail = after(data, start, end, width);
    while (head < end) {
        if (plain - head < width) {
            out[count++] = murmur3(data, head, tail, seed);
            if (tail >= end) return count;
            tail = after(data, tail, end, 1);
            head = after(data, head, end, 1);
            if (plain < head) plain = ascii_until(data, head, end);
            continue;
        }
        while (plain - head >= width) {
            int64_t some = least(MURMUR_TILE, plain - head - width + 1);
            tile_hashes(data + head, some, width, seed, blocks, out + count);
            count += some;
            head += some;
        }
        if (plain == end) return count;
        tail = after(data, head, end, width);
    }
    return count;
}
