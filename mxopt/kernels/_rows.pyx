# Sums of the rows that bear the same number: what makes a row-sparse gradient's indices unique.

from libc.stdint cimport int64_t

ctypedef fused real:
    float
    double


def sum_rows(const real[:, ::1] rows not None, const int64_t[::1] order not None,
             const int64_t[::1] starts not None, real[:, ::1] sums not None):
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
    """
    cdef Py_ssize_t groups = starts.shape[0], width = rows.shape[1], group, at, end, i
    cdef const real* row
    cdef real* total
    for at in range(order.shape[0]):
        if order[at] < 0 or order[at] >= rows.shape[0]:
            raise ValueError("order must name rows")
    if sums.shape[0] != groups or sums.shape[1] != width:
        raise ValueError("sums must have one row a group")
    if width == 0:
        return
    with nogil:
        for group in range(groups):
            at = starts[group]
            end = starts[group + 1] if group + 1 < groups else order.shape[0]
            if at < 0 or at >= end or end > order.shape[0]:
                continue
            total = &sums[group, 0]
            row = &rows[order[at], 0]
            for i in range(width):
                total[i] = row[i]
            for at in range(at + 1, end):
                row = &rows[order[at], 0]
                for i in range(width):
                    total[i] = total[i] + row[i]
