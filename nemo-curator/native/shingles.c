/* 64-bit hashes of shingles: windows of characters or of words, by a polynomial that rolls over them (Karp, Rabin 1987).

   The hash of a window is sum(code[j] * BASE**(width-1-j)) mod 2**64, mixed once more. A text shorter than a window is
   one window. */
#include "words.h"

/* Bytes of the UTF-8 character that begins with `lead`. */
static inline int64_t width_of(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xE0) return 2;
    return lead < 0xF0 ? 3 : 4;
}

/* The bytes of one character as a number, spread over 64 bits. */
static inline uint64_t code_of(const uint8_t *data, int64_t at, int64_t width) {
    uint64_t value = (uint64_t)data[at] + 1;
    for (int64_t i = 1; i < width; i++) value = value << 8 | data[at + i];
    return value * UINT64_C(0xD6E8FEB86659FD93);
}

/* Roll over `count` bytes from `head` and `tail` on, which are all ASCII; the hash of the last window. */
static uint64_t roll_ascii(const uint8_t *head, const uint8_t *tail, int64_t count, uint64_t value, uint64_t leaving,
                           uint64_t *out) {
    const uint64_t spread = UINT64_C(0xD6E8FEB86659FD93), less = leaving * spread;
    for (int64_t i = 0; i < count; i++) {
        value = value * BASE + (tail[i] + UINT64_C(1)) * spread - (head[i] + UINT64_C(1)) * less;
        out[i] = mix(value);
    }
    return value;
}

/* How many bytes from `i` on are ASCII. */
static int64_t ascii_from(const uint8_t *data, int64_t i, int64_t end) {
    int64_t first = i;
    uint64_t eight;
    for (; i + 8 <= end; i += 8) {
        memcpy(&eight, data + i, 8);
        if (eight & UINT64_C(0x8080808080808080)) break;
    }
    while (i < end && data[i] < 0x80) i++;
    return i - first;
}

/* Hash every window of `width` characters of data[start:end] into `out`; the number of windows. */
static int64_t character_shingles(const uint8_t *data, int64_t start, int64_t end, int64_t width, uint64_t *out) {
    uint64_t leaving = power(width), value = 0;
    int64_t seen = 0, count = 0, head = start, tail = start;
    while (tail < end) {
        if (seen == width && data[head] < 0x80 && data[tail] < 0x80) {
            int64_t both = ascii_from(data, tail, end);
            both = ascii_from(data, head, head + both);
            value = roll_ascii(data + head, data + tail, both, value, leaving, out + count);
            head += both;
            tail += both;
            count += both;
            continue;
        }
        int64_t size = width_of(data[tail]);
        value = value * BASE + code_of(data, tail, least(size, end - tail));
        tail += size;
        if (seen < width) {
            seen++;
        } else {
            size = width_of(data[head]);
            value -= leaving * code_of(data, head, size);
            head += size;
        }
        if (seen == width) out[count++] = mix(value);
    }
    if (seen && count == 0) out[count++] = mix(value);
    return count;
}

/* Hash every window of `width` of the first `count` codes into `out`; the number of windows. */
static int64_t roll(const uint64_t *codes, int64_t count, int64_t width, uint64_t *out) {
    uint64_t leaving = power(width), value = 0;
    int64_t windows = 0;
    for (int64_t i = 0; i < count; i++) {
        value = value * BASE + codes[i];
        if (i >= width) value -= leaving * codes[i - width];
        if (i >= width - 1) out[windows++] = mix(value);
    }
    if (count && windows == 0) out[windows++] = mix(value);
    return windows;
}

/* Hashes of the shingles of all texts, end to end, into `out`, which has room for one per byte, and where those of each
   text begin into `starts`. Their number. */
EXPORT int64_t shingle_hashes(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows, int64_t width,
                              int64_t words, uint64_t *out, int64_t *starts) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    Spans spans;
    bool made = spans_make(&spans, words ? longest_of(offsets, rows) / 2 + 1 : 1);
    starts[0] = 0;
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t start = offsets[row], end = offsets[row + 1], count;
        if (words) {
            count = roll(spans.hashes, split_words(data, start, end, &spans), width, out + starts[row]);
        } else {
            count = character_shingles(data, start, end, width, out + starts[row]);
        }
        starts[row + 1] = starts[row] + count;
    }
    spans_free(&spans);
    return made ? starts[rows] : NO_MEMORY;
}
