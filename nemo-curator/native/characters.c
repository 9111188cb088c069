/* What every document has of the classes of characters, in one pass. */
#include "utf8.h"

enum { COUNTS = 12 };

/* One of ( ) [ ] { } U+27E8 U+27E9. */
static bool is_parenthesis(uint32_t code) {
    switch (code) {
        case '(': case ')': case '[': case ']': case '{': case '}': case 0x27E8: case 0x27E9: return true;
        default: return false;
    }
}

/* Keep the lengths of the three longest lines, longest first. */
static void note_line(int64_t length, int64_t *longest) {
    if (length > longest[0]) {
        longest[2] = longest[1];
        longest[1] = longest[0];
        longest[0] = length;
    } else if (length > longest[1]) {
        longest[2] = longest[1];
        longest[1] = length;
    } else if (length > longest[2]) {
        longest[2] = length;
    }
}

/* Fill the COUNTS of one text, in the order of kernels/characters.py. */
static void count_classes(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes, int64_t *out) {
    int64_t lines[3] = {0, 0, 0}, word = 0, line = 0, i = start;
    while (i < end) {
        Character next = code_point(data, i, end);
        uint32_t code = next.code, bits = bits_of(code, classes);
        i += next.step;
        out[0] += 1;
        out[1] += (bits & LETTER) != 0;
        out[2] += (bits & NUMERIC) != 0;
        out[3] += (bits & DIGIT) != 0;
        out[4] += (bits & PLAIN) != 0;
        out[5] += code == ' ' || code == '\n' || code == '\t' || code == '\r' || code == '\b';
        out[6] += is_parenthesis(code);
        out[7] += (bits & (LETTER | MARK)) == 0;
        word = bits & SPACE ? 0 : word + 1;
        out[9] = most(out[9], word);
        if (code == '\n') {
            out[8] += 1;
            note_line(line, lines);
            line = 0;
        } else {
            line += 1;
        }
    }
    note_line(line, lines);
    out[10] = lines[0];
    out[11] = out[8] >= 2 ? lines[2] : 0;
}

/* COUNTS [12, rows] of all texts. */
EXPORT int64_t count_characters(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                                const uint16_t *classes, int64_t *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    for (int64_t row = 0; row < rows; row++) {
        int64_t counts[COUNTS] = {0};
        count_classes(data, offsets[row], offsets[row + 1], classes, counts);
        for (int k = 0; k < COUNTS; k++) out[k * rows + row] = counts[k];
    }
    return DONE;
}
