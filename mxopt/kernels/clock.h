/* Seconds of a monotonic clock. */
#ifndef MXOPT_CLOCK_H
#define MXOPT_CLOCK_H

#if defined(_WIN32)
#include <windows.h>
static inline double mxopt_now(void) {
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    return (double)ticks.QuadPart / (double)frequency.QuadPart;
}
#else
#include <time.h>
static inline double mxopt_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

#endif
