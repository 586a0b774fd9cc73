# Sums of squares, for the rules with norms.
#
# After its named arrays a rule with sums is handed
#
#     arrays[k]      double*: its partial sums of this SUM_BLOCK, zero at the block's start; it adds to them
#     arrays[k + 1]  not NULL: the whole tensor lies in this block
#     arrays[k + 2]  real*: the weights as they are stored, so the 16-bit ones where the rule works on their master;
#                    NULL where none of its sums is called weight_squares
#     arrays[k + 3]  unsigned char*: the dtypes of the arrays (see dtypes.h), and at STORED that of those weights
#
# A block may come in several calls, cut at multiples of PIECE elements, and the sums must not show it.
#
# A tensor of one block is summed as MXNet does it, one element after the other in the working type: a
# chain of additions, each waiting for the one before. Independent chains run side by side. In larger tensors,
# where MXNet's sums lose digits, the squares of a piece are added in LANES short sums, which the compiler
# vectorises, and those in double; piece by piece, so that the cut of the calls does not matter.

cdef enum:
    LANES = 16
    PIECE = 8 * LANES  # elements at a time; divides every span that the engine cuts
    STORED = 7


cdef inline double in_double(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total = total + <double>x[i] * <double>x[i]
    return total


cdef inline double squares(const real* x, Py_ssize_t n) noexcept nogil:
    # n <= PIECE. Eight squares at a time are added in the working type, all else in double.
    cdef real padded[PIECE]
    cdef double sums[LANES]
    cdef const real* y = x
    cdef Py_ssize_t i
    cdef real a, b, c, d
    if n < PIECE:
        memset(padded, 0, sizeof(padded))
        memcpy(padded, x, n * sizeof(real))
        y = padded
    for i in range(LANES):
        a = y[i] * y[i] + y[i + LANES] * y[i + LANES]
        b = y[i + 2 * LANES] * y[i + 2 * LANES] + y[i + 3 * LANES] * y[i + 3 * LANES]
        c = y[i + 4 * LANES] * y[i + 4 * LANES] + y[i + 5 * LANES] * y[i + 5 * LANES]
        d = y[i + 6 * LANES] * y[i + 6 * LANES] + y[i + 7 * LANES] * y[i + 7 * LANES]
        sums[i] = <double>((a + b) + (c + d))
    for i in range(8):
        sums[i] = sums[i] + sums[i + 8]
    for i in range(4):
        sums[i] = sums[i] + sums[i + 4]
    sums[0] = (sums[0] + sums[2]) + (sums[1] + sums[3])
    # Numbers too large or too small to be squared in the working type are rare, so this may be slow.
    return sums[0] if 1e-25 < sums[0] < 1e38 else in_double(x, n)


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


cdef inline void add_half_squares(const float* x, Py_ssize_t n, double* added, bint in_turn) noexcept nogil:
    # Of up to PIECE float16 numbers, as MXNet 1.9 takes them: each square is a float16, the sum a float. Squares
    # that no float16 holds, from 256 on, stay floats; there MXNet's norm is infinite.
    cdef float wide[PIECE]
    cdef float rounded[PIECE]
    cdef unsigned short half[PIECE]
    cdef double lanes[LANES]
    cdef float total = <float>added[0]
    cdef Py_ssize_t i, j
    memset(wide, 0, sizeof(wide))
    memset(half, 0, sizeof(half))
    memset(rounded, 0, sizeof(rounded))
    memset(lanes, 0, sizeof(lanes))
    for i in range(n):
        wide[i] = x[i] * x[i]
    STORED_AS[FLOAT16].store[0](wide, half, n)
    STORED_AS[FLOAT16].load[0](half, rounded, n)
    for i in range(PIECE):
        rounded[i] = rounded[i] if rounded[i] < INFINITY else wide[i]
    if in_turn:
        for i in range(n):
            total = total + rounded[i]
        added[0] = total
        return
    for i in range(8):
        for j in range(LANES):
            lanes[j] = lanes[j] + <double>rounded[i * LANES + j]
    for j in range(LANES):
        added[0] += lanes[j]


cdef inline real part_of(real x, real divisor, real inverse, bint exact) noexcept nogil:
    # For quotients that are only summed: exact where the sums are to have MXNet's bits.
    return x / divisor if exact else x * inverse


cdef inline real trust(real weight_norm, real update_norm) noexcept nogil:
    return <real>1 if weight_norm == 0 or update_norm == 0 else weight_norm / update_norm


cdef inline real bounded(real norm, real lower, real upper) noexcept nogil:
    # An upper bound of 0 means no bound.
    if norm < lower:
        norm = lower
    return upper if upper > 0 and norm > upper else norm

