/* The middle of a gated feed-forward both ways: activation(gate) * up (Shazeer 2020). I numbers of each. */
#include "functions.h"
#include "share.h"

typedef struct {
    const float *gate_I, *up_I, *pull_I;
    float *wide_I, *grad_gate_I, *grad_up_I;
    int64_t count, kind;
} Gate;

#define PART 4096 /* numbers that a thread takes at a time at least */

/* erf(|z|) from power = e**(-z * z); its absolute error is 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26). */
static inline Floats error_function(Floats distance, Floats power) {
    Floats t = 1.0f / (1.0f + 0.3275911f * distance);
    Floats sum = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    return 1.0f - sum * power;
}

/* 1 / (1 + e**-x) and its derivative, neither by a difference of numbers near 1. */
static inline Floats logistic_and_slope(Floats x, Floats *slope) {
    Floats power = exponential(-magnitude(x)), share_of_one = 1.0f / (1.0f + power), rest = power * share_of_one;
    *slope = share_of_one * rest;
    return choose(x < 0.0f, rest, share_of_one);
}

/* The activation of x and, in `slope`, its derivative. */
static inline Floats activated(Floats x, int64_t kind, Floats *slope) {
    Floats apart;
    if (kind == SILU) {
        Floats part = logistic_and_slope(x, &apart);
        *slope = part + x * apart;
        return x * part;
    }
    if (kind == RELU2) {
        Floats kept = larger(x, all(0.0f));
        *slope = 2.0f * kept;
        return kept * kept;
    }
    if (kind == GELU_TANH) { /* (1 + tanh(z / 2)) / 2 is logistic(z) */
        Floats part = logistic_and_slope(1.5957691216f * (x + 0.044715f * x * x * x), &apart);
        *slope = part + x * apart * (1.5957691216f * (1.0f + 0.134145f * x * x));
        return x * part;
    }
    Floats power = exponential(-0.5f * x * x), erf = error_function(magnitude(x) * 0.70710678f, power);
    Floats below = 0.5f + 0.5f * choose(x < 0.0f, -erf, erf); /* the normal distribution's, up to x */
    *slope = below + x * power * 0.3989422804f;
    return x * below;
}

static inline void forth(const Gate *gate, int64_t i, int64_t count) {
    Floats slope, x = count < LANES ? load_some(gate->gate_I + i, count) : load(gate->gate_I + i);
    Floats up = count < LANES ? load_some(gate->up_I + i, count) : load(gate->up_I + i);
    Floats wide = activated(x, gate->kind, &slope) * up;
    if (count < LANES)
        store_some(gate->wide_I + i, wide, count);
    else
        store(gate->wide_I + i, wide);
}

static inline void back(const Gate *gate, int64_t i, int64_t count) {
    Floats slope, x = count < LANES ? load_some(gate->gate_I + i, count) : load(gate->gate_I + i);
    Floats up = count < LANES ? load_some(gate->up_I + i, count) : load(gate->up_I + i);
    Floats pull = count < LANES ? load_some(gate->pull_I + i, count) : load(gate->pull_I + i);
    Floats active = activated(x, gate->kind, &slope), answers[3] = {active * up, pull * up * slope, pull * active};
    float *places[3] = {gate->wide_I + i, gate->grad_gate_I + i, gate->grad_up_I + i};
    for (int part = 0; part < 3; part++)
        if (count < LANES)
            store_some(places[part], answers[part], count);
        else
            store(places[part], answers[part]);
}

static void forth_parts(const void *task, int64_t first, int64_t last) {
    const Gate *gate = task;
    int64_t end = last * PART < gate->count ? last * PART : gate->count;
    for (int64_t i = first * PART; i < end; i += LANES) forth(gate, i, end - i);
}

static void back_parts(const void *task, int64_t first, int64_t last) {
    const Gate *gate = task;
    int64_t end = last * PART < gate->count ? last * PART : gate->count;
    for (int64_t i = first * PART; i < end; i += LANES) back(gate, i, end - i);
}

EXPORT void nemo_train_gate(const float *gate_I, const float *up_I, float *wide_I, int64_t count, int64_t kind) {
    Gate gate = {gate_I, up_I, NULL, wide_I, NULL, NULL, count, kind};
    share(forth_parts, &gate, (count + PART - 1) / PART, 6 * count);
}

/* Of the gradient `pull` after the gate: those of gate and up, and what the gate gave, made anew. `pull` may be where
   one of the answers goes. */
EXPORT void nemo_train_gate_back(const float *gate_I, const float *up_I, const float *pull_I, float *wide_I,
                                 float *grad_gate_I, float *grad_up_I, int64_t count, int64_t kind) {
    Gate gate = {gate_I, up_I, pull_I, wide_I, grad_gate_I, grad_up_I, count, kind};
    share(back_parts, &gate, (count + PART - 1) / PART, 8 * count);
}
