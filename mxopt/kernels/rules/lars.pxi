# LARS: the norms of weight and rescaled gradient; the update is SGD's (sgd.pxi) at the rate they give.
#
# MXNet takes these norms in float32, whatever the weight's type, by the algorithm of BLAS: the largest magnitude
# so far, and the sum of squares relative to it. So does this rule within one block. A scale of 0 says that
# the squares are plain.

cdef struct LarsScalars:
    double lr, wd, rescale_grad, clip_gradient, momentum, norm_rescale

cdef enum:
    LARS_PIECE = 64  # small: a piece with a new largest magnitude is slow, and the first one always is


cdef inline void add_relative_squares(const float* x, Py_ssize_t n, double* squares, double* scale) noexcept nogil:
    cdef float relative[LARS_PIECE]
    cdef float top = <float>scale[0], total = <float>squares[0], a
    cdef Py_ssize_t i
    cdef int above = top == 0
    for i in range(n):
        above += fabsf(x[i]) > top
    if above:
        for i in range(n):
            a = fabsf(x[i])
            if top < a:
                total = <float>1 + total * (top / a) * (top / a)
                top = a
            elif a != 0:
                total = total + (a / top) * (a / top)
    else:
        for i in range(n):
            a = fabsf(x[i]) / top
            relative[i] = a * a
        for i in range(n):
            total = total + relative[i]
    squares[0], scale[0] = total, top


cdef void lars_norms(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const real* grad = arrays[1]
        double* sums = <double*>arrays[2]
        bint in_turn = arrays[3] != NULL
        const real* weight = arrays[4]
        float rescale = <float>(<const LarsScalars*>scalars).norm_rescale
        float weights[PIECE]
        float grads[PIECE]
        Py_ssize_t i, p = 0, piece, part
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            weights[i] = <float>weight[p + i]
            grads[i] = <float>grad[p + i] * rescale
        if not in_turn:
            sums[0] += squares(<const float*>weights, piece)
            sums[1] += squares(<const float*>grads, piece)
        i = 0
        while in_turn and i < piece:
            part = min(LARS_PIECE, piece - i)
            add_relative_squares(weights + i, part, &sums[0], &sums[2])
            add_relative_squares(grads + i, part, &sums[1], &sums[3])
            i += LARS_PIECE
        p += PIECE


cdef void lars_norms_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    # MXNet 1.9 (multi_sum_sq, multi_lars): squares in the array's type, plain float sums; rescale_grad joins the norm.
    cdef:
        const real* grad = arrays[1]
        double* sums = <double*>arrays[2]
        const real* weight = arrays[4]
        float a = <float>sums[0], b = <float>sums[1]
        Py_ssize_t i, p = 0
    if arrays[3] == NULL:
        while p < n:
            sums[0] += squares(weight + p, min(PIECE, n - p))
            sums[1] += squares(grad + p, min(PIECE, n - p))
            p += PIECE
        return
    for i in range(n):
        a = <float>(a + weight[i] * weight[i])
        b = <float>(b + grad[i] * grad[i])
    sums[0], sums[1] = a, b


cdef void lars_norms_v1_on_master(float** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    # Of the weights and gradients as they are stored.
    cdef:
        const float* stored[2]
        double* sums = <double*>arrays[2]
        bint in_turn = arrays[3] != NULL
        const unsigned char* dtypes = <const unsigned char*>arrays[5]
        bint half[2]
        Py_ssize_t p = 0, piece
        int k
    stored[0], stored[1] = arrays[4], arrays[1]
    half[0], half[1] = dtypes[STORED] == FLOAT16, dtypes[1] == FLOAT16
    while p < n:
        piece = min(PIECE, n - p)
        for k in range(2):
            if half[k]:
                add_half_squares(stored[k] + p, piece, &sums[k], in_turn)
            else:
                add_squares(stored[k] + p, <const float*>NULL, <const float*>NULL, piece, &sums[k], in_turn)
        p += PIECE


cdef str LARS_SCALARS = "lr wd rescale_grad clip_gradient momentum norm_rescale"

register("lars_norms", <rule_fn>lars_norms[float], <rule_fn>lars_norms[double], sizeof(LarsScalars), "- grad",
         LARS_SCALARS, None, "weight_squares grad_squares weight_scale grad_scale")
register("lars_norms_v1", <rule_fn>lars_norms_v1[float], <rule_fn>lars_norms_v1[double], sizeof(LarsScalars),
         "- grad", LARS_SCALARS, None, "weight_squares grad_squares", <rule_fn>lars_norms_v1_on_master)
