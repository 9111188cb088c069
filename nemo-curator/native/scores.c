/* All numbers that the Gopher rules look at (Rae et al. 2021, appendix A), for every document, in one pass. */
#include "repetition.h"
#include "text_marks.h"
#include "words.h"

enum { SCORES = 20, STOP_WORDS = 8, LONGEST_STOP_WORD = 4 };

typedef struct {
    Spans spans;
    int64_t *before; /* characters of the words before each */
    uint64_t *grams;
    Table table;
} Work;

/* The span from the first letter of a word to its last one; an empty one where it has none. */
static Span letters_of(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes) {
    int64_t first = start, last = end;
    while (first < end) {
        Character next = code_point(data, first, end);
        if (bits_of(next.code, classes) & LETTER) break;
        first += next.step;
    }
    while (last > first) {
        int64_t i = last_character(data, first, last);
        if (bits_of(code_point(data, i, end).code, classes) & LETTER) return (Span){first, last};
        last = i;
    }
    return (Span){start, start};
}

/* The bit of the stop word that data[start:end] is, apart from case; 0 where it is none. */
static uint32_t stop_word_bit(const uint8_t *data, int64_t start, int64_t end, const uint64_t *stop_words) {
    if (end - start < 2 || end - start > LONGEST_STOP_WORD) return 0;
    uint64_t packed = 0;
    for (int64_t i = end - 1; i >= start; i--) packed = packed << 8 | (data[i] | 0x20u);
    for (int k = 0; k < STOP_WORDS; k++) {
        if (stop_words[k] == packed) return 1u << k;
    }
    return 0;
}

/* Fill the scores that words decide: number, mean length, symbols, alphabetic share, distinct stop words. */
static void score_words(const uint8_t *data, Span text, int64_t count, const Work *work, const uint64_t *stop_words,
                        const uint16_t *classes, double *out) {
    int64_t alphabetic = 0;
    uint32_t seen = 0;
    for (int64_t i = 0; i < count; i++) {
        Span word = letters_of(data, work->spans.starts[i], work->spans.ends[i], classes);
        alphabetic += word.start < word.end;
        seen |= stop_word_bit(data, word.start, word.end, stop_words);
    }
    out[0] = (double)count;
    out[6] = __builtin_popcount(seen);
    if (count) {
        out[1] = (double)work->before[count] / (double)count;
        out[2] = (double)count_symbols(data, text.start, text.end) / (double)count;
        out[5] = (double)alphabetic / (double)count;
    }
}

/* Shares of spans, and of their characters, that repeat an earlier span. */
static void score_repeated(const Spans *spans, int64_t count, Table *table, double *out) {
    int64_t repeats = 0, repeated = 0, total = 0;
    table_begin(table, slots_for(count, FILL));
    for (int64_t i = 0; i < count; i++) {
        Entry *entry = table_find(table, spans->hashes[i]);
        total += spans->lengths[i];
        if (table_holds(table, entry)) {
            repeats++;
            repeated += spans->lengths[i];
        } else {
            table_put(table, entry, spans->hashes[i]);
        }
    }
    out[0] = total ? (double)repeats / (double)count : 0.0;
    out[1] = total ? (double)repeated / (double)total : 0.0;
}

/* Fill the scores that lines and paragraphs decide. */
static void score_lines(const uint8_t *data, Span text, Work *work, double *out) {
    Spans *spans = &work->spans;
    int64_t count = split_lines(data, text.start, text.end, spans), bullets = 0, ellipses = 0;
    for (int64_t i = 0; i < count; i++) {
        bullets += is_bullet(data, spans->starts[i], spans->ends[i]);
        ellipses += ends_in_ellipsis(data, spans->starts[i], spans->ends[i]);
    }
    hash_spans(data, count, spans);
    if (count) {
        out[3] = (double)bullets / (double)count;
        out[4] = (double)ellipses / (double)count;
    }
    score_repeated(spans, count, &work->table, out + 7);
    count = join_paragraphs(data, count, spans);
    hash_spans(data, count, spans);
    score_repeated(spans, count, &work->table, out + 9);
}

/* Share of characters in the n-gram that fills most of them, of those that occur at least twice. */
static double top_share(int64_t n, int64_t count, Work *work) {
    const int64_t *before = work->before;
    int64_t filled = 0, size = count - n + 1;
    Table *table = &work->table;
    table_begin(table, slots_for(size, FILL));
    for (int64_t i = 0; i < size; i++) {
        Entry *entry = table_find(table, work->grams[i]);
        if (!table_holds(table, entry)) table_put(table, entry, work->grams[i]);
        entry->tally++;
        if (entry->tally > 1) filled = most(filled, entry->tally * (before[i + n] - before[i]));
    }
    double share = (double)filled / (double)before[count];
    return share < 1.0 ? share : 1.0;
}

/* Share of characters in n-grams that occurred before; overlapping ones count their characters once. */
static double duplicate_share(int64_t n, int64_t count, Work *work) {
    const int64_t *before = work->before;
    int64_t covered = 0, until = 0, size = count - n + 1;
    Table *table = &work->table;
    table_begin(table, slots_for(size, FILL));
    for (int64_t i = 0; i < size; i++) {
        Entry *entry = table_find(table, work->grams[i]);
        if (table_holds(table, entry)) {
            covered += before[i + n] - before[most(i, until)];
            until = i + n;
        } else {
            table_put(table, entry, work->grams[i]);
        }
    }
    return (double)covered / (double)before[count];
}

/* Top shares for n = 2 to 4 and duplicate shares for n = 5 to 10. */
static void score_ngrams(int64_t count, Work *work, double *out) {
    memcpy(work->grams, work->spans.hashes, (size_t)count * sizeof(uint64_t));
    for (int64_t n = 2; n <= least(LONGEST_NGRAM, count); n++) {
        extend(work->grams, work->spans.hashes, n, count);
        out[n - 2] = n <= LONGEST_TOP ? top_share(n, count, work) : duplicate_share(n, count, work);
    }
}

static bool work_make(Work *work, int64_t longest) {
    int64_t room = longest / 2 + 2; /* a word or line takes a byte, and one to part it from the next */
    bool made = spans_make(&work->spans, room);
    work->before = room_for(room + 1, sizeof(int64_t));
    work->grams = room_for(room, sizeof(uint64_t));
    return table_make(&work->table, slots_for(room, FILL)) && made && work->before && work->grams;
}

static void work_free(Work *work) {
    spans_free(&work->spans);
    free(work->before);
    free(work->grams);
    free(work->table.entries);
}

/* SCORES [20, rows] of all texts, in the order of kernels/scores.py. */
EXPORT int64_t score_gopher(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                            const uint64_t *stop_words, const uint16_t *classes, double *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    Work work;
    bool made = work_make(&work, longest_of(offsets, rows));
    for (int64_t row = 0; made && row < rows; row++) {
        double scores[SCORES] = {0};
        Span text = {offsets[row], offsets[row + 1]};
        score_lines(data, text, &work, scores);
        int64_t count = split_words(data, text.start, text.end, &work.spans);
        sum_before(work.spans.lengths, count, work.before);
        score_words(data, text, count, &work, stop_words, classes, scores);
        score_ngrams(count, &work, scores + 11);
        for (int k = 0; k < SCORES; k++) out[k * rows + row] = scores[k];
    }
    work_free(&work);
    return made ? DONE : NO_MEMORY;
}
