#include "words.h"

bool spans_make(Spans *spans, int64_t room) {
    spans->room = room;
    spans->starts = room_for(room, sizeof(int64_t));
    spans->ends = room_for(room, sizeof(int64_t));
    spans->lengths = room_for(room, sizeof(int64_t));
    spans->hashes = room_for(room, sizeof(uint64_t));
    return spans->starts && spans->ends && spans->lengths && spans->hashes;
}

void spans_free(Spans *spans) {
    free(spans->starts);
    free(spans->ends);
    free(spans->lengths);
    free(spans->hashes);
}

int64_t split_words(const uint8_t *data, int64_t start, int64_t end, Spans *out) {
    int64_t count = 0, i = start;
    while (i < end) {
        int step = space_length(data, i, end);
        if (step) {
            i += step;
            continue;
        }
        int64_t first = i, length = 0;
        uint64_t value = SEED;
        while (i < end) {
            uint8_t c = data[i];
            if ((c <= 32 || c >= 0xC2) && space_length(data, i, end)) break;
            value = with_byte(value, c);
            length += !continues(c);
            i++;
        }
        out->starts[count] = first;
        out->ends[count] = i;
        out->lengths[count] = length;
        out->hashes[count++] = mix(value);
    }
    return count;
}

static bool ascii_space(uint8_t c) { return c == 32 || (c >= 9 && c <= 13); }

/* The span without ASCII white space at its ends. */
static Span strip(const uint8_t *data, int64_t start, int64_t end) {
    while (start < end && ascii_space(data[start])) start++;
    while (end > start && ascii_space(data[end - 1])) end--;
    return (Span){start, end};
}

int64_t split_lines(const uint8_t *data, int64_t start, int64_t end, Spans *out) {
    int64_t count = 0, first = start;
    while (first <= end) {
        const uint8_t *newline = first < end ? memchr(data + first, 10, (size_t)(end - first)) : NULL;
        int64_t stop = newline ? newline - data : end;
        Span line = strip(data, first, stop);
        if (line.start < line.end) {
            out->starts[count] = line.start;
            out->ends[count++] = line.end;
        }
        first = stop + 1;
    }
    return count;
}

int64_t join_paragraphs(const uint8_t *data, int64_t lines, Spans *spans) {
    int64_t count = 0;
    for (int64_t line = 0; line < lines; line++) {
        int64_t newlines = 0;
        for (int64_t i = count ? spans->ends[count - 1] : 0; count && i < spans->starts[line]; i++) {
            newlines += data[i] == 10;
        }
        if (newlines == 1) {
            spans->ends[count - 1] = spans->ends[line];
        } else {
            spans->starts[count] = spans->starts[line];
            spans->ends[count++] = spans->ends[line];
        }
    }
    return count;
}

void hash_spans(const uint8_t *data, int64_t count, Spans *spans) {
    for (int64_t i = 0; i < count; i++) {
        spans->hashes[i] = hash_of(data, spans->starts[i], spans->ends[i], &spans->lengths[i]);
    }
}

/* Hash of a whole buffer, as that of a word. */
EXPORT int64_t hash_bytes(const uint8_t *data, int64_t size, uint64_t *out) {
    int64_t characters;
    *out = hash_of(data, 0, size, &characters);
    return characters;
}

/* Mix every value. */
EXPORT int64_t mix_all(const uint64_t *values, int64_t count, uint64_t *out) {
    for (int64_t i = 0; i < count; i++) out[i] = mix(values[i]);
    return DONE;
}
