# The squares of gradients, weights and moves: no optimizer, but what a step reports beside its own rule. Spans are cut at
# multiples of PIECE, so the sums do not show the cut.

cdef struct MeasureScalars:
    double nothing


cdef void measure(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const real* weight = arrays[0]
        const real* grad = arrays[1]
        const real* before = arrays[2]
        double* sums = <double*>arrays[3]
        real[PIECE] moved
        Py_ssize_t p = 0, k, i
    while p < n:
        k = min(<Py_ssize_t>PIECE, n - p)
        for i in range(k):
            moved[i] = weight[p + i] - before[p + i]
        sums[0] += squares(grad + p, k)
        sums[1] += squares(weight + p, k)
        sums[2] += squares(<const real*>moved, k)
        p += k


register("measure", <rule_fn>measure[float], <rule_fn>measure[double], sizeof(MeasureScalars), "weight grad before",
         "nothing", "", "grad_squares new_squares move_squares")
