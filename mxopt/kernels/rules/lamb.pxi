# LAMB (MXNet 2.x: multi_lamb_update). The moments and both norms, then the update; its direction is formed
# twice, which costs less than a buffer of it.

cdef struct LambScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon, lower_bound, upper_bound, correct1, correct2
    double weight_squares, update_squares


cdef inline real lamb_direction(real m, real v, real w, real epsilon, real wd, bint wide) noexcept nogil:
    # wide: MXNet 1.9's kernel takes the root of a double, and the quotient and the sum follow it.
    if wide:
        return <real>(<double>m / (sqrt(<double>v) + <double>epsilon) + <double>(wd * w))
    return m / (root(v) + epsilon) + wd * w


cdef inline void lamb_first_of(real** arrays, Py_ssize_t n, const double* scalars, const real* sized,
                               bint wide, bint half, bint in_turn) noexcept nogil:
    # sized: the weights whose norm the step is a multiple of; half: they are float16.
    cdef:
        const LambScalars* s = <const LambScalars*>scalars
        const real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        double* sums = <double*>arrays[4]
        real wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real rest1 = <real>1 - beta1, rest2 = <real>1 - beta2
        real correct1 = <real>s.correct1, correct2 = <real>s.correct2
        real inverse1 = <real>1 / correct1, inverse2 = <real>1 / correct2
        real update[PIECE]
        real g, m, v
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            g = clipped(grad[p + i] * rescale, clip)
            m = beta1 * mean[p + i] + rest1 * g
            v = beta2 * var[p + i] + rest2 * g * g
            mean[p + i] = same_nan(m)
            var[p + i] = same_nan(v)
            m, v = part_of(m, correct1, inverse1, in_turn), part_of(v, correct2, inverse2, in_turn)
            update[i] = lamb_direction(m, v, weight[p + i], epsilon, wd, wide)
        if half:
            add_half_squares(<const float*>sized + p, piece, &sums[0], in_turn)
            add_squares(<const real*>update, <const real*>NULL, <const real*>NULL, piece, &sums[1], in_turn)
        else:
            add_squares(sized + p, <const real*>update, <const real*>NULL, piece, sums, in_turn)
        p += PIECE


cdef inline void lamb_first(real** arrays, Py_ssize_t n, const double* scalars, const real* sized,
                            bint wide, bint half) noexcept nogil:
    if arrays[5] != NULL:
        lamb_first_of(arrays, n, scalars, sized, wide, half, True)
    else:  # no root of doubles either, for norms that are not MXNet's to the bit
        lamb_first_of(arrays, n, scalars, sized, False, half, False)


cdef void lamb_moments(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    lamb_first(arrays, n, scalars, <const real*>arrays[0], False, False)


cdef void lamb_moments_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    lamb_first(arrays, n, scalars, <const real*>arrays[0], True, False)


cdef void lamb_moments_v1_on_master(float** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    # MXNet 1.9 takes the norm of the weights as they are stored, not of their masters.
    lamb_first(arrays, n, scalars, <const float*>arrays[6], True,
               (<const unsigned char*>arrays[7])[STORED] == FLOAT16)


cdef inline void lamb_last(real** arrays, Py_ssize_t n, const double* scalars, bint wide) noexcept nogil:
    cdef:
        const LambScalars* s = <const LambScalars*>scalars
        real* weight = arrays[0]
        const real* mean = arrays[2]
        const real* var = arrays[3]
        real wd = <real>s.wd, beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real correct1 = <real>s.correct1, correct2 = <real>s.correct2
        double inverse1 = inverse_of(correct1), inverse2 = inverse_of(correct2)
        real norm = bounded(root(<real>s.weight_squares), <real>s.lower_bound, <real>s.upper_bound)
        real lr = <real>s.lr * trust(norm, root(<real>s.update_squares))
        real m, v
        Py_ssize_t i
    for i in range(n):
        m, v = over(mean[i], correct1, inverse1), over(var[i], correct2, inverse2)
        weight[i] = same_nan(weight[i] - lr * lamb_direction(m, v, weight[i], epsilon, wd, wide))


cdef void lamb(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    lamb_last(arrays, n, scalars, False)


cdef void lamb_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    lamb_last(arrays, n, scalars, True)


cdef str LAMB_SCALARS = ("lr wd rescale_grad clip_gradient beta1 beta2 epsilon lower_bound upper_bound correct1 "
                         "correct2 weight_squares update_squares")

register("lamb_moments", <rule_fn>lamb_moments[float], <rule_fn>lamb_moments[double], sizeof(LambScalars),
         "weight grad mean var", LAMB_SCALARS, writes="mean var", sums="weight_squares update_squares")
register("lamb_moments_v1", <rule_fn>lamb_moments_v1[float], <rule_fn>lamb_moments_v1[double], sizeof(LambScalars),
         "weight grad mean var", LAMB_SCALARS, writes="mean var", sums="weight_squares update_squares",
         on_master=<rule_fn>lamb_moments_v1_on_master)
register("lamb", <rule_fn>lamb[float], <rule_fn>lamb[double], sizeof(LambScalars), "weight - mean var",
         LAMB_SCALARS, writes="weight")
register("lamb_v1", <rule_fn>lamb_v1[float], <rule_fn>lamb_v1[double], sizeof(LambScalars), "weight - mean var",
         LAMB_SCALARS, writes="weight")
