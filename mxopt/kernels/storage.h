/* Widening and narrowing of contiguous blocks, built once per instruction set.
 *
 * float16 is rounded to nearest even, as NumPy and the F16C instructions do, bit for bit; a NaN
 * stays a NaN and becomes quiet. bfloat16 is the upper half of a float32, rounded to nearest even.
 */
#ifndef MXOPT_STORAGE_H
#define MXOPT_STORAGE_H

#include "dtypes.h"
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(_MSC_VER)
#define MXOPT_RESTRICT __restrict
#else
#define MXOPT_RESTRICT restrict
#endif

static inline uint32_t mxopt_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float mxopt_float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

/* Portable float16 -> float32. Integer work only where a denormal could appear, so that it holds
 * while the engine flushes denormals; branches are selects, so that the loop vectorises. */
static inline float mxopt_from_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = (uint32_t)(h & 0x7fffu) << 13;
    uint32_t exponent = rest & 0x0f800000u;
    uint32_t normal = rest + 0x38000000u;
    uint32_t special = rest | 0x7f800000u | ((rest & 0x007fe000u) ? 0x00400000u : 0u);
    uint32_t tiny = mxopt_bits((float)(int32_t)(h & 0x03ffu) * 5.9604644775390625e-08f); /* 2**-24 */
    uint32_t out = exponent == 0 ? tiny : (exponent == 0x0f800000u ? special : normal);
    return mxopt_float(sign | out);
}

static inline uint16_t mxopt_to_half(float x) {
    uint32_t u = mxopt_bits(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    /* Below 2**-14 the target spacing is 2**-24, which is the spacing of floats in [0.5, 1). */
    uint32_t tiny = mxopt_bits(mxopt_float(a) + 0.5f) - 0x3f000000u;
    uint32_t normal = (a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13;
    uint32_t nan = 0x7e00u | ((a >> 13) & 0x3ffu);
    uint32_t out = a < 0x38800000u ? tiny : (a >= 0x477ff000u ? 0x7c00u : normal);
    return (uint16_t)(sign | (a > 0x7f800000u ? nan : out));
}

static void mxopt_f16_f32(const void *source, void *target, ptrdiff_t n) {
    const uint16_t *MXOPT_RESTRICT in = (const uint16_t *)source;
    float *MXOPT_RESTRICT out = (float *)target;
    ptrdiff_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(in + i))));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + i))));
#endif
    for (; i < n; i++) out[i] = mxopt_from_half(in[i]);
}

static void mxopt_f32_f16(const void *source, void *target, ptrdiff_t n) {
    const float *MXOPT_RESTRICT in = (const float *)source;
    uint16_t *MXOPT_RESTRICT out = (uint16_t *)target;
    ptrdiff_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtps_ph(_mm512_loadu_ps(in + i), 0));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), 0));
#endif
    for (; i < n; i++) out[i] = mxopt_to_half(in[i]);
}

static void mxopt_bf16_f32(const void *source, void *target, ptrdiff_t n) {
    const uint16_t *MXOPT_RESTRICT in = (const uint16_t *)source;
    uint32_t *MXOPT_RESTRICT out = (uint32_t *)target;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (uint32_t)in[i] << 16;
}

#if defined(__AVX2__) && !defined(__AVX512F__)
static inline __m256i mxopt_upper_half(__m256i u) {
    __m256i half = _mm256_srli_epi32(u, 16), odd = _mm256_and_si256(half, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256 number = _mm256_castsi256_ps(u);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(number, number, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_or_si256(half, _mm256_set1_epi32(0x40)), nan);
}
#endif

static void mxopt_f32_bf16(const void *source, void *target, ptrdiff_t n) {
    const uint32_t *MXOPT_RESTRICT in = (const uint32_t *)source;
    uint16_t *MXOPT_RESTRICT out = (uint16_t *)target;
    ptrdiff_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) { /* half the time of the loop below as GCC vectorises it */
        __m512i u = _mm512_loadu_si512(in + i), r = _mm512_add_epi32(u, _mm512_set1_epi32(0x7fff));
        __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
        __mmask16 nan = _mm512_cmp_ps_mask(_mm512_castsi512_ps(u), _mm512_castsi512_ps(u), _CMP_UNORD_Q);
        r = _mm512_mask_add_epi32(r, odd, r, _mm512_set1_epi32(1));
        r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
    }
#elif defined(__AVX2__)
    for (; i + 16 <= n; i += 16) { /* GCC's own loop takes three times as long */
        __m256i low = _mm256_loadu_si256((const __m256i *)(in + i));
        __m256i high = _mm256_loadu_si256((const __m256i *)(in + i + 8));
        __m256i packed = _mm256_packus_epi32(mxopt_upper_half(low), mxopt_upper_half(high));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_permute4x64_epi64(packed, 0xd8));
    }
#endif
    for (; i < n; i++) {
        uint32_t u = in[i];
        uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
        uint32_t nan = (u >> 16) | 0x40u;
        out[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}

/* Processors with AVX512-BF16 narrow in one instruction: a fifth off Adam on bfloat16. It takes denormals for zeros, as
 * the rules do whose results it narrows. */
#if defined(__AVX512F__) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 11))
#define MXOPT_HAS_BF16 __builtin_cpu_supports("avx512bf16")
__attribute__((target("avx512bf16")))
static void mxopt_f32_bf16_native(const void *source, void *target, ptrdiff_t n) {
    const float *MXOPT_RESTRICT in = (const float *)source;
    uint16_t *MXOPT_RESTRICT out = (uint16_t *)target;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256bh narrow = _mm512_cvtneps_pbh(_mm512_loadu_ps(in + i));
        memcpy(out + i, &narrow, 32);
    }
    mxopt_f32_bf16(in + i, out + i, n - i);
}
#else
#define MXOPT_HAS_BF16 0
#define mxopt_f32_bf16_native mxopt_f32_bf16
#endif

static void mxopt_f64_f32(const void *source, void *target, ptrdiff_t n) {
    const double *MXOPT_RESTRICT in = (const double *)source;
    float *MXOPT_RESTRICT out = (float *)target;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)in[i];
}

static void mxopt_f32_f64(const void *source, void *target, ptrdiff_t n) {
    const float *MXOPT_RESTRICT in = (const float *)source;
    double *MXOPT_RESTRICT out = (double *)target;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (double)in[i];
}

static void mxopt_f16_f64(const void *source, void *target, ptrdiff_t n) {
    const uint16_t *in = (const uint16_t *)source;
    double *out = (double *)target;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (double)mxopt_from_half(in[i]);
}

static void mxopt_bf16_f64(const void *source, void *target, ptrdiff_t n) {
    const uint16_t *in = (const uint16_t *)source;
    double *out = (double *)target;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (double)mxopt_float((uint32_t)in[i] << 16);
}

/* Whether all elements are finite. One past the largest exponent is the sign bit's place, so a sum that ever reaches
 * it means infinity or NaN; integers only, no branch, so that the loop vectorises. */
#define MXOPT_FINITE(NAME, WORD, MAGNITUDE, ONE)                   \
    static int NAME(const void *source, ptrdiff_t n) {             \
        const WORD *in = (const WORD *)source;                     \
        WORD seen = 0;                                             \
        for (ptrdiff_t i = 0; i < n; i++)                          \
            seen |= (WORD)((WORD)(in[i] & (MAGNITUDE)) + (ONE));   \
        return !(seen >> (8 * sizeof(WORD) - 1));                  \
    }
MXOPT_FINITE(mxopt_finite_f32, uint32_t, 0x7fffffffu, 0x00800000u)
MXOPT_FINITE(mxopt_finite_f64, uint64_t, 0x7fffffffffffffffu, 0x0010000000000000u)
MXOPT_FINITE(mxopt_finite_f16, uint16_t, 0x7fffu, 0x0400u)
MXOPT_FINITE(mxopt_finite_bf16, uint16_t, 0x7fffu, 0x0080u)

/* A rule on 16-bit storage: a tile of every array is widened, the rule runs over it, and what it wrote is narrowed. With
 * the rule inlined (setup.py writes a function for each, see there) the tile never leaves the registers. */
#if defined(__GNUC__) && !defined(__clang__) /* GCC does not see that a rule reads only what was widened */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
enum { MXOPT_TILE = 32, MXOPT_ARRAYS = 7, MXOPT_SCALARS = 24 };

typedef void (*mxopt_rule)(void **, ptrdiff_t, const double *);

#if defined(__GNUC__)
#define MXOPT_FLATTEN __attribute__((flatten))
#define MXOPT_ALWAYS inline __attribute__((always_inline))
#define MXOPT_NEVER __attribute__((noinline))
#else
#define MXOPT_FLATTEN
#define MXOPT_ALWAYS inline
#define MXOPT_NEVER
#endif

static MXOPT_ALWAYS void mxopt_narrow_tile(mxopt_rule rule, int count, unsigned uses, unsigned writes, int dtype,
                                           uint16_t **at, ptrdiff_t n, const double *scalars) {
    float tile[MXOPT_ARRAYS][MXOPT_TILE];
    void *arrays[MXOPT_ARRAYS];
    for (int k = 0; k < count; k++) {
        arrays[k] = tile[k];
        if ((uses >> k) & 1) {
            if (dtype == MXOPT_F16) mxopt_f16_f32(at[k], tile[k], n);
            else mxopt_bf16_f32(at[k], tile[k], n);
        }
    }
    rule(arrays, n, scalars);
    for (int k = 0; k < count; k++)
        if ((writes >> k) & 1) {
            if (dtype == MXOPT_F16) mxopt_f32_f16(tile[k], at[k], n);
            else mxopt_f32_bf16(tile[k], at[k], n);
        }
}

static MXOPT_NEVER void mxopt_narrow_rest(mxopt_rule rule, int count, unsigned uses, unsigned writes, int dtype,
                                          uint16_t **at, ptrdiff_t n, const double *scalars) {
    mxopt_narrow_tile(rule, count, uses, writes, dtype, at, n, scalars);
}

static MXOPT_ALWAYS void mxopt_narrow_span(mxopt_rule rule, int count, unsigned uses, unsigned writes, int dtype,
                                           int nscalars, void **arrays, ptrdiff_t n, const double *scalars) {
    double own[MXOPT_SCALARS]; /* nothing that is written can be these, so they are read once */
    uint16_t *at[MXOPT_ARRAYS];
    memcpy(own, scalars, nscalars * sizeof(double));
    for (int k = 0; k < count; k++) at[k] = (uint16_t *)arrays[k];
    for (; n >= MXOPT_TILE; n -= MXOPT_TILE) {
        mxopt_narrow_tile(rule, count, uses, writes, dtype, at, MXOPT_TILE, own);
        for (int k = 0; k < count; k++) at[k] += MXOPT_TILE;
    }
    if (n) mxopt_narrow_rest(rule, count, uses, writes, dtype, at, n, own);
}

/* Codes for states of float arithmetic.
 *
 * bfloat16, rounded up with the probability that keeps the mean: a number that loses a thousandth at each step would
 * never change if it were rounded to nearest. The random bits are a hash of the number's place and a key. */
static inline uint32_t mxopt_random_half(uint32_t place, uint32_t low, uint32_t high) {
    uint32_t x = place + low;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= (x >> 15) ^ high;
    x *= 0x846ca68bu;
    return x >> 16;
}

static void mxopt_f32_bf16_random(const float *source, void *codes, float *scales, ptrdiff_t n, uint64_t key,
                                  uint64_t place) {
    const uint32_t *MXOPT_RESTRICT in = (const uint32_t *)source;
    uint16_t *MXOPT_RESTRICT out = (uint16_t *)codes;
    uint32_t low = (uint32_t)key + (uint32_t)place, high = (uint32_t)(key >> 32) ^ (uint32_t)(place >> 32);
    (void)scales;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t u = in[i], rounded = (u + mxopt_random_half((uint32_t)i, low, high)) >> 16, nan = (u >> 16) | 0x40u;
        out[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}

static void mxopt_bf16_random_f32(const void *codes, const float *scales, float *target, ptrdiff_t n) {
    (void)scales;
    mxopt_bf16_f32(codes, target, n);
}

/* The largest magnitude, by its bits: infinity and NaN are above all numbers, and the loop vectorises. */
static inline float mxopt_largest(const float *source, ptrdiff_t n) {
    const int32_t *in = (const int32_t *)source;
    int32_t top = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        int32_t one = in[i] & 0x7fffffff;
        top = one > top ? one : top;
    }
    return top < 0x00800000 ? 0.0f : mxopt_float((uint32_t)top);
}

#define MXOPT_SMALLEST 1.17549435e-38f

/* The low bytes of some integers. GCC packs them by permutations, which take as long as the roots do. */
static inline void mxopt_low_bytes(const int32_t *codes, uint8_t *out, ptrdiff_t n) {
    ptrdiff_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm_storeu_si128((__m128i *)(out + i), _mm512_cvtepi32_epi8(_mm512_loadu_si512(codes + i)));
#endif
    for (; i < n; i++) out[i] = (uint8_t)codes[i];
}

/* Roots by Newton's method on their inverses, from a guess by the exponent: twice as fast as instructions for roots, the
 * same bits on every machine, and off by a hundredth of a code at most. */
static inline float mxopt_quick_root(float x) {
    float y = mxopt_float(0x5f375a86u - (mxopt_bits(x) >> 1)), half = 0.5f * x;
    y = y * (1.5f - half * (y * y));
    y = y * (1.5f - half * (y * y));
    return x * y;
}

static inline float mxopt_quick_fourth_root(float x) {
    float y = mxopt_float(0x4f584000u - (mxopt_bits(x) >> 2)), quarter = 0.25f * x, square = y * y;
    y = y * (1.25f - quarter * (square * square));
    square = y * y;
    y = y * (1.25f - quarter * (square * square));
    return x * (y * y * y);
}

/* Eight bits: the scale is the largest magnitude of a block, which is kept exactly; the others keep a root of their share
 * of it, since they spread over many orders. Infinity or NaN spoil their block.
 *
 * Means: the sign and the square root. */
static void mxopt_f32_int8_square(const float *source, void *codes, float *scales, ptrdiff_t n, uint64_t key,
                                  uint64_t place) {
    (void)key, (void)place;
    for (ptrdiff_t begin = 0; begin < n; begin += MXOPT_CODE_BLOCK, scales++) {
        ptrdiff_t count = n - begin < MXOPT_CODE_BLOCK ? n - begin : MXOPT_CODE_BLOCK;
        const float *MXOPT_RESTRICT in = source + begin;
        int32_t code[MXOPT_CODE_BLOCK];
        float top = mxopt_largest(in, count), share = top > 0 ? 1 / top : top;
        *scales = top;
        for (ptrdiff_t i = 0; i < count; i++) {
            float root = mxopt_quick_root(fabsf(in[i]) * share) * 127.0f + 0.5f;
            uint32_t sign = mxopt_bits(in[i]) & 0x80000000u;
            code[i] = (int32_t)mxopt_float(mxopt_bits(root < 128.0f ? root : 0.0f) | sign);
        }
        mxopt_low_bytes(code, (uint8_t *)codes + begin, count);
    }
}

static void mxopt_int8_square_f32(const void *codes, const float *scales, float *target, ptrdiff_t n) {
    for (ptrdiff_t begin = 0; begin < n; begin += MXOPT_CODE_BLOCK, scales++) {
        ptrdiff_t count = n - begin < MXOPT_CODE_BLOCK ? n - begin : MXOPT_CODE_BLOCK;
        const int8_t *MXOPT_RESTRICT in = (const int8_t *)codes + begin;
        float *MXOPT_RESTRICT out = target + begin, top = *scales;
        for (ptrdiff_t i = 0; i < count; i++) {
            float root = (float)in[i] * (1.0f / 127.0f);
            out[i] = root * fabsf(root) * top;
        }
    }
}

/* Means of squares, which are not negative: the fourth root. What is above 0 stays above 0, however small: a mean is
 * divided by it. */
static void mxopt_f32_uint8_fourth(const float *source, void *codes, float *scales, ptrdiff_t n, uint64_t key,
                                   uint64_t place) {
    (void)key, (void)place;
    for (ptrdiff_t begin = 0; begin < n; begin += MXOPT_CODE_BLOCK, scales++) {
        ptrdiff_t count = n - begin < MXOPT_CODE_BLOCK ? n - begin : MXOPT_CODE_BLOCK;
        const float *MXOPT_RESTRICT in = source + begin;
        int32_t code[MXOPT_CODE_BLOCK];
        float top = mxopt_largest(in, count), share = top > 0 ? 1 / top : top;
        *scales = top;
        for (ptrdiff_t i = 0; i < count; i++) {
            float root = mxopt_quick_fourth_root(fabsf(in[i]) * share) * 255.0f + 0.5f;
            int32_t one = (int32_t)(root < 256.0f ? root : 0.0f), least = in[i] > 0;
            code[i] = one > least ? one : least;
        }
        mxopt_low_bytes(code, (uint8_t *)codes + begin, count);
    }
}

static void mxopt_uint8_fourth_f32(const void *codes, const float *scales, float *target, ptrdiff_t n) {
    for (ptrdiff_t begin = 0; begin < n; begin += MXOPT_CODE_BLOCK, scales++) {
        ptrdiff_t count = n - begin < MXOPT_CODE_BLOCK ? n - begin : MXOPT_CODE_BLOCK;
        const uint8_t *MXOPT_RESTRICT in = (const uint8_t *)codes + begin;
        float *MXOPT_RESTRICT out = target + begin, top = *scales;
        for (ptrdiff_t i = 0; i < count; i++) {
            float root = (float)in[i] * (1.0f / 255.0f), square = root * root, value = square * square * top;
            float least = in[i] ? MXOPT_SMALLEST : 0.0f;
            out[i] = value < least ? least : value;
        }
    }
}

/* A float32 master in two halves: the weight, which is the master rounded to bfloat16, and the master's low 16 bits. As a
 * signed number the low half is what the weight's bits lack or have too much, so that
 *
 *     master = (weight << 16) + (int16)low
 *
 * in the bits of the magnitude. Ties are rounded away from zero, which is a low half of 0x8000; to even would leave 65537
 * masters to a weight that is even. Every master but a NaN comes back, bit for bit; a NaN comes back as one. No weight
 * that was written by hand can make a NaN of a low half that is not its own: a magnitude stops at 0 and at infinity. */
#if defined(__AVX2__) && !defined(__AVX512F__)
static inline __m256i mxopt_joined(__m256i both) { /* the halves side by side */
    const __m256i sign = _mm256_set1_epi32((int)0x80000000u), upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256i borrow = _mm256_slli_epi32(_mm256_and_si256(both, _mm256_set1_epi32(0x8000)), 1);
    __m256i found = _mm256_sub_epi32(both, borrow);
    __m256i below = _mm256_srai_epi32(_mm256_xor_si256(found, both), 31);
    __m256i size = _mm256_and_si256(both, _mm256_set1_epi32(0x7fff8000)); /* below infinity again if 0x7f808000 */
    __m256i above = _mm256_cmpgt_epi32(size, _mm256_set1_epi32(0x7f7fffff));
    above = _mm256_andnot_si256(_mm256_cmpeq_epi32(size, _mm256_set1_epi32(0x7f808000)), above);
    found = _mm256_blendv_epi8(found, _mm256_and_si256(both, sign), below);
    return _mm256_blendv_epi8(found, _mm256_and_si256(both, upper), above);
}
#endif

static void mxopt_join_halves(const void *uppers, const void *lows, float *target, ptrdiff_t n) {
    const uint16_t *MXOPT_RESTRICT upper = (const uint16_t *)uppers;
    const int16_t *MXOPT_RESTRICT low = (const int16_t *)lows;
    uint32_t *MXOPT_RESTRICT out = (uint32_t *)target;
    ptrdiff_t i = 0;
#if defined(__AVX2__) && !defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) { /* see mxopt_f32_bf16 */
        __m256i high = _mm256_loadu_si256((const __m256i *)(upper + i));
        __m256i rest = _mm256_loadu_si256((const __m256i *)(low + i));
        __m256i one = mxopt_joined(_mm256_unpacklo_epi16(rest, high));
        __m256i two = mxopt_joined(_mm256_unpackhi_epi16(rest, high));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_permute2x128_si256(one, two, 0x20));
        _mm256_storeu_si256((__m256i *)(out + i + 8), _mm256_permute2x128_si256(one, two, 0x31));
    }
#endif
    for (; i < n; i++) {
        uint32_t bits = (uint32_t)upper[i] << 16;
        int32_t whole = (int32_t)(bits & 0x7fffffffu), found = whole + low[i];
        found = found < 0 ? 0 : found;
        found = found > 0x7f800000 ? 0x7f800000 : found;
        found = whole > 0x7f800000 ? whole : found;
        out[i] = (uint32_t)found | (bits & 0x80000000u);
    }
}

static void mxopt_part_halves(const float *source, void *uppers, void *lows, ptrdiff_t n) {
    const uint32_t *MXOPT_RESTRICT in = (const uint32_t *)source;
    uint16_t *MXOPT_RESTRICT upper = (uint16_t *)uppers, *MXOPT_RESTRICT low = (uint16_t *)lows;
    ptrdiff_t i = 0;
#if defined(__AVX2__) && !defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        __m256i rounded[2], rest[2];
        for (int k = 0; k < 2; k++) {
            __m256i u = _mm256_loadu_si256((const __m256i *)(in + i + 8 * k));
            __m256i r = _mm256_add_epi32(u, _mm256_set1_epi32(0x8000));
            __m256 number = _mm256_castsi256_ps(u);
            __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(number, number, _CMP_UNORD_Q));
            r = _mm256_blendv_epi8(r, _mm256_or_si256(u, _mm256_set1_epi32(0x400000)), nan);
            rounded[k] = _mm256_srli_epi32(r, 16);
            rest[k] = _mm256_andnot_si256(nan, _mm256_and_si256(u, _mm256_set1_epi32(0xffff)));
        }
        __m256i high = _mm256_packus_epi32(rounded[0], rounded[1]), under = _mm256_packus_epi32(rest[0], rest[1]);
        _mm256_storeu_si256((__m256i *)(upper + i), _mm256_permute4x64_epi64(high, 0xd8));
        _mm256_storeu_si256((__m256i *)(low + i), _mm256_permute4x64_epi64(under, 0xd8));
    }
#endif
    for (; i < n; i++) {
        uint32_t u = in[i], isnan = (u & 0x7fffffffu) > 0x7f800000u;
        upper[i] = (uint16_t)(isnan ? (u >> 16) | 0x40u : (u + 0x8000u) >> 16);
        low[i] = (uint16_t)(isnan ? 0u : u);
    }
}

static mxopt_storage MXOPT_STORAGE[MXOPT_KINDS] = {
    {"float32", 4, {NULL, mxopt_f32_f64}, {NULL, mxopt_f64_f32}, mxopt_finite_f32},
    {"float64", 8, {mxopt_f64_f32, NULL}, {mxopt_f32_f64, NULL}, mxopt_finite_f64},
    {"float16", 2, {mxopt_f16_f32, mxopt_f16_f64}, {mxopt_f32_f16, NULL}, mxopt_finite_f16},
    {"bfloat16", 2, {mxopt_bf16_f32, mxopt_bf16_f64}, {mxopt_f32_bf16, NULL}, mxopt_finite_bf16},
    {"bfloat16-stochastic", 2, {NULL, NULL}, {NULL, NULL}, NULL, mxopt_bf16_random_f32, mxopt_f32_bf16_random, 0},
    {"int8-square", 1, {NULL, NULL}, {NULL, NULL}, NULL, mxopt_int8_square_f32, mxopt_f32_int8_square, 1},
    {"uint8-fourth", 1, {NULL, NULL}, {NULL, NULL}, NULL, mxopt_uint8_fourth_f32, mxopt_f32_uint8_fourth, 1},
    {"split", 2, {NULL, NULL}, {NULL, NULL}, NULL, NULL, NULL, 0, mxopt_join_halves, mxopt_part_halves},
};

/* The table, with what this very processor does faster. */
static const mxopt_storage *mxopt_storage_table(void) {
    if (MXOPT_HAS_BF16) MXOPT_STORAGE[MXOPT_BF16].store[0] = mxopt_f32_bf16_native;
    return MXOPT_STORAGE;
}

#endif
