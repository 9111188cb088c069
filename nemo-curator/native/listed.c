/* Words bare of signs, and which of them are on a list. */
#include "hashes.h"
#include "repetition.h"
#include "utf8.h"

/* Marks beyond the table of classes: variation selectors. */
static bool is_variation_selector(uint32_t code) { return code >= 0xE0100 && code <= 0xE01EF; }

/* The span from its first letter to its last letter or mark; an empty one where it has no letter. */
static Span bare(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes) {
    int64_t first = end, last = end, i = start;
    while (i < end) {
        Character next = code_point(data, i, end);
        uint32_t bits = bits_of(next.code, classes);
        if (bits & LETTER) first = least(first, i);
        i += next.step;
        if (first < end && ((bits & (LETTER | MARK)) || is_variation_selector(next.code))) last = i;
    }
    return (Span){first, last};
}

/* Hashes of the words of all texts, cut at blanks, tabs and newlines and bare of signs, into `hashes`, which has room for
   one per two bytes and text; where those of each text begin into `starts`. Their number. */
EXPORT int64_t plain_words(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                           const uint16_t *classes, uint64_t *hashes, int64_t *starts) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    int64_t count = 0;
    starts[0] = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t begin = offsets[row], end = offsets[row + 1], length;
        for (int64_t i = begin; i <= end; i++) {
            if (i < end && data[i] != ' ' && data[i] != '\n' && data[i] != '\t') continue;
            Span word = bare(data, begin, i, classes);
            if (word.start < word.end) hashes[count++] = hash_of(data, word.start, word.end, &length);
            begin = i + 1;
        }
        starts[row + 1] = count;
    }
    return count;
}

typedef struct {
    Table table;
    int64_t *seen; /* by slot: the last text that had the word */
} List;

static bool list_make(List *list, const uint64_t *listed, int64_t count) {
    int64_t slots = slots_for(count, FILL);
    list->seen = room_for(slots, sizeof(int64_t));
    if (!table_make(&list->table, slots) || !list->seen) return false;
    table_begin(&list->table, slots);
    for (int64_t k = 0; k < count; k++) {
        Entry *entry = table_find(&list->table, listed[k]);
        if (!table_holds(&list->table, entry)) table_put(&list->table, entry, listed[k]);
    }
    memset(list->seen, 0xFF, (size_t)slots * sizeof(int64_t));
    return true;
}

/* Of each of the texts `rows` how many of its words are listed, and how many different ones, into out [2, number]. */
EXPORT int64_t listed_words(const uint64_t *hashes, int64_t size, const int64_t *starts, int64_t texts,
                            const int64_t *rows, int64_t number, const uint64_t *listed, int64_t count,
                            int64_t *out) {
    if (!ascend_within(starts, texts, size)) return BAD_OFFSETS;
    List list;
    bool made = list_make(&list, listed, count), fine = true;
    for (int64_t index = 0; made && index < number; index++) {
        int64_t row = rows[index], found = 0, different = 0;
        if (row < 0 || row >= texts) {
            fine = false;
            break;
        }
        for (int64_t i = starts[row]; i < starts[row + 1]; i++) {
            const Entry *entry = table_find(&list.table, hashes[i]);
            if (!table_holds(&list.table, entry)) continue;
            int64_t *seen = &list.seen[entry - list.table.entries];
            found++;
            different += *seen != index;
            *seen = index;
        }
        out[index] = found;
        out[number + index] = different;
    }
    free(list.table.entries);
    free(list.seen);
    return !made ? NO_MEMORY : fine ? DONE : BAD_OFFSETS;
}
