/* Ask for the cache line at an address; harmless anywhere. */
#ifndef MXOPT_PREFETCH_H
#define MXOPT_PREFETCH_H

#if defined(__GNUC__)
#define mxopt_prefetch(address) __builtin_prefetch(address)
#elif defined(_M_X64)
#include <xmmintrin.h>
#define mxopt_prefetch(address) _mm_prefetch((const char *)(address), _MM_HINT_T0)
#else
#define mxopt_prefetch(address) ((void)(address))
#endif

#endif
