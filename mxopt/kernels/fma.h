/* x * y + z of floats, rounded once, with the same bits on every processor. */
#ifndef MXOPT_FMA_H
#define MXOPT_FMA_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define mxopt_fma fmaf
#else
/* A product of floats is exact in double; the sum is rounded to odd, so that rounding it once more, to float, is as if it
 * had been exact (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). */
static inline float mxopt_fma(float x, float y, float z)
{
    double product = (double)x * (double)y, sum = product + (double)z, part = sum - product;
    double error = (product - (sum - part)) + ((double)z - part);
    int64_t bits, away;
    memcpy(&bits, &sum, sizeof bits);
    away = ((error > 0) == (sum > 0)) ? 1 : -1;
    bits += ((error > 0) | (error < 0)) & ~bits & 1 ? away : 0;
    memcpy(&sum, &bits, sizeof bits);
    return (float)sum;
}
#endif

#endif
