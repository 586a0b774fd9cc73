/* Normal numbers by their place: number p of the stream of a key is the same whoever asks for it, in any order, so
 * threads, lists and instruction sets change no bit. Random bits by Philox-4x32 with ten rounds (Salmon et al., "Parallel
 * Random Numbers: As Easy as 1, 2, 3", 2011), normals by Box and Muller's transformation with series of our own for the
 * logarithm, sine and cosine: additions, products and one quotient, which IEEE 754 rounds alike everywhere.
 *
 * A group of 128 float32 numbers is made of 32 blocks of four words: word k of block j gives number 32 k + j, so that
 * the loops over j vectorise.
 */
#ifndef MXOPT_NOISE_H
#define MXOPT_NOISE_H

#include "dtypes.h"
#include <math.h>
#include <string.h>

enum { MXOPT_NOISE_BLOCKS = 32 };

/* The words of 32 blocks. The products of 32-bit words are taken in 64 bits. */
static inline void mxopt_philox(uint64_t key, uint64_t block, uint32_t tag, uint32_t words[4][MXOPT_NOISE_BLOCKS]) {
    uint32_t first = (uint32_t)key, second = (uint32_t)(key >> 32);
    for (int j = 0; j < MXOPT_NOISE_BLOCKS; j++) {
        words[0][j] = (uint32_t)(block + (uint64_t)j);
        words[1][j] = (uint32_t)((block + (uint64_t)j) >> 32);
        words[2][j] = tag;
        words[3][j] = 0;
    }
    for (int turn = 0; turn < 10; turn++) {
        for (int j = 0; j < MXOPT_NOISE_BLOCKS; j++) {
            uint32_t zero = words[0][j], two = words[2][j];
            uint64_t left = (uint64_t)zero * 0xd2511f53u, right = (uint64_t)two * 0xcd9e8d57u;
            words[0][j] = (uint32_t)(right >> 32) ^ words[1][j] ^ first;
            words[2][j] = (uint32_t)(left >> 32) ^ words[3][j] ^ second;
            words[1][j] = two * 0xcd9e8d57u;
            words[3][j] = zero * 0xd2511f53u;
        }
        first += 0x9e3779b9u;
        second += 0xbb67ae85u;
    }
}

/* A pair of normals from two words: the radius from the first, the angle from the second. */
static inline void mxopt_pair(uint32_t a, uint32_t b, float *x, float *y) {
    /* (0, 1], finely spaced near 0, where the tails come from */
    float uniform = (float)(int32_t)(a >> 1) * 4.656612873077393e-10f + 2.3283064365386963e-10f;
    uint32_t bits;
    memcpy(&bits, &uniform, 4);
    /* uniform = m 2^e with m in [0.70, 1.41) */
    uint32_t shifted = bits - 0x3f350000u;
    int32_t e = (int32_t)shifted >> 23;
    uint32_t mantissa = bits - ((uint32_t)e << 23);
    float m;
    memcpy(&m, &mantissa, 4);
    float s = (m - 1.0f) / (m + 1.0f), t = s * s;
    float series = t * (0.333333333f + t * (0.2f + t * (0.142857143f + t * 0.111111111f)));
    float logarithm = (float)e * 0.693147181f + 2.0f * (s + s * series);
    float square = -2.0f * logarithm;
    float radius = sqrtf(square > 0.0f ? square : 0.0f);
    /* a quarter turn by the upper two bits, and what remains within an eighth of one to either side */
    float angle = (float)((int32_t)(b << 2) >> 8) * 9.362675e-8f, q = angle * angle;
    float sine = angle + angle * (q * (-0.166666667f + q * (0.00833333333f + q * (-1.98412698e-4f + q * 2.75573192e-6f))));
    float cosine = 1.0f + q * (-0.5f + q * (0.0416666667f + q * (-0.00138888889f + q * 2.48015873e-5f)));
    uint32_t quarter = b >> 30;
    float c = quarter & 1u ? sine : cosine, d = quarter & 1u ? cosine : sine;
    c = quarter == 1u || quarter == 2u ? -c : c;
    d = quarter >= 2u ? -d : d;
    *x = radius * c;
    *y = radius * d;
}

static void mxopt_normal_group(uint64_t key, uint64_t group, float *out) {
    uint32_t words[4][MXOPT_NOISE_BLOCKS];
    mxopt_philox(key, group * MXOPT_NOISE_BLOCKS, 0, words);
    for (int k = 0; k < 4; k += 2)
        for (int j = 0; j < MXOPT_NOISE_BLOCKS; j++)
            mxopt_pair(words[k][j], words[k + 1][j], &out[k * MXOPT_NOISE_BLOCKS + j],
                       &out[(k + 1) * MXOPT_NOISE_BLOCKS + j]);
}

/* The same for doubles, of 53 random bits each: 32 blocks give 64 numbers. Their words have a tag of their own. */
static void mxopt_normal_group_double(uint64_t key, uint64_t group, double *out) {
    uint32_t words[4][MXOPT_NOISE_BLOCKS];
    mxopt_philox(key, group * MXOPT_NOISE_BLOCKS, 1, words);
    for (int j = 0; j < MXOPT_NOISE_BLOCKS; j++) {
        uint64_t a = ((uint64_t)words[0][j] << 21) | (words[1][j] >> 11);
        uint64_t b = ((uint64_t)words[2][j] << 32) | words[3][j];
        double uniform = (double)(int64_t)(a + 1) * 1.1102230246251565e-16;
        uint64_t bits;
        memcpy(&bits, &uniform, 8);
        int64_t e = (int64_t)(bits - 0x3fe6a09e00000000ull) >> 52;
        uint64_t mantissa = bits - ((uint64_t)e << 52);
        double m;
        memcpy(&m, &mantissa, 8);
        double s = (m - 1.0) / (m + 1.0), t = s * s, series = 0.0;
        for (int k = 23; k >= 3; k -= 2) series = t * (series + 1.0 / k);
        double square = -2.0 * ((double)e * 0.6931471805599453 + 2.0 * (s + s * series));
        double radius = sqrt(square > 0.0 ? square : 0.0);
        double angle = (double)((int64_t)(b << 2) >> 11) * 1.7438934837370535e-16, q = angle * angle;
        double sine = 1.0, cosine = 1.0;
        for (int k = 18; k >= 2; k -= 2) {
            cosine = 1.0 - q * (1.0 / ((k - 1) * k)) * cosine;
            sine = 1.0 - q * (1.0 / (k * (k + 1))) * sine;
        }
        sine = angle * sine;
        uint32_t quarter = (uint32_t)(b >> 62);
        double c = quarter & 1u ? sine : cosine, d = quarter & 1u ? cosine : sine;
        c = quarter == 1u || quarter == 2u ? -c : c;
        d = quarter >= 2u ? -d : d;
        out[j] = radius * c;
        out[MXOPT_NOISE_BLOCKS + j] = radius * d;
    }
}

#define MXOPT_NORMALS(NAME, real, GROUP, SIZE)                                                    \
    static void NAME(uint64_t key, uint64_t place, void *target, ptrdiff_t n) {                   \
        real *out = (real *)target;                                                               \
        while (n > 0) {                                                                           \
            uint64_t group = place / SIZE;                                                        \
            ptrdiff_t skip = (ptrdiff_t)(place % SIZE), count = SIZE - skip < n ? SIZE - skip : n; \
            if (count == SIZE) {                                                                  \
                GROUP(key, group, out);                                                           \
            } else {                                                                              \
                real made[SIZE];                                                                  \
                GROUP(key, group, made);                                                          \
                memcpy(out, made + skip, (size_t)count * sizeof(real));                           \
            }                                                                                     \
            out += count;                                                                         \
            place += (uint64_t)count;                                                             \
            n -= count;                                                                           \
        }                                                                                         \
    }
MXOPT_NORMALS(mxopt_normals_f32, float, mxopt_normal_group, 128)
MXOPT_NORMALS(mxopt_normals_f64, double, mxopt_normal_group_double, 64)

#endif
