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
    MXOPT_DTYPES
};

typedef void (*mxopt_convert)(const void *, void *, ptrdiff_t);
typedef void (*mxopt_normals)(uint64_t key, uint64_t place, void *, ptrdiff_t); /* by type of the arithmetic */
typedef int (*mxopt_finite)(const void *, ptrdiff_t);

typedef struct {
    const char *name;
    ptrdiff_t itemsize;
    mxopt_convert load[2];  /* to float, to double; NULL: it is that type */
    mxopt_convert store[2]; /* from float, from double; NULL: it is that type, or is not stored from it */
    mxopt_finite finite;    /* whether all elements of a block are finite */
} mxopt_storage;

#endif
