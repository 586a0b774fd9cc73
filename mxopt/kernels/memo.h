/* The last number at each place of a row of scalars, and how MXNet reads it: a memory for each thread. */

#ifndef MXOPT_MEMO_H
#define MXOPT_MEMO_H

enum { MXOPT_PLACES = 24 };

typedef struct {
    double value[MXOPT_PLACES];
    float read[MXOPT_PLACES];
} mxopt_memo;

#ifdef _MSC_VER
static __declspec(thread) mxopt_memo mxopt_memo_of_thread;
#else
static __thread mxopt_memo mxopt_memo_of_thread;
#endif

static inline mxopt_memo *mxopt_my_memo(void) { return &mxopt_memo_of_thread; }

#endif
