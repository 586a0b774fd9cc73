# Clipping by the norm of many arrays: their sums of squares, and a factor for all of them.

cdef struct ScaleScalars:
    double factor


cdef void square_sum(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef const real* array = arrays[0]
    cdef double* sums = <double*>arrays[1]
    cdef Py_ssize_t p = 0
    while p < n:
        sums[0] += squares(array + p, min(PIECE, n - p))
        p += PIECE


cdef void scale(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef real* array = arrays[0]
    cdef real factor = <real>(<const ScaleScalars*>scalars).factor
    cdef Py_ssize_t i
    for i in range(n):
        array[i] = same_nan(array[i] * factor)


register("square_sum", <rule_fn>square_sum[float], <rule_fn>square_sum[double], sizeof(ScaleScalars), "array",
         "factor", "", "squares")
register("scale", <rule_fn>scale[float], <rule_fn>scale[double], sizeof(ScaleScalars), "array", "factor")
