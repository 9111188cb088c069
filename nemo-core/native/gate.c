/* A gated feed-forward's middle: activation(gate) * up, read from one row [gate, up]. N rows, F width. */
#include <math.h>

#include "functions.h"
#include "share.h"

typedef struct {
    const float *x_NF;
    float *y_NF;
    int64_t rows, width, kind;
} Gate;

static inline Floats activated(Floats x, int64_t kind) {
    if (kind == SILU) return x * logistic(x);
    if (kind == RELU2) return larger(x, all(0.0f)) * larger(x, all(0.0f));
    if (kind == GELU_TANH) {
        Floats inner = 0.7978845608f * (x + 0.044715f * x * x * x);
        return 0.5f * x * (1.0f + hyperbolic_tangent(inner));
    }
    for (int lane = 0; lane < LANES; lane++) x[lane] *= 0.5f * (1.0f + erff(x[lane] * 0.70710678f));
    return x;
}

static void gate_rows(const void *task, int64_t first, int64_t last) {
    const Gate *gate = task;
    int64_t width = gate->width;
    for (int64_t row = first; row < last; row++) {
        const float *gate_F = gate->x_NF + 2 * row * width, *up_F = gate_F + width;
        float *y_F = gate->y_NF + row * width;
        int64_t i = 0;
        for (; i + LANES <= width; i += LANES)
            store(y_F + i, activated(load(gate_F + i), gate->kind) * load(up_F + i));
        if (i < width) {
            Floats rest = activated(load_some(gate_F + i, width - i), gate->kind);
            store_some(y_F + i, rest * load_some(up_F + i, width - i), width - i);
        }
    }
}

EXPORT void nemo_gate(const void *task) {
    const Gate *gate = task;
    share(gate_rows, gate, gate->rows, 6 * gate->rows * gate->width);
}

static void activate_rows(const void *task, int64_t first, int64_t last) {
    const Gate *gate = task;
    int64_t i = first * gate->width, end = last * gate->width;
    for (; i + LANES <= end; i += LANES) store(gate->y_NF + i, activated(load(gate->x_NF + i), gate->kind));
    if (i < end) store_some(gate->y_NF + i, activated(load_some(gate->x_NF + i, end - i), gate->kind), end - i);
}

/* Without a gate: activation(x) alone. */
EXPORT void nemo_activate(const void *task) {
    const Gate *gate = task;
    share(activate_rows, gate, gate->rows, 4 * gate->rows * gate->width);
}
