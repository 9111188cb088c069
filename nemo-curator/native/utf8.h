/* Characters of UTF-8 text and the classes that Python's Unicode data gives them. */
#ifndef UTF8_H
#define UTF8_H

#include "texts.h"

/* Bits of a class and the size of their table, as kernels/characters.py makes it. */
enum {
    LETTER = 1,
    DIGIT = 2,
    NUMERIC = 4,
    SPACE = 8,
    MARK = 16,
    LINE_BREAK = 32,
    TERMINAL = 64,
    PLAIN = 128,
    SIGN = 256,
    TABLE_SIZE = 0x33500
};

typedef struct {
    uint32_t code;
    int32_t step; /* its bytes */
} Character;

typedef struct {
    int64_t start, end;
} Span;

/* The code point that begins at `i`; U+FFFD of one byte where the text ends within it. */
static inline Character code_point(const uint8_t *data, int64_t i, int64_t end) {
    uint32_t c = data[i];
    if (c < 0x80) return (Character){c, 1};
    if (c < 0xE0 && i + 1 < end) return (Character){(c & 0x1F) << 6 | (data[i + 1] & 0x3Fu), 2};
    if (c < 0xF0 && i + 2 < end) {
        return (Character){(c & 0x0F) << 12 | (data[i + 1] & 0x3Fu) << 6 | (data[i + 2] & 0x3Fu), 3};
    }
    if (i + 3 < end) {
        uint32_t low = (data[i + 2] & 0x3Fu) << 6 | (data[i + 3] & 0x3Fu);
        return (Character){(c & 0x07) << 18 | (data[i + 1] & 0x3Fu) << 12 | low, 4};
    }
    return (Character){0xFFFD, 1};
}

/* The class bits of a code point; beyond the table there are none. */
static inline uint32_t bits_of(uint32_t code, const uint16_t *classes) { return code < TABLE_SIZE ? classes[code] : 0; }

/* Whether a byte goes on with a character that began before it. */
static inline bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* Where the last character of data[start:end] begins. */
static inline int64_t last_character(const uint8_t *data, int64_t start, int64_t end) {
    int64_t i = end - 1;
    while (i > start && continues(data[i])) i--;
    return i;
}

/* Bytes of the white space beyond ASCII at `i` (as str.isspace has it), 0 where there is none. */
static inline int wide_space_length(const uint8_t *data, int64_t i, int64_t end) {
    uint8_t c = data[i];
    if (c == 0xC2 && i + 1 < end) return data[i + 1] == 0x85 || data[i + 1] == 0xA0 ? 2 : 0;
    if (i + 2 >= end || c < 0xE1 || c > 0xE3) return 0;
    uint8_t second = data[i + 1], third = data[i + 2];
    if (c == 0xE1) return second == 0x9A && third == 0x80 ? 3 : 0;
    if (c == 0xE3) return second == 0x80 && third == 0x80 ? 3 : 0;
    if (second == 0x80) {
        bool space = (third >= 0x80 && third <= 0x8A) || third == 0xA8 || third == 0xA9 || third == 0xAF;
        return space ? 3 : 0;
    }
    return second == 0x81 && third == 0x9F ? 3 : 0;
}

/* Bytes of the white space at `i` (as str.isspace has it), 0 where there is none. */
static inline int space_length(const uint8_t *data, int64_t i, int64_t end) {
    uint8_t c = data[i];
    if (c < 0x80) return c == 32 || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
    return wide_space_length(data, i, end);
}

#endif
