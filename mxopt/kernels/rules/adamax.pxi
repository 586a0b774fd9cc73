# Adamax (MXNet composes it of array operations). lr arrives bias-corrected, rest1 is 1 - beta1 of the double.

cdef struct AdamaxScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, rest1, beta2, epsilon


cdef inline void adamax_span(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const AdamaxScalars* s = <const AdamaxScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* norm = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, rest1 = <real>s.rest1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real g, m, u
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = decayed(rescale * grad[i], wd * weight[i], clip, v1)
        m = mean[i] * beta1 + rest1 * g
        u = larger(beta2 * norm[i], magnitude(g))
        mean[i] = m
        norm[i] = u
        if v1:
            # Without epsilon 0/0 is left: nothing happens there, where 1.9 makes NaN for good.
            weight[i] = weight[i] - lr * m / (<real>1 if u == 0 else u)
        else:
            weight[i] = weight[i] - lr * (m / (u + epsilon))
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


cdef void adamax(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adamax_span(arrays, n, scalars, False)


cdef void adamax_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adamax_span(arrays, n, scalars, True)


register("adamax", <rule_fn>adamax[float], <rule_fn>adamax[double], sizeof(AdamaxScalars),
         "weight grad mean norm", "lr wd rescale_grad clip_gradient beta1 rest1 beta2 epsilon")
register("adamax_v1", <rule_fn>adamax_v1[float], <rule_fn>adamax_v1[double], sizeof(AdamaxScalars),
         "weight grad mean norm", "lr wd rescale_grad clip_gradient beta1 rest1 beta2 epsilon")
