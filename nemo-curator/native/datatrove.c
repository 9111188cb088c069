/* The numbers that datatrove's Gopher and FineWeb rules look at, as datatrove defines them, in one pass. */
#include "datatrove_lines.h"
#include "repetition.h"
#include "text_marks.h"
#include "tokens.h"

enum { SCORES = 24, STOP_WORDS = 8, LONGEST_STOP_WORD = 4 };

typedef struct {
    Spans spans;
    int64_t *kinds, *before;
    uint64_t *grams;
    Table table;
} Work;

/* The bit of the stop word that a token is, letter by letter; 0 where it is none. */
static uint32_t exact_stop_word(const uint8_t *data, int64_t start, int64_t end, const uint64_t *stop_words) {
    if (end - start > LONGEST_STOP_WORD) return 0;
    uint64_t packed = 0;
    for (int64_t i = end - 1; i >= start; i--) packed = packed << 8 | data[i];
    for (int k = 0; k < STOP_WORDS; k++) {
        if (stop_words[k] == packed) return 1u << k;
    }
    return 0;
}

/* Fill the scores that single words decide. */
static void score_tokens(const uint8_t *data, Span text, int64_t count, const Work *work, const uint64_t *stop_words,
                         double *out) {
    int64_t plain = 0, total = 0, alphabetic = 0;
    uint32_t seen = 0;
    for (int64_t i = 0; i < count; i++) {
        if (work->kinds[i] != SYMBOL) {
            plain++;
            total += work->spans.lengths[i];
        }
        alphabetic += work->kinds[i] == WITH_LETTER;
        seen |= exact_stop_word(data, work->spans.starts[i], work->spans.ends[i], stop_words);
    }
    out[0] = (double)plain;
    out[1] = plain ? (double)total / (double)plain : 0.0;
    out[6] = __builtin_popcount(seen);
    if (count) {
        out[2] = (double)count_symbols(data, text.start, text.end) / (double)count;
        out[5] = (double)alphabetic / (double)count;
    }
}

/* Characters of the most frequent n-gram, blanks between its words included, times its occurrences. */
static int64_t top_gram(int64_t n, int64_t count, Work *work) {
    int64_t often, at = most_frequent(work->grams, count - n + 1, &work->table, &often);
    return at < 0 ? 0 : often * (work->before[at + n] - work->before[at] + n - 1);
}

/* Characters of n-grams that occurred before, none counted twice: behind one the search goes on after it. */
static int64_t repeated_grams(int64_t n, int64_t count, Work *work) {
    int64_t repeated = 0, i = 0;
    table_begin(&work->table, slots_for(count - n + 1, FILL));
    while (i < count - n + 1) {
        Entry *entry = table_find(&work->table, work->grams[i]);
        if (table_holds(&work->table, entry)) {
            repeated += work->before[i + n] - work->before[i];
            i += n;
        } else {
            table_put(&work->table, entry, work->grams[i]);
            i++;
        }
    }
    return repeated;
}

/* The n-gram scores for n = 2 to 10. */
static void score_grams(int64_t count, int64_t characters, Work *work, double *out) {
    memcpy(work->grams, work->spans.hashes, (size_t)count * sizeof(uint64_t));
    for (int64_t n = 2; n <= least(LONGEST_NGRAM, count); n++) {
        extend(work->grams, work->spans.hashes, n, count);
        int64_t found = n <= LONGEST_TOP ? top_gram(n, count, work) : repeated_grams(n, count, work);
        out[n - 2] = (double)found / (double)characters;
    }
}

static bool work_make(Work *work, int64_t longest) {
    int64_t room = longest + 1; /* a sign takes a byte */
    bool made = spans_make(&work->spans, room);
    work->kinds = room_for(room, sizeof(int64_t));
    work->before = room_for(room + 1, sizeof(int64_t));
    work->grams = room_for(room, sizeof(uint64_t));
    return table_make(&work->table, slots_for(room, FILL)) && made && work->kinds && work->before && work->grams;
}

static void work_free(Work *work) {
    spans_free(&work->spans);
    free(work->kinds);
    free(work->before);
    free(work->grams);
    free(work->table.entries);
}

/* SCORES [24, rows] of all texts, in the order of kernels/datatrove.py. */
EXPORT int64_t score_datatrove(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                               const uint64_t *stop_words, const uint16_t *classes, double *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    Work work;
    bool made = work_make(&work, longest_of(offsets, rows));
    for (int64_t row = 0; made && row < rows; row++) {
        double scores[SCORES] = {0};
        Span text = {offsets[row], offsets[row + 1]};
        score_split_lines(data, text, classes, scores + 3);
        Extent extent = score_line_ends(data, text, classes, scores + 20);
        score_repeats(data, text, extent, classes, &work.table, scores + 7, scores + 22);
        int64_t count = split_tokens(data, text.start, text.end, classes, &work.spans, work.kinds);
        sum_before(work.spans.lengths, count, work.before);
        score_tokens(data, text, count, &work, stop_words, scores);
        score_grams(count, most(extent.characters, 1), &work, scores + 11);
        scores[23] = (double)extent.newlines / (double)most(count, 1);
        for (int k = 0; k < SCORES; k++) out[k * rows + row] = scores[k];
    }
    work_free(&work);
    return made ? DONE : NO_MEMORY;
}
