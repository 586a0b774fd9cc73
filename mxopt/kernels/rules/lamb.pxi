# LAMB (MXNet 2.x: multi_lamb_update). The moments and both norms, then the update; its direction is formed
# twice, which costs less than a buffer of it.

cdef struct LambScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon, lower_bound, upper_bound, t
    double weight_squares, update_squares


cdef inline real lamb_direction(real m, real v, real w, real correct1, real correct2, real epsilon,
                                real wd) noexcept nogil:
    return m / correct1 / (root(v / correct2) + epsilon) + wd * w


cdef void lamb_moments(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const LambScalars* s = <const LambScalars*>scalars
        const real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        double* sums = <double*>arrays[4]
        bint in_turn = arrays[5] != NULL
        real wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real rest1 = <real>1 - beta1, rest2 = <real>1 - beta2
        real correct1 = correction(beta1, <real>s.t), correct2 = correction(beta2, <real>s.t)
        real update[PIECE]
        real g, m, v
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            g = clipped(grad[p + i] * rescale, clip)
            m = beta1 * mean[p + i] + rest1 * g
            v = beta2 * var[p + i] + rest2 * g * g
            mean[p + i] = m
            var[p + i] = v
            update[i] = lamb_direction(m, v, weight[p + i], correct1, correct2, epsilon, wd)
        add_squares(weight + p, <const real*>update, <const real*>NULL, piece, sums, in_turn)
        p += PIECE


cdef void lamb(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const LambScalars* s = <const LambScalars*>scalars
        real* weight = arrays[0]
        const real* mean = arrays[2]
        const real* var = arrays[3]
        real wd = <real>s.wd, beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real correct1 = correction(beta1, <real>s.t), correct2 = correction(beta2, <real>s.t)
        real norm = bounded(root(<real>s.weight_squares), <real>s.lower_bound, <real>s.upper_bound)
        real lr = <real>s.lr * trust(norm, root(<real>s.update_squares))
        Py_ssize_t i
    for i in range(n):
        weight[i] = weight[i] - lr * lamb_direction(mean[i], var[i], weight[i], correct1, correct2, epsilon, wd)


register("lamb_moments", <rule_fn>lamb_moments[float], <rule_fn>lamb_moments[double], sizeof(LambScalars),
         "weight grad mean var",
         "lr wd rescale_grad clip_gradient beta1 beta2 epsilon lower_bound upper_bound t weight_squares update_squares",
         writes="mean var", sums="weight_squares update_squares")
register("lamb", <rule_fn>lamb[float], <rule_fn>lamb[double], sizeof(LambScalars), "weight - mean var",
         "lr wd rescale_grad clip_gradient beta1 beta2 epsilon lower_bound upper_bound t weight_squares update_squares",
         writes="weight")
