# Sums of the rows with the same number, which make a row-sparse gradient's indices unique; and sums along
# rows, in MXNet's order.

from cython.parallel cimport prange
from libc.math cimport fabs, isinf, sqrt
from libc.stdint cimport int64_t

import numpy as np

cdef extern from "prefetch.h" nogil:
    void mxopt_prefetch(const void*)

ctypedef fused real:
    float
    double

cdef extern from "control.h" nogil:
    ctypedef unsigned long mxopt_control
    mxopt_control mxopt_take_control(bint flush)
    void mxopt_give_back(mxopt_control)

cdef enum:
    # Rows are scattered: how many rows ahead to prefetch, and how many bytes of each.
    AHEAD = 8
    HEAD = 512


def group_rows(const int64_t[::1] rows not None, const int64_t[::1] order not None):
    """Where the groups of equal row numbers begin.

    Parameters
    ----------
    rows : int64 array (k,)
    order : int64 array (k,)
        Visits the rows in ascending order.

    Returns
    -------
    starts, distinct : int64 array (groups,)
        For each group its place in `order`, and its row number.
    """
    cdef Py_ssize_t k, count = 0, n = order.shape[0]
    cdef int64_t row
    starts, distinct = np.empty(n, np.int64), np.empty(n, np.int64)
    cdef int64_t[::1] at = starts, found = distinct
    if rows.shape[0] != n:
        raise ValueError("order must name each row once")
    for k in range(n):
        if order[k] < 0 or order[k] >= n:
            raise ValueError("order must name rows")
        row = rows[order[k]]
        if count == 0 or row != found[count - 1]:
            at[count], found[count] = k, row
            count += 1
    return starts[:count], distinct[:count]


cdef inline void sum_group(const real* rows, const int64_t* order, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count,
                           Py_ssize_t width, real* total) noexcept nogil:
    cdef mxopt_control control = mxopt_take_control(False)
    cdef const real* row
    cdef const char* line
    cdef Py_ssize_t i, first = at
    while at < end:
        row = rows + order[at] * width
        if at + AHEAD < count:
            line = <const char*>(rows + order[at + AHEAD] * width)
            for i in range(0, min(width * <Py_ssize_t>sizeof(real), <Py_ssize_t>HEAD), 64):
                mxopt_prefetch(line + i)
        if at == first:
            for i in range(width):
                total[i] = row[i]
        else:
            for i in range(width):
                total[i] = total[i] + row[i]
        at += 1
    mxopt_give_back(control)


def sum_rows(const real[:, ::1] rows not None, const int64_t[::1] order not None,
             const int64_t[::1] starts not None, real[:, ::1] sums not None, int threads):
    """Add up rows, group by group, one after the other.

    Parameters
    ----------
    rows : float32 or float64 array (k, width)
    order : int64 array (k,)
        The rows in the order in which they are taken.
    starts : int64 array (groups,)
        Where in `order` each group begins; it ends where the next one begins.
    sums : array (groups, width)
        Gets the sums.
    threads : int
        How many share the groups.
    """
    cdef Py_ssize_t groups = starts.shape[0], width = rows.shape[1], count = order.shape[0], group, at
    for at in range(count):
        if order[at] < 0 or order[at] >= rows.shape[0]:
            raise ValueError("order must name rows")
    for group in range(groups):
        if starts[group] < (starts[group - 1] + 1 if group else 0) or starts[group] >= count:
            raise ValueError("starts must ascend within order")
    if sums.shape[0] != groups or sums.shape[1] != width:
        raise ValueError("sums must have one row a group")
    if width == 0:
        return
    for group in prange(groups, schedule="static", num_threads=threads, nogil=True):
        sum_group(&rows[0, 0], &order[0], starts[group], starts[group + 1] if group + 1 < groups else count, count,
                  width, &sums[group, 0])


cdef inline real compensated(const real* values, Py_ssize_t n, bint magnitudes) noexcept nogil:
    # Compensated for rounding, as MXNet sums arrays.
    cdef real total = 0, lost = 0, value, y, t
    cdef Py_ssize_t i
    for i in range(n):
        value = <real>fabs(values[i]) if magnitudes else values[i]
        y = value - lost
        t = total + y
        lost = <real>0 if isinf(t) else (t - total) - y
        total = t
    return total


cdef inline real scaled_norm(const real* values, Py_ssize_t n) noexcept nogil:
    # Squares relative to the largest magnitude so far, which cannot overflow: the algorithm of BLAS and MXNet.
    cdef real scale = 0, total = 0, size, ratio
    cdef Py_ssize_t i
    for i in range(n):
        if values[i] != 0:
            size = <real>fabs(values[i])
            if scale < size:
                ratio = scale / size
                total = <real>1 + total * ratio * ratio
                scale = size
            else:
                ratio = size / scale
                total = total + ratio * ratio
    return scale * <real>sqrt(total)


def reduce_rows(const real[:, ::1] values not None, str how not None, real[::1] results not None):
    """Reduce each row to a number, element after element, as MXNet 1.9 does.

    Parameters
    ----------
    values : float32 or float64 array (k, n)
    how : {'sum', 'magnitudes', 'norm'}
    results : array (k,)
        Gets the numbers.
    """
    cdef Py_ssize_t rows = values.shape[0], n = values.shape[1], row
    cdef bint norm = how == "norm", magnitudes = how == "magnitudes"
    cdef mxopt_control control
    if results.shape[0] != rows:
        raise ValueError("results must have one number a row")
    control = mxopt_take_control(False)
    for row in range(rows):
        if n == 0:
            results[row] = 0
        elif norm:
            results[row] = scaled_norm(&values[row, 0], n)
        else:
            results[row] = compensated(&values[row, 0], n, magnitudes)
    mxopt_give_back(control)
