# The engine: spans, staging, threads. It moves pointers and knows no optimizer; only engine/calls.pxi, the compiled
# methods of optimizers and updaters that lead here, asks them for what they declare.
#
# A *plan* is the checked description of one call: for every tensor the addresses, dtypes and layouts of
# its weight, gradient and states. Making a plan changes nothing and finds everything that can be wrong;
# running a rule over it cannot fail. All tensors of a plan lie one after the other on one *line* of elements; the
# line is cut into chunks and the threads share the chunks, so a thousand small tensors and one
# large tensor are the same to it.

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cython.parallel cimport prange, threadid
from libc.math cimport NAN
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

cimport cython

import warnings

import numpy as np

cimport numpy as cnp
from ._scalars cimport Ledger, Scalars, ahead, scalars_of

cnp.import_array()

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    ctypedef struct PyInterpreterState:
        pass
    PyThreadState* PyThreadState_Get()
    PyInterpreterState* PyThreadState_GetInterpreter(PyThreadState*)
    PyThreadState* PyInterpreterState_ThreadHead(PyInterpreterState*)
    PyThreadState* PyThreadState_Next(PyThreadState*)

cdef extern from "prefetch.h" nogil:
    void mxopt_prefetch(const void*)

cdef extern from "numpy/arrayobject.h" nogil:
    # NumPy's accessors on borrowed references: a list of small tensors is read four times as fast.
    bint is_exact_array "PyArray_CheckExact"(PyObject*)
    ctypedef struct Array "PyArrayObject":
        pass
    void* descr_of "PyArray_DESCR"(Array*)
    int flags_of "PyArray_FLAGS"(Array*)
    int ndim_of "PyArray_NDIM"(Array*)
    cnp.npy_intp* dims_of "PyArray_DIMS"(Array*)
    cnp.npy_intp size_of "PyArray_SIZE"(Array*)
    char* data_of "PyArray_BYTES"(Array*)

include "engine/layout.pxi"

#: Tensors of up to this many elements are summed as MXNet sums them.
WHOLE_SUM = SUM_BLOCK


class Refused(Exception):
    """A plan that cannot be made: (code, tensor, role, ...). Worded by mxopt.checks."""


include "engine/threads.pxi"
include "engine/tuning.pxi"
include "engine/rule.pxi"
include "engine/coded.pxi"
include "engine/running.pxi"
include "engine/cautious.pxi"
include "engine/factored.pxi"
include "engine/planning.pxi"
include "engine/averages.pxi"
include "engine/sums.pxi"
include "engine/overlaps.pxi"
include "engine/replaying.pxi"
include "engine/calls.pxi"
