# LANS (MXNet 2.x: multi_lans_update): the gradient's norm; the moments and the norms of the weight and of both
# parts of the update; the update. Both parts see the old weight.

cdef struct LansScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon, lower_bound, upper_bound, correct1, correct2
    double grad_squares, weight_squares, mean_squares, now_squares


cdef inline real lans_norm(real squares) noexcept nogil:
    # The gradient's norm. A gradient of zeros stays zero; MXNet divides 0 by 0 and never recovers.
    return root(squares) if squares != 0 else <real>INFINITY


cdef void lans_grad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const real* grad = arrays[1]
        double* sums = <double*>arrays[2]
        bint in_turn = arrays[3] != NULL
        real rescale = <real>(<const LansScalars*>scalars).rescale_grad
        real scaled[PIECE]
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            scaled[i] = grad[p + i] * rescale
        add_squares(<const real*>scaled, <const real*>NULL, <const real*>NULL, piece, sums, in_turn)
        p += PIECE


cdef inline void lans_moments_of(real** arrays, Py_ssize_t n, const double* scalars, bint in_turn) noexcept nogil:
    cdef:
        const LansScalars* s = <const LansScalars*>scalars
        const real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        double* sums = <double*>arrays[4]
        const real* stored = arrays[6]
        real wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real rest1 = <real>1 - beta1, rest2 = <real>1 - beta2, norm = lans_norm(<real>s.grad_squares)
        real correct1 = <real>s.correct1, correct2 = <real>s.correct2
        real inverse1 = <real>1 / correct1, inverse2 = <real>1 / correct2
        real by_mean[PIECE]
        real by_now[PIECE]
        real g, m, v, divisor, share
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            g = clipped(grad[p + i] * rescale / norm, clip)
            m = beta1 * mean[p + i] + rest1 * g
            v = beta2 * var[p + i] + rest2 * g * g
            mean[p + i] = same_nan(m)
            var[p + i] = same_nan(v)
            divisor = root(part_of(v, correct2, inverse2, in_turn)) + epsilon
            share = <real>1 / divisor
            by_mean[i] = part_of(part_of(m, correct1, inverse1, in_turn), divisor, share, in_turn) + wd * weight[p + i]
            by_now[i] = part_of(g, divisor, share, in_turn) + wd * weight[p + i]
        add_squares(stored + p, <const real*>by_mean, <const real*>by_now, piece, sums, in_turn)
        p += PIECE


cdef void lans_moments(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    if arrays[5] != NULL:
        lans_moments_of(arrays, n, scalars, True)
    else:
        lans_moments_of(arrays, n, scalars, False)


cdef void lans(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const LansScalars* s = <const LansScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        const real* mean = arrays[2]
        const real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real norm = lans_norm(<real>s.grad_squares)
        real correct1 = <real>s.correct1, correct2 = <real>s.correct2
        double inverse1 = inverse_of(correct1), inverse = inverse_of(norm)
        real size = bounded(root(<real>s.weight_squares), <real>s.lower_bound, <real>s.upper_bound)
        real by_mean = lr * (trust(size, root(<real>s.mean_squares)) * beta1)
        # 1 - beta1 is a double in MXNet's kernel: another rounding below a beta1 of 0.5.
        real by_now = lr * <real>(<double>trust(size, root(<real>s.now_squares)) * (1 - <double>beta1))
        real g, m, divisor, decay
        Py_ssize_t i
    for i in range(n):
        g = clipped(over(grad[i] * rescale, norm, inverse), clip)
        divisor = root(var[i] / correct2) + epsilon
        decay = wd * weight[i]
        m = over(mean[i], correct1, inverse1)
        weight[i] = same_nan(weight[i] - (by_mean * (m / divisor + decay) + by_now * (g / divisor + decay)))


cdef str LANS_SCALARS = ("lr wd rescale_grad clip_gradient beta1 beta2 epsilon lower_bound upper_bound correct1 "
                         "correct2 grad_squares weight_squares mean_squares now_squares")

register("lans_grad", <rule_fn>lans_grad[float], <rule_fn>lans_grad[double], sizeof(LansScalars), "- grad",
         LANS_SCALARS, None, "grad_squares")
register("lans_moments", <rule_fn>lans_moments[float], <rule_fn>lans_moments[double], sizeof(LansScalars),
         "weight grad mean var", LANS_SCALARS, writes="mean var", sums="weight_squares mean_squares now_squares")
register("lans", <rule_fn>lans[float], <rule_fn>lans[double], sizeof(LansScalars), "weight grad mean var",
         LANS_SCALARS, writes="weight")
