/* Some whole rows of a matrix with a factored second moment, and what is done with them. */
#ifndef MXOPT_FACTORED_H
#define MXOPT_FACTORED_H

#include <stddef.h>

typedef struct {
    void *weight;
    const void *grad;
    const void *row;     /* the moment's mean over each of these rows */
    const void *column;  /* and over each column */
    ptrdiff_t count, width;
    double rescale_grad, clip_gradient;
    double mean, least;  /* of the rows' means; the smallest second moment */
    double kept, step;   /* the weight's share that decay leaves; the length of the step */
    double *row_sums, *column_sums, *squares;
} mxopt_rows;

typedef void (*mxopt_rows_fn)(const mxopt_rows *);

#endif
