# Averages of weights: a step moves them where its rule has left the new weights, block by block, while these are in the
# cache (`Plan.average`). The rows of a table that a lazy step does not visit stand still, so that their averages can be
# caught up in one go.


cdef double power(double base, int64_t n) noexcept nogil:
    # By squaring: the same bits on every machine.
    cdef double result = 1
    while n > 0:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result


def catch_up(real[:, ::1] averages not None, const real[:, ::1] weights not None, const int64_t[::1] rows not None,
             int[::1] marks not None, int number, double decay):
    """Move the averages of rows over the steps at which their weights stood still.

    Parameters
    ----------
    averages : float32 or float64 array (n, m)
    weights : array (k, m)
        The weights of these rows.
    rows : int64 array (k,)
    marks : int32 array (n,)
        The step that each row's average is of. Becomes `number`.
    number : int
        Of the step to move to.
    decay : float
    """
    cdef Py_ssize_t k, i, row
    cdef real rate
    if averages.shape[0] != marks.shape[0] or weights.shape[0] != rows.shape[0] or weights.shape[1] != averages.shape[1]:
        raise ValueError("averages, weights, rows and marks must be of one table")
    for k in range(rows.shape[0]):
        if not 0 <= rows[k] < averages.shape[0]:
            raise ValueError(f"row {rows[k]} is outside of the table")
    with nogil:
        for k in range(rows.shape[0]):
            row = rows[k]
            if marks[row] >= number:
                continue
            rate = <real>(1 - power(decay, number - marks[row]))
            for i in range(averages.shape[1]):
                averages[row, i] += rate * (weights[k, i] - averages[row, i])
            marks[row] = number
