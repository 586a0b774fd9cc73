/* What cautious steps do to a block of weights, given what a trial run of the rule in double made of them. Branches are
 * selects, so that the loops vectorise. */
#ifndef MXOPT_MOVES_H
#define MXOPT_MOVES_H

#include <stddef.h>

typedef struct {
    const double *before, *after, *grad; /* of the trial */
    double kept;                         /* the weight's share that decay leaves; the rest of the change is a move */
    double sign;                         /* of rescale_grad */
    ptrdiff_t n;
} mxopt_trial;

typedef void (*mxopt_widen_fn)(const float *, double *, ptrdiff_t);
typedef ptrdiff_t (*mxopt_count_fn)(const mxopt_trial *);
typedef void (*mxopt_set_fn)(const mxopt_trial *, double scale, void *weight);

typedef struct {
    mxopt_widen_fn widen;
    mxopt_count_fn count;
    mxopt_set_fn set[2]; /* by type of the arithmetic */
} mxopt_moves;

static inline void mxopt_widen(const float *source, double *target, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) target[i] = source[i];
}

static inline int mxopt_goes_down(double moved, double grad)
{
    return ((moved < 0) & (grad > 0)) | ((moved > 0) & (grad < 0));
}

/* How many elements were moved down their gradient. */
static inline ptrdiff_t mxopt_count_moves(const mxopt_trial *t)
{
    const double *before = t->before, *after = t->after, *grad = t->grad, kept = t->kept, sign = t->sign;
    ptrdiff_t found = 0, n = t->n;
    for (ptrdiff_t i = 0; i < n; i++) found += mxopt_goes_down((after[i] - kept * before[i]) * sign, grad[i]);
    return found;
}

/* Make those moves, `scale` times as long, and no others. A NaN goes nowhere, but stays. */
#define MXOPT_SET_BY_MOVES(name, real)                                                                                   \
    static inline void name(const mxopt_trial *t, double scale, void *weight)                                            \
    {                                                                                                                    \
        const double *before = t->before, *after = t->after, *grad = t->grad, kept = t->kept, sign = t->sign;            \
        real *restrict w = weight;                                                                                       \
        ptrdiff_t n = t->n;                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                              \
            double value = kept * before[i], moved = after[i] - value;                                                   \
            int counts = mxopt_goes_down(moved * sign, grad[i]) | (moved != moved);                                      \
            w[i] = (real)(counts ? value + moved * scale : value);                                                       \
        }                                                                                                                \
    }

MXOPT_SET_BY_MOVES(mxopt_set_f32, float)
MXOPT_SET_BY_MOVES(mxopt_set_f64, double)

static inline const mxopt_moves *mxopt_moves_table(void)
{
    static const mxopt_moves table = {mxopt_widen, mxopt_count_moves, {mxopt_set_f32, mxopt_set_f64}};
    return &table;
}

#endif
