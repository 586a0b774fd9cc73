/* Sixteen sums side by side: numbers 0, 16, 32, ... are added to the first, 1, 17, 33, ... to the second.
 * Written as a vector type, since GCC turns a loop of sixteen turns into poor straight-line code.
 */
#ifndef MXOPT_LANES_H
#define MXOPT_LANES_H

#include <stddef.h>

#if defined(__GNUC__)
#define MXOPT_ADD_TO_LANES(real)                                                                      \
    typedef real mxopt_##real##_lanes                                                                 \
        __attribute__((vector_size(16 * sizeof(real)), aligned(sizeof(real)), may_alias));            \
    static inline void mxopt_add_to_##real##_lanes(real *sums, const real *x, ptrdiff_t n) {          \
        mxopt_##real##_lanes lanes = *(const mxopt_##real##_lanes *)sums;                             \
        for (ptrdiff_t i = 0; i < n; i += 16) lanes += *(const mxopt_##real##_lanes *)(x + i);        \
        *(mxopt_##real##_lanes *)sums = lanes;                                                        \
    }
#else
#define MXOPT_ADD_TO_LANES(real)                                                                      \
    static inline void mxopt_add_to_##real##_lanes(real *sums, const real *x, ptrdiff_t n) {          \
        for (ptrdiff_t i = 0; i < n; i += 16)                                                         \
            for (int k = 0; k < 16; k++) sums[k] += x[i + k];                                         \
    }
#endif

/* n is a multiple of 16 */
MXOPT_ADD_TO_LANES(float)
MXOPT_ADD_TO_LANES(double)

#endif
