#include "datatrove_lines.h"

#include "hashes.h"
#include "repetition.h"
#include "text_marks.h"

enum { SHORT_LINE = 30, BULLET = 0x2022 };

/* The span without white space at its ends, as str.strip has it; start = end where nothing is left. */
static Span strip_span(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes) {
    int64_t first = end, last = start, i = start;
    while (i < end) {
        Character next = code_point(data, i, end);
        if (!(bits_of(next.code, classes) & SPACE)) {
            first = least(first, i);
            last = i + next.step;
        }
        i += next.step;
    }
    return first < last ? (Span){first, last} : (Span){start, start};
}

/* Whether anything but white space is in data[start:end]. */
static bool has_content(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes) {
    while (start < end) {
        Character next = code_point(data, start, end);
        if (!(bits_of(next.code, classes) & SPACE)) return true;
        start += next.step;
    }
    return false;
}

/* Whether the last character of a span ends a sentence. */
static bool ends_sentence(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes) {
    if (end <= start) return false;
    uint32_t code = code_point(data, last_character(data, start, end), end).code;
    return (bits_of(code, classes) & TERMINAL) != 0;
}

void score_split_lines(const uint8_t *data, Span text, const uint16_t *classes, double *out) {
    int64_t end = text.end, lines = 0, bullets = 0, ellipses = 0, first = text.start, i = text.start;
    while (i <= end) {
        Character next = i < end ? code_point(data, i, end) : (Character){'\n', 1};
        if (!(bits_of(next.code, classes) & LINE_BREAK)) {
            i += next.step;
            continue;
        }
        if (i < end || first < end) {
            Span line = strip_span(data, first, i, classes);
            lines++;
            if (line.start < line.end) {
                bullets += data[line.start] == '-' || code_point(data, line.start, line.end).code == BULLET;
                ellipses += ends_in_ellipsis(data, line.start, line.end);
            }
        }
        i += next.code == '\r' && i + 1 < end && data[i + 1] == '\n' ? 2 : next.step;
        first = i;
    }
    if (lines) {
        out[0] = (double)bullets / (double)lines;
        out[1] = (double)ellipses / (double)lines;
    }
}

Extent score_line_ends(const uint8_t *data, Span text, const uint16_t *classes, double *out) {
    int64_t lines = 0, punctuated = 0, brief = 0, first = text.start, length = 0;
    Extent extent = {0, 0};
    for (int64_t i = text.start; i <= text.end; i++) {
        if (i < text.end && data[i] != '\n') {
            length += !continues(data[i]);
            continue;
        }
        if (has_content(data, first, i, classes)) {
            lines++;
            punctuated += ends_sentence(data, first, i, classes);
            brief += length <= SHORT_LINE;
        }
        extent.newlines += i < text.end;
        extent.characters += length + (i < text.end);
        first = i + 1;
        length = 0;
    }
    if (lines) {
        out[0] = (double)punctuated / (double)lines;
        out[1] = (double)brief / (double)lines;
    }
    return extent;
}

typedef struct {
    int64_t number, repeats, characters;
} Parts;

/* Parts between runs of `at_least` newlines or more: their number, repeats of earlier ones, characters of those.
   `classes` is NULL where blank parts count as well. */
static Parts repeated_parts(const uint8_t *data, Span text, int64_t at_least, const uint16_t *classes, Table *table) {
    Parts parts = {0, 0, 0};
    int64_t end = text.end, first = text.start, i = text.start;
    while (i <= end) {
        int64_t run = 0, length;
        while (i + run < end && data[i + run] == '\n') run++;
        if (i < end && run < at_least) {
            i += most(run, 1);
            continue;
        }
        uint64_t key = hash_of(data, first, i, &length);
        if (!classes || has_content(data, first, i, classes)) {
            Entry *entry = table_find(table, key);
            parts.number++;
            if (table_holds(table, entry)) {
                parts.repeats++;
                parts.characters += length;
            } else {
                table_put(table, entry, key);
            }
        }
        if (i == end) break;
        i += run;
        first = i;
    }
    return parts;
}

static double share(int64_t part, int64_t whole) { return (double)part / (double)most(whole, 1); }

void score_repeats(const uint8_t *data, Span text, Extent extent, const uint16_t *classes, Table *table,
                   double *repeated, double *lines) {
    int64_t slots = slots_for(extent.newlines + 1, FILL);
    table_begin(table, slots);
    Parts parts = repeated_parts(data, text, 1, NULL, table);
    repeated[0] = share(parts.repeats, parts.number);
    repeated[1] = share(parts.characters, extent.characters);
    Span whole = strip_span(data, text.start, text.end, classes);
    table_begin(table, slots);
    parts = repeated_parts(data, whole, 2, NULL, table);
    repeated[2] = share(parts.repeats, parts.number);
    repeated[3] = share(parts.characters, extent.characters);
    table_begin(table, slots);
    parts = repeated_parts(data, text, 1, classes, table);
    lines[0] = share(parts.characters, extent.characters - extent.newlines);
}
