# Nadam (MXNet composes it of array operations). Everything that depends on the momentum schedule
# arrives ready, made in double: see Nadam.scalars.

cdef struct NadamScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, rest1, beta2, rest2, epsilon
    double grad_share, grad_correction, mean_share, mean_correction, var_correction


cdef inline void nadam_span(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const NadamScalars* s = <const NadamScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, epsilon = <real>s.epsilon
        real beta1 = <real>s.beta1, rest1 = <real>s.rest1, beta2 = <real>s.beta2, rest2 = <real>s.rest2
        real grad_share = <real>s.grad_share, grad_correction = <real>s.grad_correction
        real mean_share = <real>s.mean_share, mean_correction = <real>s.mean_correction
        real var_correction = <real>s.var_correction
        double by_mean = inverse_of(mean_correction), by_grad = inverse_of(grad_correction)
        real g, m, v, ahead, scale
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = decayed(rescale * grad[i], wd * weight[i], clip, v1)
        m = mean[i] * beta1 + rest1 * g
        v = var[i] * beta2 + (rest2 * g * g if v1 else rest2 * (g * g))
        mean[i] = m
        var[i] = v
        ahead = mean_share * over(m, mean_correction, by_mean) + grad_share * over(g, grad_correction, by_grad)
        scale = root(v / var_correction) + epsilon
        weight[i] = weight[i] - (lr * ahead / scale if v1 else lr * (ahead / scale))
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


cdef void nadam(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    nadam_span(arrays, n, scalars, False)


cdef void nadam_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    nadam_span(arrays, n, scalars, True)


register("nadam", <rule_fn>nadam[float], <rule_fn>nadam[double], sizeof(NadamScalars), "weight grad mean var",
         "lr wd rescale_grad clip_gradient beta1 rest1 beta2 rest2 epsilon "
         "grad_share grad_correction mean_share mean_correction var_correction")
register("nadam_v1", <rule_fn>nadam_v1[float], <rule_fn>nadam_v1[double], sizeof(NadamScalars), "weight grad mean var",
         "lr wd rescale_grad clip_gradient beta1 rest1 beta2 rest2 epsilon "
         "grad_share grad_correction mean_share mean_correction var_correction")
