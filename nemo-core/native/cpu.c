/* Which of the levels of x86-64 (psABI: v2, v3 with AVX2, v4 with AVX-512) this machine can run; 0 on others. */
#include <stdbool.h>
#include <stdint.h>

#include "export.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum {
    OSXSAVE_FMA_MOVBE = 1 << 27 | 1 << 12 | 1 << 22, /* leaf 1, ecx */
    BMI_AVX2 = 1 << 3 | 1 << 5 | 1 << 8,             /* leaf 7, ebx */
    LZCNT = 1 << 5,                                  /* leaf 0x80000001, ecx */
    F16C = 1 << 29,                                  /* leaf 1, ecx */
    YMM_STATE = 0x6,                                 /* that the system saves, by xgetbv */
    ZMM_STATE = 0xE6
};

/* AVX-512 F, DQ, CD, BW and VL: leaf 7, ebx. */
#define AVX512 (1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31)

static uint32_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

EXPORT int64_t cpu_level(void) {
    uint32_t a, b, c, d, features, extended, wide;
    if (!__get_cpuid(1, &a, &b, &features, &d) || !__get_cpuid(0x80000001u, &a, &b, &extended, &d)) return 2;
    if (!__get_cpuid_count(7, 0, &a, &wide, &c, &d)) return 2;
    bool vectors = (features & OSXSAVE_FMA_MOVBE) == OSXSAVE_FMA_MOVBE && (features & F16C) && (extended & LZCNT) &&
                   (wide & BMI_AVX2) == BMI_AVX2;
    if (!vectors || (saved_states() & YMM_STATE) != YMM_STATE) return 2;
    return (wide & AVX512) == AVX512 && (saved_states() & ZMM_STATE) == ZMM_STATE ? 4 : 3;
}
#else
EXPORT int64_t cpu_level(void) { return 0; }
#endif
