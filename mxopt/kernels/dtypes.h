/* The storage dtypes: the one list of them. Engine, rules and Python all read the table of storage.h by these numbers;
 * a new dtype is a number here and a row there. */
#ifndef MXOPT_DTYPES_H
#define MXOPT_DTYPES_H

#include <stddef.h>
#include <stdint.h>

enum {
    MXOPT_F32,
    MXOPT_F64, /* these two are also the types of the arithmetic */
    MXOPT_F16,
    MXOPT_BF16,
    MXOPT_DTYPES,
    /* Codes, which states alone are kept in, for float arithmetic: see storage.h */
    MXOPT_BF16_RANDOM = MXOPT_DTYPES,
    MXOPT_INT8_SQUARE,
    MXOPT_UINT8_FOURTH,
    MXOPT_SPLIT, /* the low halves of masters, whose upper ones are their bfloat16 weights: see storage.h */
    MXOPT_KINDS,
    MXOPT_CODE_BLOCK = 256 /* numbers that share a scale */
};

typedef void (*mxopt_convert)(const void *, void *, ptrdiff_t);
typedef void (*mxopt_normals)(uint64_t key, uint64_t place, void *, ptrdiff_t); /* by type of the arithmetic */
typedef int (*mxopt_finite)(const void *, ptrdiff_t);
typedef void (*mxopt_join)(const void *uppers, const void *lows, float *target, ptrdiff_t n);
typedef void (*mxopt_part)(const float *source, void *uppers, void *lows, ptrdiff_t n);
/* Scales: one for each block of the n numbers; NULL for codes without. Key and place tell the random bits of each number. */
typedef void (*mxopt_decode)(const void *codes, const float *scales, float *target, ptrdiff_t n);
typedef void (*mxopt_encode)(const float *source, void *codes, float *scales, ptrdiff_t n, uint64_t key, uint64_t place);

typedef struct {
    const char *name;
    ptrdiff_t itemsize;
    mxopt_convert load[2];  /* to float, to double; NULL: it is that type */
    mxopt_convert store[2]; /* from float, from double; NULL: it is that type, or is not stored from it */
    mxopt_finite finite;    /* whether all elements of a block are finite */
    mxopt_decode decode;    /* of codes alone, which have no load and store */
    mxopt_encode encode;
    int has_scales;
    mxopt_join join; /* of low halves alone */
    mxopt_part part;
} mxopt_storage;

#endif
