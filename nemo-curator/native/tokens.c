#include "tokens.h"

enum { IN_WORD = LETTER | NUMERIC | MARK, APOSTROPHE = 0x2019 };

/* Whether a sign between two word characters, of which the classes are given, ends the word before it.

   spaCy's infixes for English: comma and hyphens between letters, ":<>=/" before a letter, signs of sums of digits. */
static bool parts(uint32_t sign, uint32_t before, uint32_t behind) {
    bool letters = (before & LETTER) && (behind & LETTER);
    bool numbers = (before & NUMERIC) && (behind & NUMERIC) && !((before | behind) & LETTER);
    switch (sign) {
        case ',': case '~': return letters;
        case '-': return letters || numbers;
        case ':': case '<': case '=': case '>': case '/': return behind & LETTER;
        case '*': case '+': case '^': return numbers;
        default: return false;
    }
}

/* Bytes of a sign at `i` that belongs to the word around it, 0 where it ends the word.

   `before` has the classes of the character before. Signs are ASCII's and the typographic apostrophe. */
static int64_t joins(const uint8_t *data, int64_t i, int64_t end, uint32_t before, const uint16_t *classes) {
    Character sign = code_point(data, i, end);
    if ((sign.code >= 0x80 && sign.code != APOSTROPHE) || i + sign.step >= end) return 0;
    uint32_t following = code_point(data, i + sign.step, end).code;
    uint32_t behind = bits_of(following, classes);
    if (!(behind & IN_WORD)) return 0;
    if ((sign.code == '\'' || sign.code == APOSTROPHE) && !(behind & LETTER)) return 0;
    bool capital = following >= 'A' && following <= 'Z';
    if (sign.code == '.' && capital && data[i - 1] >= 'a' && data[i - 1] <= 'z') return 0;
    return parts(sign.code, before, behind) ? 0 : sign.step;
}

typedef struct {
    int64_t end, length, kind;
} Token;

/* The token that begins at `start`. */
static Token token_at(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes) {
    Character first = code_point(data, start, end);
    uint32_t bits = bits_of(first.code, classes);
    int64_t i = start + first.step, length = 1;
    if (!(bits & IN_WORD)) {
        while (i < end) {
            Character next = code_point(data, i, end);
            if (next.code != first.code) break;
            i += next.step;
            length++;
        }
        return (Token){i, length, bits & SIGN ? SYMBOL : OTHER};
    }
    uint32_t letter = bits & LETTER;
    while (i < end) {
        uint32_t before = bits;
        Character next = code_point(data, i, end);
        int64_t step = next.step;
        bits = bits_of(next.code, classes);
        if (!(bits & IN_WORD) && next.code != '_') {
            step = bits & SPACE ? 0 : joins(data, i, end, before, classes);
            if (!step) break;
        }
        letter |= bits & LETTER;
        i += step;
        length++;
    }
    return (Token){i, length, letter ? WITH_LETTER : OTHER};
}

int64_t split_tokens(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes, Spans *out,
                     int64_t *kinds) {
    int64_t count = 0, i = start;
    while (i < end) {
        Character next = code_point(data, i, end);
        if (bits_of(next.code, classes) & SPACE) {
            i += next.step;
            continue;
        }
        Token token = token_at(data, i, end, classes);
        uint64_t value = SEED;
        for (int64_t k = i; k < token.end; k++) value = with_byte(value, data[k]);
        out->starts[count] = i;
        out->ends[count] = token.end;
        out->lengths[count] = token.length;
        out->hashes[count] = mix(value);
        kinds[count++] = token.kind;
        i = token.end;
    }
    return count;
}

/* Tokens of one text into arrays that have room for a token per byte; their number. */
EXPORT int64_t cut_tokens(const uint8_t *data, int64_t size, const uint16_t *classes, int64_t *starts, int64_t *ends,
                          int64_t *lengths, uint64_t *hashes, int64_t *kinds) {
    Spans out = {.starts = starts, .ends = ends, .lengths = lengths, .hashes = hashes, .room = size};
    return split_tokens(data, 0, size, classes, &out, kinds);
}
