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

/* Counters of eight bits each, side by side in one number: what a character adds to COUNTS 1 to 7, and whether it is a
   space in the highest. */
enum { FIELDS = 7, FIELD_BITS = 8, FULL = 255, SPACE_BIT = 56 };

static uint64_t fields_of(uint32_t code, const uint16_t *classes) {
    uint32_t bits = bits_of(code, classes);
    bool blank = code == ' ' || code == '\n' || code == '\t' || code == '\r' || code == '\b';
    bool flags[] = {bits & LETTER, bits & NUMERIC,       bits & DIGIT,              bits & PLAIN,
                    blank,         is_parenthesis(code), !(bits & (LETTER | MARK)), bits & SPACE};
    uint64_t fields = 0;
    for (int k = 0; k <= FIELDS; k++) fields |= (uint64_t)flags[k] << (FIELD_BITS * k);
    return fields;
}

/* Add the counters to COUNTS 1 to 7. */
static void add_fields(uint64_t fields, int64_t *out) {
    for (int k = 0; k < FIELDS; k++) out[k + 1] += (fields >> (FIELD_BITS * k)) & FULL;
}

/* Fill the COUNTS of one text, in the order of kernels/characters.py. */
static void count_classes(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes,
                          const uint64_t *ascii, int64_t *out) {
    int64_t lines[3] = {0, 0, 0}, word = 0, longest = 0, line = 0, characters = 0, newlines = 0, i = start;
    uint64_t fields = 0;
    int room = FULL;
    while (i < end) {
        Character next = {data[i], 1};
        if (next.code >= 0x80) next = code_point(data, i, end);
        uint64_t own = next.code < 0x80 ? ascii[next.code] : fields_of(next.code, classes);
        i += next.step;
        characters++;
        fields += own;
        if (--room == 0) {
            add_fields(fields, out);
            fields = 0;
            room = FULL;
        }
        word = own >> SPACE_BIT ? 0 : word + 1;
        longest = most(longest, word);
        line++;
        if (next.code == '\n') {
            newlines++;
            note_line(line - 1, lines);
            line = 0;
        }
    }
    add_fields(fields, out);
    note_line(line, lines);
    out[0] = characters;
    out[8] = newlines;
    out[9] = longest;
    out[10] = lines[0];
    out[11] = newlines >= 2 ? lines[2] : 0;
}

/* COUNTS [12, rows] of all texts. */
EXPORT int64_t count_characters(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                                const uint16_t *classes, int64_t *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    uint64_t ascii[0x80];
    for (uint32_t code = 0; code < 0x80; code++) ascii[code] = fields_of(code, classes);
    for (int64_t row = 0; row < rows; row++) {
        int64_t counts[COUNTS] = {0};
        count_classes(data, offsets[row], offsets[row + 1], classes, ascii, counts);
        for (int k = 0; k < COUNTS; k++) out[k * rows + row] = counts[k];
    }
    return DONE;
}
