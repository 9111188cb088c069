/* Bullets, ellipses and hash signs. */
#ifndef TEXT_MARKS_H
#define TEXT_MARKS_H

#include "texts.h"

/* How many hash signs, and how many ellipses ("..." or U+2026), are in data[start:end]; the larger count. */
static inline int64_t count_symbols(const uint8_t *data, int64_t start, int64_t end) {
    int64_t hashes = 0, ellipses = 0, dots = 0;
    for (int64_t i = start; i < end; i++) {
        uint8_t c = data[i];
        hashes += c == '#';
        dots = c == '.' ? dots + 1 : 0;
        if (dots == 3) {
            ellipses++;
            dots = 0;
        }
        ellipses += c == 0xA6 && i - start >= 2 && data[i - 1] == 0x80 && data[i - 2] == 0xE2;
    }
    return most(hashes, ellipses);
}

/* Whether a line that is not empty begins with a bullet: - * U+2022 U+2023 U+25A0 U+25A1 U+25AA U+25AB U+25B6 U+25C0
   U+25CF U+25E6. */
static inline bool is_bullet(const uint8_t *data, int64_t start, int64_t end) {
    uint8_t c = data[start];
    if (c == '*' || c == '-') return true;
    if (c != 0xE2 || start + 2 >= end) return false;
    uint8_t second = data[start + 1], third = data[start + 2];
    if (second == 0x80) return third == 0xA2 || third == 0xA3;
    if (second == 0x96) {
        return third == 0xA0 || third == 0xA1 || third == 0xAA || third == 0xAB || third == 0xB6;
    }
    return second == 0x97 && (third == 0x80 || third == 0xA6 || third == 0x8F);
}

/* Whether a line ends with "..." or U+2026. */
static inline bool ends_in_ellipsis(const uint8_t *data, int64_t start, int64_t end) {
    if (end - start < 3) return false;
    uint8_t a = data[end - 3], b = data[end - 2], c = data[end - 1];
    return (a == '.' && b == '.' && c == '.') || (a == 0xE2 && b == 0x80 && c == 0xA6);
}

#endif
