/* x * y + z of floats, rounded once, with the same bits on every processor. */
#ifndef MXOPT_FMA_H
#define MXOPT_FMA_H

#include <math.h>

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define mxopt_fma fmaf
#else
/* A product of floats is exact in double, but rounding its sum to double and then to float may round a tie that is none: the
 * error of the first rounding says to which side the exact sum lies. Selects without branches, so that it vectorises. */
static inline float mxopt_fma(float x, float y, float z)
{
    double product = (double)x * (double)y, sum = product + (double)z, part = sum - product;
    double error = (product - (sum - part)) + ((double)z - part);
    double nearest = (float)sum, away = sum - nearest, other = nearest + (away + away);
    double result = (double)(float)other == other ? other : nearest; /* only of a tie is this a float */
    result = fabs(away) <= fabs(nearest) * 0x1p-24 ? result : nearest; /* what was flushed to zero is no tie */
    return (float)(error * away > 0 ? result : nearest);
}
#endif

#endif
