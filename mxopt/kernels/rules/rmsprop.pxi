# RMSProp, plain and centered (MXNet: rmsprop_update, rmspropalex_update). n is the running mean of
# the squared gradients, g that of the gradients, delta the momentum.

cdef struct RMSPropScalars:
    double lr, wd, rescale_grad, clip_gradient, rho, momentum, epsilon, clip_weights


cdef inline void rmsprop_span(real** arrays, Py_ssize_t count, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const RMSPropScalars* s = <const RMSPropScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* n = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, clip_weights = <real>s.clip_weights
        # From the rounded rho, in the working type, as MXNet's kernel does.
        real rho = <real>s.rho, rest = <real>1 - rho, epsilon = <real>s.epsilon
        real x, square, step
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(count):
        x = decayed(rescale * grad[i], wd * weight[i], clip, v1)
        square = rest * (x * x) + rho * n[i]
        n[i] = square
        step = lr * (x / root(square + epsilon)) if v1 else lr * x / (root(square) + epsilon)
        weight[i] = clipped(weight[i] - step, clip_weights)
        watch(&nans, weight[i])
    same_nans(arrays, 3, count, &nans)


cdef inline void rmsprop_centered_span(real** arrays, Py_ssize_t count, const double* scalars,
                                       bint v1) noexcept nogil:
    cdef:
        const RMSPropScalars* s = <const RMSPropScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* g = arrays[3 if v1 else 2]
        real* n = arrays[2 if v1 else 3]
        real* delta = arrays[4]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, clip_weights = <real>s.clip_weights
        real rho = <real>s.rho, rest = <real>1 - rho, momentum = <real>s.momentum, epsilon = <real>s.epsilon
        real x, square, mean, d
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(count):
        x = decayed(rescale * grad[i], wd * weight[i], clip, v1)
        square = (rest * x * x if v1 else rest * (x * x)) + rho * n[i]
        mean = rest * x + rho * g[i]
        d = momentum * delta[i] - lr * x / root(square - mean * mean + epsilon)
        n[i] = square
        g[i] = mean
        delta[i] = d
        weight[i] = clipped(weight[i] + d, clip_weights)
        watch(&nans, weight[i])
    same_nans(arrays, 5, count, &nans)


cdef void rmsprop(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    rmsprop_span(arrays, n, scalars, False)


cdef void rmsprop_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    rmsprop_span(arrays, n, scalars, True)


cdef void rmsprop_centered(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    rmsprop_centered_span(arrays, n, scalars, False)


cdef void rmsprop_centered_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    rmsprop_centered_span(arrays, n, scalars, True)


cdef bint rmsprop_rests(real** arrays, Py_ssize_t n, const double* scalars, double lr) noexcept nogil:
    cdef:
        const RMSPropScalars* s = <const RMSPropScalars*>scalars
        const real* weight = arrays[0]
        const real* square = arrays[2]
        real most = <real>s.clip_weights
        int moving = 0
        Py_ssize_t i
    if s.wd != 0 or not 0 < s.rescale_grad < INFINITY or not 0 <= s.rho < 1 or not s.epsilon > 0:
        return False
    for i in range(n):
        moving |= moves(weight[i], <real>0) | (magnitude(weight[i]) > most) | (1 - (square[i] < INFINITY))
    return moving == 0


register("rmsprop", <rule_fn>rmsprop[float], <rule_fn>rmsprop[double], sizeof(RMSPropScalars),
         "weight grad n", "lr wd rescale_grad clip_gradient rho momentum epsilon clip_weights")
rests("rmsprop", <rests_fn>rmsprop_rests[float], <rests_fn>rmsprop_rests[double], "n rho +")
register("rmsprop_v1", <rule_fn>rmsprop_v1[float], <rule_fn>rmsprop_v1[double], sizeof(RMSPropScalars),
         "weight grad n", "lr wd rescale_grad clip_gradient rho momentum epsilon clip_weights")
register("rmsprop_centered", <rule_fn>rmsprop_centered[float], <rule_fn>rmsprop_centered[double],
         sizeof(RMSPropScalars), "weight grad g n delta",
         "lr wd rescale_grad clip_gradient rho momentum epsilon clip_weights")
register("rmsprop_centered_v1", <rule_fn>rmsprop_centered_v1[float], <rule_fn>rmsprop_centered_v1[double],
         sizeof(RMSPropScalars), "weight grad n g delta",
         "lr wd rescale_grad clip_gradient rho momentum epsilon clip_weights")
