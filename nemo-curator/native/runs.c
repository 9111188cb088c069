/* Runs of characters or words as data-juicer counts them: how often each run of so many occurs in a text. */
#include <math.h>

#include "hashes.h"
#include "table.h"
#include "utf8.h"

enum { FULL = 66 };

/* What repeats among the runs of one text. */
typedef struct {
    Table table;
    int64_t *often;  /* how many runs occur so many times, 2 at least */
    int64_t highest; /* the most occurrences of a run; those of `often` up to it are in use */
    int64_t distinct;
    int64_t repeated; /* occurrences of runs that occur more than once */
} Runs;

static bool runs_make(Runs *runs, int64_t longest) {
    *runs = (Runs){.often = calloc((size_t)longest + 2, sizeof(int64_t))};
    return table_make(&runs->table, slots_for(longest, FULL)) && runs->often;
}

static void runs_free(Runs *runs) {
    free(runs->table.entries);
    free(runs->often);
}

static void note_run(uint64_t key, Runs *runs) {
    Entry *entry = table_find(&runs->table, key);
    if (!table_holds(&runs->table, entry)) {
        table_put(&runs->table, entry, key);
        runs->distinct++;
    }
    int64_t times = ++entry->tally;
    if (times == 1) return;
    runs->highest = most(runs->highest, times);
    runs->often[times]++;
    if (times > 2) runs->often[times - 1]--;
    runs->repeated += times == 2 ? 2 : 1;
}

/* Count every run of `width` values of one text. */
static void count_runs(const uint64_t *values, int64_t count, int64_t width, Runs *runs) {
    uint64_t leaving = power(width), value = 0;
    memset(runs->often, 0, (size_t)(runs->highest + 1) * sizeof(int64_t));
    runs->highest = runs->distinct = runs->repeated = 0;
    table_begin(&runs->table, slots_for(most(0, count - width + 1), FULL));
    for (int64_t i = 0; i < count; i++) {
        value = value * BASE + values[i];
        if (i >= width) value -= leaving * values[i - width];
        if (i >= width - 1) note_run(mix(value), runs);
    }
}

/* The sum of the `number` highest counts of runs that repeat; of all where there are fewer. */
static int64_t highest_counts(const Runs *runs, int64_t number) {
    int64_t sum = 0;
    for (int64_t times = runs->highest; times >= 2 && number > 0; times--) {
        int64_t taken = least(number, runs->often[times]);
        sum += taken * times;
        number -= taken;
    }
    return sum;
}

/* Per text the share of the most frequent runs of characters: as many as repeat, or the root of all. */
EXPORT int64_t character_repetition(const uint8_t *data, int64_t size, const int64_t *offsets, int64_t rows,
                                    int64_t width, double *out) {
    if (!ascend_within(offsets, rows, size)) return BAD_OFFSETS;
    int64_t longest = longest_of(offsets, rows);
    Runs runs;
    uint64_t *values = room_for(longest, sizeof(uint64_t));
    bool made = runs_make(&runs, longest) && values;
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t count = 0, i = offsets[row];
        while (i < offsets[row + 1]) {
            Character next = code_point(data, i, offsets[row + 1]);
            values[count++] = (uint64_t)next.code + 1;
            i += next.step;
        }
        count_runs(values, count, width, &runs);
        int64_t root = (int64_t)sqrt((double)runs.distinct); /* exact: the number is far below 2^52 */
        out[row] = count >= width ? (double)highest_counts(&runs, root) / (double)(count - width + 1) : 0.0;
    }
    runs_free(&runs);
    free(values);
    return made ? DONE : NO_MEMORY;
}

/* Per text, whose word hashes are hashes[starts[i]:starts[i + 1]], the share of runs of words that occur more than
   once. */
EXPORT int64_t word_repetition(const uint64_t *hashes, int64_t size, const int64_t *starts, int64_t rows,
                               int64_t width, double *out) {
    if (!ascend_within(starts, rows, size)) return BAD_OFFSETS;
    Runs runs;
    bool made = runs_make(&runs, longest_of(starts, rows));
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t count = starts[row + 1] - starts[row];
        count_runs(hashes + starts[row], count, width, &runs);
        out[row] = count >= width ? (double)runs.repeated / (double)(count - width + 1) : 0.0;
    }
    runs_free(&runs);
    return made ? DONE : NO_MEMORY;
}
