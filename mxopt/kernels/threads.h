/* The one place that knows OpenMP, processor features, denormal control and forks. */
#ifndef MXOPT_THREADS_H
#define MXOPT_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#define MXOPT_OPENMP _OPENMP
static inline int mxopt_max_threads(void) { return omp_get_max_threads(); }
#else
#define MXOPT_OPENMP 0
static inline int mxopt_max_threads(void) { return 1; }
#endif

/* libgomp hangs in a forked child whose parent has used it: note the fork, and run serially there. */
static int mxopt_forked = 0;
#if !defined(_WIN32)
#include <pthread.h>
static void mxopt_note_fork(void) { mxopt_forked = 1; }
static inline void mxopt_watch_forks(void) { pthread_atfork(NULL, NULL, mxopt_note_fork); }
#else
static inline void mxopt_watch_forks(void) {}
#endif

/* Denormals are flushed to zero inside the kernels: tiny moments would otherwise run 20 times slower.
 * The control word belongs to a thread, so every worker sets and restores its own. */
#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int mxopt_control;
static inline mxopt_control mxopt_flush_denormals(void) {
    mxopt_control old = _mm_getcsr();
    _mm_setcsr(old | 0x8040u); /* FTZ, DAZ */
    return old;
}
static inline void mxopt_restore(mxopt_control old) {
    /* Keep the exception flags out of the caller's sight as well: they were masked all along. */
    _mm_setcsr(old);
}
#elif defined(__aarch64__) && defined(__GNUC__)
typedef unsigned long mxopt_control;
static inline mxopt_control mxopt_flush_denormals(void) {
    mxopt_control old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | (1ul << 24)));
    return old;
}
static inline void mxopt_restore(mxopt_control old) { __asm__ volatile("msr fpcr, %0" : : "r"(old)); }
#else
typedef int mxopt_control;
static inline mxopt_control mxopt_flush_denormals(void) { return 0; }
static inline void mxopt_restore(mxopt_control old) { (void)old; }
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

/* Which instruction sets this processor and its operating system can run. */
static inline int mxopt_cpu_has(int which) { /* 0 avx2, 1 avx512 */
#if defined(__x86_64__) && defined(__GNUC__)
    unsigned int a, b, c, d;
    /* F16C by cpuid: older compilers do not know its name. */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 29))) return 0;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) return 0;
    if (which == 0) return 1;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    (void)which;
    return 0;
#endif
}

#endif
