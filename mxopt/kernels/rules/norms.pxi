# Sums of squares, for the rules with norms.
#
# After its named arrays a rule with sums is handed
#
#     arrays[k]      double*: its partial sums of this SUM_BLOCK, zero at the block's start; it adds to them
#     arrays[k + 1]  not NULL: the whole tensor lies in this block
#     arrays[k + 2]  real*: the weights as they are stored, so the 16-bit ones where the rule works on their master
#
# A block may come in several calls, cut at multiples of PIECE elements, and the sums must not show it.
#
# A tensor of one block is summed as MXNet does it, one element after the other in the working type: a
# chain of additions, each waiting for the one before. Independent chains run side by side. In larger tensors,
# where MXNet's sums lose digits, the squares are added in double in LANES sums, which the compiler
# vectorises; piece by piece, so that the cut of the calls does not matter.

cdef enum:
    PIECE = 512   # elements at a time; three float buffers of them stay in L1 beside the arrays. Divides the engine's blocks.
    LANES = 16


cdef inline double squares(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double lanes[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, j, whole = n - n % LANES
    for j in range(LANES):
        lanes[j] = 0
    while i < whole:
        for j in range(LANES):
            lanes[j] = lanes[j] + <double>x[i + j] * <double>x[i + j]
        i += LANES
    for i in range(whole, n):
        lanes[i - whole] = lanes[i - whole] + <double>x[i] * <double>x[i]
    for j in range(LANES):
        total = total + lanes[j]
    return total


cdef inline void add_squares(const real* x, const real* y, const real* z, Py_ssize_t n, double* sums,
                             bint in_turn) noexcept nogil:
    # Of up to three arrays (NULL: none), to sums[0], [1], [2].
    cdef real a, b, c
    cdef Py_ssize_t i
    if not in_turn:
        sums[0] += squares(x, n)
        if y != NULL:
            sums[1] += squares(y, n)
        if z != NULL:
            sums[2] += squares(z, n)
        return
    a = <real>sums[0]
    if y == NULL:
        for i in range(n):
            a = a + x[i] * x[i]
    elif z == NULL:
        b = <real>sums[1]
        for i in range(n):
            a = a + x[i] * x[i]
            b = b + y[i] * y[i]
        sums[1] = b
    else:
        b, c = <real>sums[1], <real>sums[2]
        for i in range(n):
            a = a + x[i] * x[i]
            b = b + y[i] * y[i]
            c = c + z[i] * z[i]
        sums[1], sums[2] = b, c
    sums[0] = a


cdef inline real trust(real weight_norm, real update_norm) noexcept nogil:
    return <real>1 if weight_norm == 0 or update_norm == 0 else weight_norm / update_norm


cdef inline real bounded(real norm, real lower, real upper) noexcept nogil:
    # An upper bound of 0 is none.
    if norm < lower:
        norm = lower
    return upper if upper > 0 and norm > upper else norm


cdef inline real correction(real beta, real t) noexcept nogil:
    # 1 - beta**t in the working type, as MXNet's kernels have it; t = 0: no bias correction.
    return <real>1 - power(beta, t) if t > 0 else <real>1
