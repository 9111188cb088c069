/* How much of a text says again what it said before, by the hashes of its spans; equal hashes count as equal text. */
#ifndef REPETITION_H
#define REPETITION_H

#include "hashes.h"
#include "table.h"

enum { LONGEST_TOP = 4, LONGEST_NGRAM = 10, FILL = 50 };

/* Turn the hashes of (n-1)-grams into those of n-grams, in place. */
static inline void extend(uint64_t *grams, const uint64_t *hashes, int64_t n, int64_t count) {
    for (int64_t i = 0; i < count - n + 1; i++) grams[i] = mix(grams[i] * 3 + hashes[i + n - 1]);
}

/* Where the sums of the first 0, 1, ... lengths go. */
static inline void sum_before(const int64_t *lengths, int64_t count, int64_t *before) {
    before[0] = 0;
    for (int64_t i = 0; i < count; i++) before[i + 1] = before[i] + lengths[i];
}

/* Where the most frequent n-gram first occurs (of several, the one that occurs first), and how often it does; -1 and 0
   where there is none. */
static inline int64_t most_frequent(const uint64_t *grams, int64_t size, Table *table, int64_t *often) {
    uint32_t highest = 0;
    table_begin(table, slots_for(size, FILL));
    for (int64_t i = 0; i < size; i++) {
        Entry *entry = table_find(table, grams[i]);
        if (!table_holds(table, entry)) table_put(table, entry, grams[i]);
        entry->tally++;
        if (entry->tally > highest) highest = entry->tally;
    }
    *often = highest;
    if (highest == 1) return 0;
    for (int64_t i = 0; i < size; i++) {
        if (table_find(table, grams[i])->tally == highest) return i;
    }
    return -1;
}

#endif
