/* Windows of bytes, and the least hash of the parts of each: equal windows have equal minimizers (Schleimer, Wilkerson,
   Aiken, SIGMOD 2003), and only about two places of width - gram + 2 hold one. */
#include "hashes.h"

/* Hash every window of `width` bytes of data[start:end] into `out`; their number, 0 in a shorter text. */
static int64_t byte_windows(const uint8_t *data, int64_t start, int64_t end, int64_t width, uint64_t *out) {
    const uint8_t *text = data + start;
    int64_t size = end - start, count = size - width + 1;
    uint64_t leaving = power(width), value = 0;
    if (count <= 0) return 0;
    for (int64_t i = 0; i < width; i++) value = value * BASE + (text[i] + UINT64_C(1));
    out[0] = mix(value);
    for (int64_t i = width; i < size; i++) {
        value = value * BASE + (text[i] + UINT64_C(1)) - leaving * (text[i - width] + UINT64_C(1));
        out[i - width + 1] = mix(value);
    }
    return count;
}

/* The least of every `width` neighbouring values and the place of its first occurrence, counted from `first`; how many
   there are. `queue` has the places of values that may still be the least of a window, their values ascending. */
static int64_t minima_of(const uint64_t *values, int64_t count, int64_t width, int64_t first, int64_t *queue,
                         uint64_t *lowest, int64_t *places) {
    int64_t head = 0, tail = 0;
    for (int64_t i = 0; i < count; i++) {
        while (tail > head && values[queue[tail - 1]] > values[i]) tail--;
        queue[tail++] = i;
        if (queue[head] <= i - width) head++;
        if (i < width - 1) continue;
        lowest[i - width + 1] = values[queue[head]];
        places[i - width + 1] = first + queue[head];
    }
    return most(0, count - width + 1);
}

/* For every window of `width` bytes of all texts: the least hash of its `gram`-byte parts (gram <= width), and where that
   is; both have room for one per byte. Where each text's windows begin goes to `starts`. The number of windows. */
EXPORT int64_t minimizers(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows, int64_t width,
                          int64_t gram, uint64_t *lowest, int64_t *places, int64_t *starts) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    int64_t longest = longest_of(offsets, rows);
    uint64_t *grams = room_for(longest, sizeof(uint64_t));
    int64_t *queue = room_for(longest, sizeof(int64_t));
    bool made = grams && queue;
    starts[0] = 0;
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t count = byte_windows(data, offsets[row], offsets[row + 1], gram, grams), at = starts[row];
        starts[row + 1] =
            at + minima_of(grams, count, width - gram + 1, offsets[row], queue, lowest + at, places + at);
    }
    free(grams);
    free(queue);
    return made ? starts[rows] : NO_MEMORY;
}

/* Hash, text, first byte and end of the windows of `width` bytes that are chosen: one flag per window, those of a text
   from starts[row] on. `hashes` has `total`, places is [3, total], and as many are chosen. Their number. */
EXPORT int64_t chosen_windows(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows, int64_t width,
                              const int64_t *starts, const bool *chosen, int64_t total, uint64_t *hashes,
                              int32_t *places) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    uint64_t *windows = room_for(longest_of(offsets, rows), sizeof(uint64_t));
    if (!windows) return NO_MEMORY;
    int64_t at = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t count = starts[row + 1] - starts[row], hashed = 0;
        const bool *flags = chosen + starts[row];
        for (int64_t i = 0; i < count && at < total; i++) {
            if (!flags[i]) continue;
            if (!hashed) hashed = byte_windows(data, offsets[row], offsets[row + 1], width, windows);
            if (i >= hashed) break;
            hashes[at] = windows[i];
            places[at] = (int32_t)row;
            places[total + at] = (int32_t)i;
            places[2 * total + at++] = (int32_t)(i + width);
        }
    }
    free(windows);
    return at;
}
