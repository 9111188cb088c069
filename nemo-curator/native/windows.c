/* Words as re's \w+ finds them in lower-case text, and windows of words looked up in a table of hashes. */
#include "hashes.h"
#include "utf8.h"

#define FREE UINT64_C(0)

/* Set each word's first character, the one behind its last, and its hash; their number. There is room for one per two
   bytes. */
EXPORT int64_t find_words(const uint8_t *data, int64_t size, const uint16_t *classes, int64_t *starts, int64_t *ends,
                          uint64_t *hashes) {
    int64_t count = 0, position = 0, i = 0;
    uint64_t value = SEED;
    bool inside = false;
    while (i < size) {
        Character next = code_point(data, i, size);
        if (bits_of(next.code, classes) & NUMERIC || next.code == '_') {
            if (!inside) {
                inside = true;
                value = SEED;
                starts[count] = position;
            }
            for (int32_t k = 0; k < next.step; k++) value = with_byte(value, data[i + k]);
        } else if (inside) {
            inside = false;
            ends[count] = position;
            hashes[count++] = mix(value);
        }
        i += next.step;
        position++;
    }
    if (inside) {
        ends[count] = position;
        hashes[count++] = mix(value);
    }
    return count;
}

/* Hash of the `size` words from `words` on; never FREE. */
static uint64_t hash_window(const uint64_t *words, int64_t size) {
    uint64_t value = (uint64_t)size;
    for (int64_t i = 0; i < size; i++) value = mix(value * 3 + words[i]);
    return value != FREE ? value : 1;
}

/* Hashes of all windows of `size` of `count` words; their number. */
EXPORT int64_t window_hashes_of_words(const uint64_t *words, int64_t count, int64_t size, uint64_t *out) {
    for (int64_t i = 0; i < count - size + 1; i++) out[i] = hash_window(words + i, size);
    return most(0, count - size + 1);
}

/* Fill an open-addressed table of `slots` (a power of two, more than keys) with the keys and the number of each. */
EXPORT int64_t build_table(const uint64_t *keys, int64_t count, int64_t slots, uint64_t *table, int64_t *numbers) {
    uint64_t last = (uint64_t)slots - 1;
    for (int64_t k = 0; k < count; k++) {
        uint64_t slot = keys[k] & last;
        while (table[slot] != FREE) slot = (slot + 1) & last;
        table[slot] = keys[k];
        numbers[slot] = k;
    }
    return DONE;
}

/* Rows (first word, words, number of the key) of the longest known window at each word; sizes go downwards. Their
   number. */
EXPORT int64_t find_windows(const uint64_t *words, int64_t count, const int64_t *sizes, int64_t num_sizes,
                            const uint64_t *table, const int64_t *numbers, int64_t slots, int64_t *found) {
    uint64_t last = (uint64_t)slots - 1;
    int64_t rows = 0;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < num_sizes; k++) {
            if (i + sizes[k] > count) continue;
            uint64_t key = hash_window(words + i, sizes[k]), slot = key & last;
            while (table[slot] != FREE && table[slot] != key) slot = (slot + 1) & last;
            if (table[slot] == FREE) continue;
            found[3 * rows] = i;
            found[3 * rows + 1] = sizes[k];
            found[3 * rows++ + 2] = numbers[slot];
            break;
        }
    }
    return rows;
}
