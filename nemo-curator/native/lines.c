/* Lines, paragraphs and words as NeMo Curator 0.9 looks at them: marks at their ends, and which come twice.

   Lines are split at newlines, paragraphs at double ones, and neither is stripped before it is compared. */
#include "hashes.h"
#include "repetition.h"
#include "utf8.h"

enum { COUNTS = 14, PACKED_BYTES = 7 };

/* Few words of seven bytes at most, packed. */
typedef struct {
    const uint64_t *values;
    int64_t count;
} Few;

/* Endings in lower case, end to end, and where each begins and the last one ends. */
typedef struct {
    const uint8_t *bytes;
    const int64_t *bounds;
    int64_t count;
} Endings;

typedef struct {
    Few symbols, stop_words, bullets, marks;
    Endings endings;
} Marks;

/* The bytes of a span as one number, behind a byte of 1; 0 where there are more than seven. */
static uint64_t pack(const uint8_t *data, int64_t start, int64_t end) {
    if (end - start > PACKED_BYTES) return 0;
    uint64_t value = 1;
    for (int64_t i = start; i < end; i++) value = value << 8 | data[i];
    return value;
}

static bool among(uint64_t value, Few few) {
    for (int64_t k = 0; k < few.count; k++) {
        if (few.values[k] == value) return true;
    }
    return false;
}

/* Whether runs of hash signs are more than half as many as the characters of a word. */
static bool mostly_hashes(const uint8_t *data, int64_t start, int64_t end) {
    int64_t runs = 0, characters = 0;
    for (int64_t i = start; i < end; i++) {
        characters += !continues(data[i]);
        runs += data[i] == '#' && (i == start || data[i - 1] != '#');
    }
    return 2 * runs > characters;
}

/* Fill the first three COUNTS of one text. */
static void count_words(const uint8_t *data, int64_t start, int64_t end, const Marks *marks, int64_t *out) {
    int64_t i = start;
    while (i < end) {
        int step = space_length(data, i, end);
        if (step) {
            i += step;
            continue;
        }
        int64_t first = i;
        bool hashes = false;
        while (i < end) {
            uint8_t c = data[i];
            if ((c <= 32 || c >= 0xC2) && space_length(data, i, end)) break;
            hashes |= c == '#';
            i++;
        }
        uint64_t word = pack(data, first, i);
        out[0] += 1;
        out[1] += among(word, marks->symbols) || (hashes && mostly_hashes(data, first, i));
        out[2] += among(word, marks->stop_words);
    }
}

/* The span without white space at its ends. */
static Span inner(const uint8_t *data, int64_t start, int64_t end) {
    int64_t first = end, last = end, i = start;
    while (i < end) {
        int step = space_length(data, i, end);
        if (step) {
            i += step;
            continue;
        }
        first = least(first, i++);
        while (i < end && continues(data[i])) i++;
        last = i;
    }
    return (Span){first, last};
}

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Whether a span ends with one of the endings, whatever the case of its Latin letters. */
static bool ends_with(const uint8_t *data, Span span, Endings endings) {
    for (int64_t index = 0; index < endings.count; index++) {
        const uint8_t *ending = endings.bytes + endings.bounds[index];
        int64_t length = endings.bounds[index + 1] - endings.bounds[index], i = 0;
        if (span.end - span.start < length) continue;
        while (i < length && lower(data[span.end - length + i]) == ending[i]) i++;
        if (i == length) return true;
    }
    return false;
}

/* Add one line to the counts of bullets, ellipses and lines without an end mark; false where it is blank. */
static bool count_ends(const uint8_t *data, int64_t start, int64_t end, const Marks *marks, int64_t *out) {
    Span line = inner(data, start, end);
    if (line.start == line.end) return false;
    out[3] += 1;
    out[4] += line.end - line.start >= 3 && among(pack(data, line.start, line.start + 3), marks->bullets);
    out[5] += ends_with(data, line, marks->endings);
    out[6] += !among(pack(data, line.end - 1, line.end), marks->marks);
    return true;
}

/* Add a line or paragraph to the counts of distinct ones, of all characters, and of those of distinct ones. */
static void count_part(const uint8_t *data, int64_t start, int64_t end, Table *table, int64_t *out) {
    int64_t characters;
    uint64_t key = hash_of(data, start, end, &characters);
    Entry *entry = table_find(table, key);
    bool fresh = !table_holds(table, entry);
    if (fresh) table_put(table, entry, key);
    out[0] += fresh;
    out[1] += characters;
    out[2] += fresh ? characters : 0;
}

/* Newlines in data[start:end]. */
static int64_t newlines_in(const uint8_t *data, int64_t start, int64_t end) {
    int64_t newlines = 0;
    for (int64_t i = start; i < end; i++) newlines += data[i] == '\n';
    return newlines;
}

/* Fill the COUNTS of one text, in the order of kernels/lines.py. */
static void count_text(const uint8_t *data, int64_t start, int64_t end, const Marks *marks, Table *table,
                       int64_t *out) {
    int64_t slots = slots_for(newlines_in(data, start, end) + 1, FILL), first = start;
    count_words(data, start, end, marks, out);
    table_begin(table, slots);
    for (int64_t i = start; i <= end; i++) {
        if (i < end && data[i] != '\n') continue;
        if (count_ends(data, first, i, marks, out)) count_part(data, first, i, table, out + 7);
        first = i + 1;
    }
    table_begin(table, slots);
    first = start;
    for (int64_t i = start; i <= end;) {
        bool twice = i + 1 < end && data[i] == '\n' && data[i + 1] == '\n';
        if (twice || i == end) {
            out[10] += 1;
            count_part(data, first, i, table, out + 11);
            first = i + 2;
        }
        i += twice ? 2 : 1;
    }
}

/* COUNTS [14, rows] of all texts; `few` has how many of symbols, stop words, bullets, marks and endings there are. */
EXPORT int64_t count_lines(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                           const uint64_t *symbols, const uint64_t *stop_words, const uint64_t *bullets,
                           const uint64_t *end_marks, const uint8_t *endings, const int64_t *bounds,
                           const int64_t *few, int64_t *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    Marks marks = {{symbols, few[0]}, {stop_words, few[1]}, {bullets, few[2]}, {end_marks, few[3]},
                   {endings, bounds, few[4]}};
    int64_t newlines = 0;
    for (int64_t row = 0; row < rows; row++) {
        newlines = most(newlines, newlines_in(data, offsets[row], offsets[row + 1]));
    }
    Table table;
    if (!table_make(&table, slots_for(newlines + 1, FILL))) return NO_MEMORY;
    for (int64_t row = 0; row < rows; row++) {
        int64_t counts[COUNTS] = {0};
        count_text(data, offsets[row], offsets[row + 1], &marks, &table, counts);
        for (int k = 0; k < COUNTS; k++) out[k * rows + row] = counts[k];
    }
    free(table.entries);
    return DONE;
}
