# AdaDelta (MXNet composes it of array operations). rest is 1 - rho of the double.

cdef struct AdaDeltaScalars:
    double lr, wd, rescale_grad, clip_gradient, rho, rest, epsilon


cdef inline void adadelta_span(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const AdaDeltaScalars* s = <const AdaDeltaScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* acc_g = arrays[2]
        real* acc_delta = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real rho = <real>s.rho, rest = <real>s.rest, epsilon = <real>s.epsilon
        real g, a, d
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        if not v1:
            g = g + wd * weight[i]
        a = acc_g[i] * rho + (rest * g * g if v1 else rest * (g * g))
        d = root(acc_delta[i] + epsilon) / root(a + epsilon) * g
        acc_g[i] = a
        acc_delta[i] = same_nan(acc_delta[i] * rho + (rest * d * d if v1 else rest * (d * d)))
        if v1:  # no learning rate, and a decay that the accumulators do not see
            weight[i] = weight[i] - (d + wd * weight[i])
        else:
            weight[i] = weight[i] - lr * d
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


cdef void adadelta(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adadelta_span(arrays, n, scalars, False)


cdef void adadelta_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adadelta_span(arrays, n, scalars, True)


cdef bint adadelta_rests(real** arrays, Py_ssize_t n, const double* scalars, double lr) noexcept nogil:
    cdef:
        const AdaDeltaScalars* s = <const AdaDeltaScalars*>scalars
        const real* weight = arrays[0]
        const real* acc_g = arrays[2]
        const real* acc_delta = arrays[3]
        int moving = 0
        Py_ssize_t i
    if s.wd != 0 or not 0 < s.rescale_grad < INFINITY or not 0 <= s.rho < 1 or not s.epsilon > 0:
        return False
    for i in range(n):
        moving |= moves(weight[i], <real>0) | (1 - ((acc_g[i] < INFINITY) & (acc_delta[i] < INFINITY)))
    return moving == 0


register("adadelta", <rule_fn>adadelta[float], <rule_fn>adadelta[double], sizeof(AdaDeltaScalars),
         "weight grad acc_g acc_delta", "lr wd rescale_grad clip_gradient rho rest epsilon")
rests("adadelta", <rests_fn>adadelta_rests[float], <rests_fn>adadelta_rests[double],
      "acc_g rho + acc_delta rho +")
register("adadelta_v1", <rule_fn>adadelta_v1[float], <rule_fn>adadelta_v1[double], sizeof(AdaDeltaScalars),
         "weight grad acc_g acc_delta", "lr wd rescale_grad clip_gradient rho rest epsilon")
