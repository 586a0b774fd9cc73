/* The kernels' floating-point control word: rounding to nearest, no traps, and in the rules denormals flushed to zero,
 * since tiny moments would otherwise make steps 20 times slower. Each thread has its own: every worker sets it and
 * restores the old one, exception flags included, so that the caller's settings change no bit here, nor ours there. */
#ifndef MXOPT_CONTROL_H
#define MXOPT_CONTROL_H

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int mxopt_control;
static inline mxopt_control mxopt_take_control(int flush) {
    mxopt_control old = _mm_getcsr();
    _mm_setcsr(flush ? 0x9fc0u : 0x1f80u); /* all masked; FTZ, DAZ */
    return old;
}
static inline void mxopt_give_back(mxopt_control old) { _mm_setcsr(old); }
static inline int mxopt_is_ours(mxopt_control old) { return (old & ~0x3fu) == 0x1f80u; } /* but for raised flags */
#elif defined(__aarch64__) && defined(__GNUC__)
typedef unsigned long mxopt_control;
static inline mxopt_control mxopt_take_control(int flush) {
    mxopt_control old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)(flush != 0) << 24));
    return old;
}
static inline void mxopt_give_back(mxopt_control old) { __asm__ volatile("msr fpcr, %0" : : "r"(old)); }
static inline int mxopt_is_ours(mxopt_control old) { return old == 0; }
#else
typedef int mxopt_control;
static inline mxopt_control mxopt_take_control(int flush) { (void)flush; return 0; }
static inline void mxopt_give_back(mxopt_control old) { (void)old; }
static inline int mxopt_is_ours(mxopt_control old) { (void)old; return 1; }
#endif

#endif
