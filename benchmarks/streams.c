/* Written by hand. The streaming limit: read some arrays, write some of them back, and compute nothing.
 * Threads share the elements as the engine's do: each one contiguous part. */
#include <stddef.h>
#include <string.h>

#if defined(__AVX512F__)
typedef float word __attribute__((vector_size(64), aligned(4), may_alias));
#elif defined(__AVX__)
typedef float word __attribute__((vector_size(32), aligned(4), may_alias));
#else
typedef float word __attribute__((vector_size(16), aligned(4), may_alias));
#endif

#if defined(__x86_64__)
#define KEEP(x) __asm__ volatile("" : "+v"(x))
#else
#define KEEP(x) __asm__ volatile("" : "+w"(x))
#endif

/* One loop for each number of arrays; the first `writes` of them are written back. */
#define LOOP(READS, WRITES)                                                               \
    static void stream_##READS##_##WRITES(char **a, ptrdiff_t begin, ptrdiff_t end) {     \
        for (ptrdiff_t i = begin; i + (ptrdiff_t)sizeof(word) <= end; i += sizeof(word)) { \
            word x[READS];                                                                \
            for (int k = 0; k < READS; k++) x[k] = *(const word *)(a[k] + i);             \
            for (int k = 0; k < READS; k++) KEEP(x[k]);                                   \
            for (int k = 0; k < WRITES; k++) *(word *)(a[k] + i) = x[k];                  \
        }                                                                                 \
    }
LOOP(1, 0) LOOP(2, 0) LOOP(2, 1) LOOP(3, 0) LOOP(3, 1) LOOP(3, 2) LOOP(4, 0) LOOP(4, 1) LOOP(4, 2) LOOP(4, 3)
LOOP(5, 0) LOOP(5, 1) LOOP(5, 2) LOOP(5, 3) LOOP(5, 4)
LOOP(6, 0) LOOP(6, 1) LOOP(6, 2) LOOP(6, 3) LOOP(6, 4) LOOP(6, 5)

typedef void (*loop)(char **, ptrdiff_t, ptrdiff_t);
enum { READS = 6, WRITES = 5 };
static const loop LOOPS[READS + 1][WRITES + 1] = {
    {0},
    {stream_1_0},
    {stream_2_0, stream_2_1},
    {stream_3_0, stream_3_1, stream_3_2},
    {stream_4_0, stream_4_1, stream_4_2, stream_4_3},
    {stream_5_0, stream_5_1, stream_5_2, stream_5_3, stream_5_4},
    {stream_6_0, stream_6_1, stream_6_2, stream_6_3, stream_6_4, stream_6_5},
};

/* Tensors of some sizes in bytes; arrays[k * tensors + t] is array k of tensor t. 0: there is no such loop. */
int stream(int reads, int writes, int tensors, char **arrays, const ptrdiff_t *bytes, int threads) {
    if (reads < 1 || reads > READS || writes > WRITES || !LOOPS[reads][writes]) return 0;
    loop run = LOOPS[reads][writes];
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++)
        for (int t = 0; t < tensors; t++) {
            char *own[READS];
            ptrdiff_t begin = bytes[t] / threads * part / 64 * 64;
            ptrdiff_t end = part == threads - 1 ? bytes[t] : bytes[t] / threads * (part + 1) / 64 * 64;
            for (int k = 0; k < reads; k++) own[k] = arrays[k * tensors + t];
            run(own, begin, end);
        }
    return 1;
}
