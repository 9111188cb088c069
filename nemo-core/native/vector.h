/* Sixteen floats at a time, whatever the processor's registers hold: the compiler splits or joins them. */
#ifndef NEMO_VECTOR_H
#define NEMO_VECTOR_H

#include <stdint.h>
#include <string.h>

#include "export.h"

#define LANES 16

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

static inline Floats load(const float *place) {
    Floats values;
    memcpy(&values, place, sizeof values);
    return values;
}

static inline void store(float *place, Floats values) { memcpy(place, &values, sizeof values); }

static inline Floats all(float value) { return (Floats){0} + value; }

static inline Floats choose(Ints where, Floats yes, Floats no) {
    return (Floats)(((Ints)yes & where) | ((Ints)no & ~where));
}

static inline Floats larger(Floats left, Floats right) { return choose(left > right, left, right); }

static inline Floats smaller(Floats left, Floats right) { return choose(left < right, left, right); }

static inline Floats magnitude(Floats values) { return (Floats)((Ints)values & 0x7fffffff); }

typedef float Eight __attribute__((vector_size(32)));
typedef float Four __attribute__((vector_size(16)));

static inline float sum_of(Floats values) {
    Eight left, right;
    memcpy(&left, &values, sizeof left);
    memcpy(&right, (const char *)&values + sizeof left, sizeof right);
    left += right;
    Four low, high;
    memcpy(&low, &left, sizeof low);
    memcpy(&high, (const char *)&left + sizeof low, sizeof high);
    low += high;
    return (low[0] + low[2]) + (low[1] + low[3]);
}

typedef int32_t FourInts __attribute__((vector_size(16)));

static inline int32_t sum_of_ints(Ints values) {
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int lane = 0; lane < width; lane++) values[lane] += values[lane + width];
    return values[0];
}

/* Of four vectors at once, in the same order; in fewer steps where the compiler can be told. */
#if defined __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define PICK __builtin_shufflevector
#endif
#endif
#ifdef PICK
#define SUMS_OF(Many, x)                                                                                          \
    Many low = PICK(x[0], x[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +                         \
               PICK(x[0], x[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);                    \
    Many high = PICK(x[2], x[3], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +                        \
                PICK(x[2], x[3], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);                   \
    Many sum = PICK(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +                        \
               PICK(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);                       \
    sum += PICK(sum, sum, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);                                  \
    sum += PICK(sum, sum, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);                                  \
    return PICK(sum, sum, 0, 4, 8, 12);

static inline Four sums_of(const Floats *x) { SUMS_OF(Floats, x) }
static inline FourInts sums_of_ints(const Ints *x) { SUMS_OF(Ints, x) }
#else
static inline Four sums_of(const Floats *x) { return (Four){sum_of(x[0]), sum_of(x[1]), sum_of(x[2]), sum_of(x[3])}; }
static inline FourInts sums_of_ints(const Ints *x) {
    return (FourInts){sum_of_ints(x[0]), sum_of_ints(x[1]), sum_of_ints(x[2]), sum_of_ints(x[3])};
}
#endif

static inline float largest_of(Floats values) {
    float largest = values[0];
    for (int lane = 1; lane < LANES; lane++) largest = values[lane] > largest ? values[lane] : largest;
    return largest;
}

/* The first `count` floats of a place, zeros after them. */
static inline Floats load_some(const float *place, int64_t count) {
    Floats values = {0};
    memcpy(&values, place, (size_t)count * sizeof(float));
    return values;
}

static inline void store_some(float *place, Floats values, int64_t count) {
    memcpy(place, &values, (size_t)count * sizeof(float));
}

#endif
