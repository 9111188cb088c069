/* Rotation of one head by position (Su et al. 2021). D head width, R turned features, all of them even. */
#ifndef NEMO_TURN_H
#define NEMO_TURN_H

#include <stdint.h>

/* y = x * cos + sign * (-second half, first half) * sin of the first R features; y may be x. */
static inline void turn_head(const float *x_D, float *y_D, const float *cos_R, const float *sin_R, int64_t turned,
                             float sign) {
    int64_t half = turned / 2;
    for (int64_t i = 0; i < half; i++) {
        float first = x_D[i], second = x_D[i + half];
        y_D[i] = first * cos_R[i] - second * (sign * sin_R[i]);
        y_D[i + half] = second * cos_R[i + half] + first * (sign * sin_R[i + half]);
    }
}

#endif
