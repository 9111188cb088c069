/* Hashes of windows of lines, sentences, paragraphs or words. */
#include "words.h"

enum { LINES = 0, SENTENCES = 1, PARAGRAPHS = 2, WORDS = 3 };

/* Bytes of the mark at `i` that ends a sentence, 0 where there is none. */
static int mark_length(const uint8_t *data, int64_t i, int64_t end) {
    uint8_t c = data[i];
    if (c == '.' || c == '!' || c == '?') return 1;
    if (i + 2 >= end) return 0;
    if (c == 0xE3 && data[i + 1] == 0x80 && data[i + 2] == 0x82) return 3; /* ideographic full stop */
    bool wide = c == 0xEF && data[i + 1] == 0xBC && (data[i + 2] == 0x81 || data[i + 2] == 0x9F);
    return wide ? 3 : 0; /* full-width ! and ? */
}

/* Bytes of the quotation mark or bracket at `i` that may close a sentence, 0 where there is none. */
static int closing_length(const uint8_t *data, int64_t i, int64_t end) {
    uint8_t c = data[i];
    if (c == '"' || c == '\'' || c == ')' || c == ']') return 1;
    if (i + 2 < end && c == 0xE2 && data[i + 1] == 0x80 && (data[i + 2] == 0x99 || data[i + 2] == 0x9D)) return 3;
    return i + 1 < end && c == 0xC2 && data[i + 1] == 0xBB ? 2 : 0;
}

/* Where the sentence that has an end mark at `i` ends, 0 where it goes on.

   Latin marks end it only before white space; those of Chinese and Japanese always do. */
static int64_t sentence_end(const uint8_t *data, int64_t i, int64_t end) {
    bool wide = data[i] >= 0x80;
    for (int step; i < end && (step = mark_length(data, i, end));) i += step;
    for (int step; i < end && (step = closing_length(data, i, end));) i += step;
    return wide || i == end || space_length(data, i, end) ? i : 0;
}

/* Cut data[start:end] into sentences, which end at end marks and newlines; their number. */
static int64_t split_sentences(const uint8_t *data, int64_t start, int64_t end, Spans *out) {
    int64_t count = 0, i = start;
    while (i < end) {
        int step = space_length(data, i, end);
        if (step) {
            i += step;
            continue;
        }
        int64_t first = i, last = i;
        while (i < end && data[i] != '\n') {
            int64_t stop = mark_length(data, i, end) ? sentence_end(data, i, end) : 0;
            if (stop) {
                i = last = stop;
                break;
            }
            if (!space_length(data, i, end)) last = i + 1;
            i++;
        }
        out->starts[count] = first;
        out->ends[count++] = last;
    }
    return count;
}

/* Cut a text into units; their number. */
static int64_t split(const uint8_t *data, int64_t start, int64_t end, int64_t unit, Spans *out) {
    int64_t count;
    if (unit == WORDS) return split_words(data, start, end, out);
    if (unit == SENTENCES) {
        count = split_sentences(data, start, end, out);
    } else {
        count = split_lines(data, start, end, out);
        if (unit == PARAGRAPHS) count = join_paragraphs(data, count, out);
    }
    hash_spans(data, count, out);
    return count;
}

/* Windows of all texts: a hash of each, and in places [3, room] its text, first byte and end. */
typedef struct {
    uint64_t *hashes;
    int32_t *places;
    int64_t room, count;
} Windows;

/* Add the windows of `width` units of one text that span `few` bytes or more. A window ends where the next unit begins, so
   that cutting it out leaves no gap. */
static void add_windows(const Spans *units, int64_t count, int64_t width, int64_t few, Span text, int64_t row,
                        Windows *out) {
    uint64_t leaving = power(width), value = 0;
    for (int64_t i = 0; i < count; i++) {
        value = value * BASE + units->hashes[i];
        if (i >= width) value -= leaving * units->hashes[i - width];
        int64_t begin = i - width + 1;
        if (begin < 0 || units->ends[i] - units->starts[begin] < few || out->count == out->room) continue;
        out->hashes[out->count] = mix(value);
        out->places[out->count] = (int32_t)row;
        out->places[out->room + out->count] = (int32_t)(units->starts[begin] - text.start);
        int64_t next = i + 1 < count ? units->starts[i + 1] : text.end;
        out->places[2 * out->room + out->count++] = (int32_t)(next - text.start);
    }
}

/* Hash, text, first byte and end of every window of `width` units that spans `few` bytes or more; their number. `hashes`
   has `room`, `places` is [3, room]. */
EXPORT int64_t unit_windows(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows, int64_t unit,
                            int64_t width, int64_t few, int64_t room, uint64_t *hashes, int32_t *places) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    Windows out = {hashes, places, room, 0};
    Spans units;
    bool made = spans_make(&units, longest_of(offsets, rows) / 2 + 2);
    for (int64_t row = 0; made && row < rows; row++) {
        Span text = {offsets[row], offsets[row + 1]};
        int64_t count = split(data, text.start, text.end, unit, &units);
        add_windows(&units, count, width, few, text, row, &out);
    }
    spans_free(&units);
    return made ? out.count : NO_MEMORY;
}
