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
