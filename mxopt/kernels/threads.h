/* The one place that knows OpenMP, processor features and forks. */
#ifndef MXOPT_THREADS_H
#define MXOPT_THREADS_H

#include <stddef.h>

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

/* OpenMP's runtimes end the process when the system refuses them a thread: find that out first, with threads of the
 * stack size that they would ask for. Every thread that steps has its own pool, so each tests its own. */
#if defined(_OPENMP) && !defined(_WIN32)
#include <stdlib.h>
static size_t mxopt_stack_size(void) {
    static const char *const names[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE"};
    for (int k = 0; k < 2; k++) {
        const char *text = getenv(names[k]);
        char *end;
        unsigned long long size;
        int shift = 10;
        if (!text) continue;
        size = strtoull(text, &end, 10);
        while (*end == ' ') end++;
        switch (*end) {
            case 'b': case 'B': shift = 0; break;
            case 'm': case 'M': shift = 20; break;
            case 'g': case 'G': shift = 30; break;
            default: break;
        }
        if (end != text && size && size <= (~0ull >> shift)) return (size_t)(size << shift);
    }
    return 0;
}
static void *mxopt_wait_for(void *mutex) { /* all of them must be there at once */
    pthread_mutex_lock((pthread_mutex_t *)mutex);
    pthread_mutex_unlock((pthread_mutex_t *)mutex);
    return NULL;
}
static int mxopt_prove_threads(int threads) {
    static __thread int proven = 1;
    static size_t stack = (size_t)-1; /* as it was when OpenMP began, whatever the environment says later */
    pthread_t made[64];
    pthread_attr_t attributes;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    int count = 0, wanted = threads - 1 < 64 ? threads - 1 : 64;
    if (stack == (size_t)-1) stack = mxopt_stack_size();
    if (threads > proven && !mxopt_forked) {
        pthread_attr_init(&attributes);
        if (stack) pthread_attr_setstacksize(&attributes, stack);
        pthread_mutex_lock(&mutex);
        while (count < wanted && pthread_create(&made[count], &attributes, mxopt_wait_for, &mutex) == 0) count++;
        pthread_mutex_unlock(&mutex);
        for (int k = 0; k < count; k++) pthread_join(made[k], NULL);
        pthread_attr_destroy(&attributes);
        if (count < wanted) return 0;
    }
    proven = threads;
    return 1;
}
#else
static inline int mxopt_prove_threads(int threads) { (void)threads; return 1; }
#endif

/* A counter that threads increment in turn, on its own cache line. */
#if defined(_MSC_VER)
#include <intrin.h>
typedef struct { volatile __int64 next; char rest[56]; } mxopt_counter;
static inline ptrdiff_t mxopt_take(mxopt_counter *c) { return (ptrdiff_t)_InterlockedExchangeAdd64(&c->next, 1); }
#else
typedef struct { ptrdiff_t next; char rest[64 - sizeof(ptrdiff_t)]; } mxopt_counter;
static inline ptrdiff_t mxopt_take(mxopt_counter *c) { return __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED); }
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
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    if (which == 0) return 1;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    (void)which;
    return 0;
#endif
}

#endif
