/* States of rows that rest: x * by + zero, step by step, since a closed form would round otherwise. A step waits for the
 * one before it, so four registers go side by side. */
#ifndef MXOPT_FADE_H
#define MXOPT_FADE_H

#include <stddef.h>
#include <string.h>

enum { MXOPT_FADE_LOOK = 128 }; /* steps between two looks whether anything still changes */

#if defined(__GNUC__)
typedef float mxopt_fading_f32 __attribute__((vector_size(64)));
typedef double mxopt_fading_f64 __attribute__((vector_size(64)));
#define MXOPT_FADE(name, real, vector)                                                                                   \
    static void name(void *array, ptrdiff_t n, double by, double zero, ptrdiff_t steps)                                  \
    {                                                                                                                    \
        real *x = array, block[4 * 64 / sizeof(real)], factor = (real)by, z = (real)zero;                                \
        const ptrdiff_t size = sizeof block / sizeof *block;                                                             \
        for (ptrdiff_t p = 0; p < n; p += size) {                                                                        \
            size_t bytes = (n - p < size ? n - p : size) * sizeof(real);                                                 \
            vector a, b, c, d, kept[4];                                                                                  \
            memset(block, 0, sizeof block);                                                                              \
            memcpy(block, x + p, bytes);                                                                                 \
            for (ptrdiff_t left = steps; left > 0; left -= MXOPT_FADE_LOOK) {                                            \
                memcpy(kept, block, sizeof kept);                                                                        \
                a = kept[0], b = kept[1], c = kept[2], d = kept[3];                                                      \
                for (ptrdiff_t k = left < MXOPT_FADE_LOOK ? left : MXOPT_FADE_LOOK; k > 0; k--)                          \
                    a = a * factor + z, b = b * factor + z, c = c * factor + z, d = d * factor + z;                      \
                memcpy(block, &a, 64), memcpy((char *)block + 64, &b, 64);                                               \
                memcpy((char *)block + 128, &c, 64), memcpy((char *)block + 192, &d, 64);                                \
                if (!memcmp(kept, block, sizeof kept)) break;                                                            \
            }                                                                                                            \
            memcpy(x + p, block, bytes);                                                                                 \
        }                                                                                                                \
    }
#else
#define MXOPT_FADE(name, real, vector)                                                                                   \
    static void name(void *array, ptrdiff_t n, double by, double zero, ptrdiff_t steps)                                  \
    {                                                                                                                    \
        real *x = array, factor = (real)by, z = (real)zero;                                                              \
        for (ptrdiff_t k = 0; k < steps; k++)                                                                            \
            for (ptrdiff_t i = 0; i < n; i++) x[i] = x[i] * factor + z;                                                  \
    }
#endif

MXOPT_FADE(mxopt_fade_f32, float, mxopt_fading_f32)
MXOPT_FADE(mxopt_fade_f64, double, mxopt_fading_f64)

#endif
