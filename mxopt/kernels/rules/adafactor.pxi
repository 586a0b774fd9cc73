# Adafactor: a second moment that is the product of its mean over each row and over each column.
#
# Not rules as the others are: a matrix's sums run along both of its axes. Each function takes some whole rows of one
# matrix; the engine (engine/factored.pxi) shares them out. Vectors keep a whole moment, and have rules: at the end.

from libc.stddef cimport ptrdiff_t

cdef extern from "factored.h" nogil:
    ctypedef struct Rows "mxopt_rows":
        void* weight
        const void* grad
        const void* row
        const void* column
        ptrdiff_t count, width
        double rescale_grad, clip_gradient, mean, least, kept, step
        double* row_sums
        double* column_sums
        double* squares
    ctypedef void (*rows_fn "mxopt_rows_fn")(const Rows*) noexcept nogil


cdef void factored_sums(const Rows* r, real* unused) noexcept nogil:
    # Of squared gradients, along both axes.
    cdef:
        const real* grad = <const real*>r.grad
        real rescale = <real>r.rescale_grad, clip = <real>r.clip_gradient
        real grads[PIECE]
        double* columns = r.column_sums
        Py_ssize_t row, i, p, piece
    for row in range(r.count):
        r.row_sums[row] = 0
        p = 0
        while p < r.width:
            piece = min(PIECE, r.width - p)
            for i in range(piece):
                grads[i] = clipped(grad[p + i] * rescale, clip)
            for i in range(piece):
                columns[p + i] = same_nan(columns[p + i] + <double>grads[i] * <double>grads[i])
            r.row_sums[row] += squares(<const real*>grads, piece)
            p += PIECE
        r.row_sums[row] = same_nan(r.row_sums[row])
        grad += r.width


cdef inline real factored_update(real g, real row, real column, real mean, double inverse, real least) noexcept nogil:
    cdef real var = over(row * column, mean, inverse)
    return g * (<real>1 / root(var if var > least else least))


cdef void factored_squares(const Rows* r, real* unused) noexcept nogil:
    # The sum of squares of the updates.
    cdef:
        const real* grad = <const real*>r.grad
        const real* rows = <const real*>r.row
        const real* columns = <const real*>r.column
        real rescale = <real>r.rescale_grad, clip = <real>r.clip_gradient
        real mean = <real>r.mean, least = <real>r.least
        double inverse = inverse_of(mean)
        real updates[PIECE]
        Py_ssize_t row, i, p, piece
    for row in range(r.count):
        p = 0
        while p < r.width:
            piece = min(PIECE, r.width - p)
            for i in range(piece):
                updates[i] = factored_update(clipped(grad[p + i] * rescale, clip), rows[row], columns[p + i], mean,
                                             inverse, least)
            r.squares[0] += squares(<const real*>updates, piece)
            p += PIECE
        grad += r.width


cdef void factored_step(const Rows* r, real* unused) noexcept nogil:
    cdef:
        real* weight = <real*>r.weight
        const real* grad = <const real*>r.grad
        const real* rows = <const real*>r.row
        const real* columns = <const real*>r.column
        real rescale = <real>r.rescale_grad, clip = <real>r.clip_gradient
        real mean = <real>r.mean, least = <real>r.least, kept = <real>r.kept, step = <real>r.step
        double inverse = inverse_of(mean)
        real u
        Py_ssize_t row, i
    for row in range(r.count):
        for i in range(r.width):
            u = factored_update(clipped(grad[i] * rescale, clip), rows[row], columns[i], mean, inverse, least)
            weight[i] = same_nan(fused(-step, u, weight[i] * kept))
        weight += r.width
        grad += r.width


cdef void factored_sums_f32(const Rows* r) noexcept nogil:
    factored_sums(r, <float*>NULL)


cdef void factored_sums_f64(const Rows* r) noexcept nogil:
    factored_sums(r, <double*>NULL)


cdef void factored_squares_f32(const Rows* r) noexcept nogil:
    factored_squares(r, <float*>NULL)


cdef void factored_squares_f64(const Rows* r) noexcept nogil:
    factored_squares(r, <double*>NULL)


cdef void factored_step_f32(const Rows* r) noexcept nogil:
    factored_step(r, <float*>NULL)


cdef void factored_step_f64(const Rows* r) noexcept nogil:
    factored_step(r, <double*>NULL)


# Sums, squares of updates, steps; each for float and for double.
FACTORED = (
    PyCapsule_New(<void*>factored_sums_f32, "mxopt.rows", NULL),
    PyCapsule_New(<void*>factored_sums_f64, "mxopt.rows", NULL),
    PyCapsule_New(<void*>factored_squares_f32, "mxopt.rows", NULL),
    PyCapsule_New(<void*>factored_squares_f64, "mxopt.rows", NULL),
    PyCapsule_New(<void*>factored_step_f32, "mxopt.rows", NULL),
    PyCapsule_New(<void*>factored_step_f64, "mxopt.rows", NULL),
)


cdef struct AdafactorScalars:
    double kept, step, rescale_grad, clip_gradient, share, least, weight_size, update_size


cdef inline real vector_update(real g, real var, real least) noexcept nogil:
    return g * (<real>1 / root(var if var > least else least))


cdef void adafactor_sizes(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const AdafactorScalars* s = <const AdafactorScalars*>scalars
        const real* weight = arrays[0]
        const real* grad = arrays[1]
        const real* var = arrays[2]
        double* sums = <double*>arrays[3]
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real share = <real>s.share, least = <real>s.least
        real updates[PIECE]
        real g
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            g = clipped(grad[p + i] * rescale, clip)
            updates[i] = vector_update(g, interpolated(var[p + i], g * g, share), least)
        sums[0] += squares(weight + p, piece)
        sums[1] += squares(<const real*>updates, piece)
        p += PIECE


cdef void adafactor_vector(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const AdafactorScalars* s = <const AdafactorScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* var = arrays[2]
        real kept = <real>s.kept, step = <real>s.step
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real share = <real>s.share, least = <real>s.least
        real g, v
        Py_ssize_t i
    for i in range(n):
        g = clipped(grad[i] * rescale, clip)
        v = interpolated(var[i], g * g, share)
        var[i] = same_nan(v)
        weight[i] = same_nan(fused(-step, vector_update(g, v, least), weight[i] * kept))


cdef str ADAFACTOR_SCALARS = "kept step rescale_grad clip_gradient share least weight_size update_size"

register("adafactor_sizes", <rule_fn>adafactor_sizes[float], <rule_fn>adafactor_sizes[double], sizeof(AdafactorScalars),
         "weight grad var", ADAFACTOR_SCALARS, "", "weight_size update_size")
register("adafactor_vector", <rule_fn>adafactor_vector[float], <rule_fn>adafactor_vector[double],
         sizeof(AdafactorScalars), "weight grad var", ADAFACTOR_SCALARS)
