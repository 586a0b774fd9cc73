# Ftrl-proximal (MXNet: ftrl_update). The new weight depends on the states alone.

cdef struct FtrlScalars:
    double lr, wd, rescale_grad, clip_gradient, lamda1, beta


cdef inline void ftrl_span(real** arrays, Py_ssize_t count, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const FtrlScalars* s = <const FtrlScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* z = arrays[2]
        real* n = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd, lamda1 = <real>s.lamda1, beta = <real>s.beta
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        double inverse = inverse_of(lr)
        real g, total, linear, scale, beyond
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(count):
        g = clipped(rescale * grad[i], clip)
        total = n[i] + g * g
        linear = z[i] + (g - over((root(total) - root(n[i])) * weight[i], lr, inverse))
        n[i] = total
        z[i] = linear
        scale = over(beta + root(total), lr, inverse) + wd
        beyond = magnitude(linear) - lamda1
        if v1:
            # The same but for the sign of the zeros.
            g = lamda1 if linear > 0 else (-lamda1 if linear < 0 else <real>0)
            weight[i] = (g - linear) / scale * (<real>0 if beyond <= 0 else <real>1)
        else:
            beyond = <real>0 if beyond <= 0 else beyond
            weight[i] = (beyond if linear < 0 else -beyond) / scale
        watch(&nans, weight[i])
    same_nans(arrays, 4, count, &nans)


cdef void ftrl(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    ftrl_span(arrays, n, scalars, False)


cdef void ftrl_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    ftrl_span(arrays, n, scalars, True)


register("ftrl", <rule_fn>ftrl[float], <rule_fn>ftrl[double], sizeof(FtrlScalars),
         "weight grad z n", "lr wd rescale_grad clip_gradient lamda1 beta")
register("ftrl_v1", <rule_fn>ftrl_v1[float], <rule_fn>ftrl_v1[double], sizeof(FtrlScalars),
         "weight grad z n", "lr wd rescale_grad clip_gradient lamda1 beta")
settles("ftrl")
settles("ftrl_v1")
