/* Exponential and what is made of it, accurate to 2 units in the last place. */
#ifndef NEMO_FUNCTIONS_H
#define NEMO_FUNCTIONS_H

#include "vector.h"

enum { SILU, GELU_TANH, GELU, RELU2 }; /* kinds of activation */

/* e**x = 2**n e**r with n = round(x / ln 2): ln 2 in two parts keeps r exact (Cody and Waite 1980), e**r is its Taylor
   polynomial of degree 7, whose remainder is below 1e-8 for |r| <= ln 2 / 2. NaN stays NaN. */
static inline Floats exponential(Floats x) {
    const float most = 88.37f, least = -87.33f;
    Floats bounded = smaller(larger(x, all(least)), all(most));
    Ints n = __builtin_convertvector(bounded * 1.44269504f + choose(bounded < 0.0f, all(-0.5f), all(0.5f)), Ints);
    Floats whole = __builtin_convertvector(n, Floats);
    Floats r = bounded - whole * 0.693359375f + whole * 2.12194440e-4f;
    Floats power = all(1.0f / 5040);
    power = power * r + 1.0f / 720;
    power = power * r + 1.0f / 120;
    power = power * r + 1.0f / 24;
    power = power * r + 1.0f / 6;
    power = power * r + 0.5f;
    power = power * r + 1.0f;
    power = power * r + 1.0f;
    Floats scaled = power * (Floats)((n + 127) << 23);
    return choose(x == x, scaled, x);
}

/* 1 / (1 + e**-x) */
static inline Floats logistic(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

/* 1 - 2 / (e**2x + 1); its absolute error is that of a float near 1. */
static inline Floats hyperbolic_tangent(Floats x) { return 1.0f - 2.0f / (exponential(x * 2.0f) + 1.0f); }

#endif
