/* An open-addressed table of 64-bit keys that is emptied by counting up a stamp, so that each text costs what it holds. */
#ifndef TABLE_H
#define TABLE_H

#include "texts.h"

typedef struct {
    uint64_t key;
    uint32_t stamp; /* the entry counts where this is the table's */
    uint32_t tally;
} Entry;

typedef struct {
    Entry *entries;
    int64_t slots; /* that there is room for; a power of two */
    uint64_t last; /* the last slot in use now */
    uint32_t stamp;
} Table;

/* A power of two that `count` keys fill to `fill` percent at most. So many at least that few keys seldom meet, and that
   all stay in the nearest cache. */
static inline int64_t slots_for(int64_t count, int64_t fill) {
    int64_t slots = 512;
    while (slots * fill / 100 < count) slots *= 2;
    return slots;
}

/* Room for `slots` entries; false where there is no memory. */
static inline bool table_make(Table *table, int64_t slots) {
    *table = (Table){.entries = calloc((size_t)slots, sizeof(Entry)), .slots = slots};
    return table->entries != NULL;
}

/* Forget all keys, and use `slots` slots from now on. */
static inline void table_begin(Table *table, int64_t slots) {
    table->last = (uint64_t)least(slots, table->slots) - 1;
    if (++table->stamp == 0) {
        memset(table->entries, 0, (size_t)table->slots * sizeof(Entry));
        table->stamp = 1;
    }
}

/* The entry of a key, or the free one where it belongs. */
static inline Entry *table_find(const Table *table, uint64_t key) {
    uint64_t slot = key & table->last;
    Entry *entry = &table->entries[slot];
    while (entry->stamp == table->stamp && entry->key != key) {
        slot = (slot + 1) & table->last;
        entry = &table->entries[slot];
    }
    return entry;
}

/* Whether the key of an entry was there before. */
static inline bool table_holds(const Table *table, const Entry *entry) { return entry->stamp == table->stamp; }

/* Put a key into the free entry that table_find gave for it. */
static inline void table_put(const Table *table, Entry *entry, uint64_t key) {
    *entry = (Entry){.key = key, .stamp = table->stamp, .tally = 0};
}

#endif
