/* N-gram repetition as NeMo Curator 0.9 defines it: characters with the blanks between words, by all characters. */
#include "repetition.h"
#include "words.h"

enum { SHORTEST_NGRAM = 2, SIZES = LONGEST_NGRAM - SHORTEST_NGRAM + 1, TOPS = LONGEST_TOP - SHORTEST_NGRAM + 1 };

typedef struct {
    Spans words;
    int64_t *before;
    uint64_t *grams;
    Table table;
} Work;

/* Characters of words in n-grams seen before, and of the blanks that go with them, overlaps counted once. */
static int64_t duplicated(int64_t n, int64_t count, Work *work) {
    const int64_t *before = work->before;
    int64_t characters = 0, overlap = 0, size = count - n + 1;
    table_begin(&work->table, slots_for(size, FILL));
    for (int64_t i = 0; i < size; i++) {
        Entry *entry = table_find(&work->table, work->grams[i]);
        if (table_holds(&work->table, entry)) {
            characters += before[i + n] - before[i + overlap] + least(n - overlap, n - 1);
            overlap = n;
        } else {
            table_put(&work->table, entry, work->grams[i]);
        }
        overlap = most(overlap - 1, 0);
    }
    return characters;
}

/* Fill the spans and numbers of one text. */
static void repeat_text(int64_t count, Work *work, int64_t *spans, int64_t *repeated) {
    sum_before(work->words.lengths, count, work->before);
    memcpy(work->grams, work->words.hashes, (size_t)count * sizeof(uint64_t));
    for (int64_t n = SHORTEST_NGRAM; n <= least(LONGEST_NGRAM, count); n++) {
        int64_t at = n - SHORTEST_NGRAM;
        extend(work->grams, work->words.hashes, n, count);
        if (n <= LONGEST_TOP) {
            int64_t often, first = most_frequent(work->grams, count - n + 1, &work->table, &often);
            spans[2 * at] = work->words.starts[first];
            spans[2 * at + 1] = work->words.ends[first + n - 1];
        }
        repeated[at] = duplicated(n, count, work);
    }
}

static bool work_make(Work *work, int64_t longest) {
    int64_t room = longest / 2 + 2;
    bool made = spans_make(&work->words, room);
    work->before = room_for(room + 1, sizeof(int64_t));
    work->grams = room_for(room, sizeof(uint64_t));
    return table_make(&work->table, slots_for(room, FILL)) && made && work->before && work->grams;
}

/* Per text the spans [rows, 3, 2] of the most frequent 2- to 4-gram and the duplicated characters [rows, 9] for 2 to 10;
   both are -1 before, and stay so where there are too few words. */
EXPORT int64_t repeat_ngrams(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows, int64_t *spans,
                             int64_t *repeated) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    Work work;
    bool made = work_make(&work, longest_of(offsets, rows));
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t count = split_words(data, offsets[row], offsets[row + 1], &work.words);
        repeat_text(count, &work, spans + 2 * TOPS * row, repeated + SIZES * row);
    }
    spans_free(&work.words);
    free(work.before);
    free(work.grams);
    free(work.table.entries);
    return made ? DONE : NO_MEMORY;
}
