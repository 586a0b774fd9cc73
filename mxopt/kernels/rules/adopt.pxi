# ADOPT: Adam that divides by the second moment as it was before this gradient, and only then takes the mean.
#
# bound limits the quotient. A tensor's first gradient only starts the second moment.

cdef struct AdoptScalars:
    double lr, wd, decay, rescale_grad, clip_gradient, beta1, beta2, epsilon, bound, first


cdef void adopt(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const AdoptScalars* s = <const AdoptScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd, decay = <real>s.decay
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta2 = <real>s.beta2, epsilon = <real>s.epsilon, bound = <real>s.bound
        real rest1 = <real>(1 - s.beta1), rest2 = <real>(1 - s.beta2)
        real g, m
        Py_ssize_t i
    if s.first != 0:
        for i in range(n):
            g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
            var[i] = same_nan(var[i] + g * g)
        return
    for i in range(n):
        g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
        m = clipped(g / larger(root(var[i]), epsilon), bound)
        m = fused(rest1, m - mean[i], mean[i])
        mean[i] = same_nan(m)
        var[i] = same_nan(beta2 * var[i] + rest2 * g * g)
        weight[i] = same_nan(fused(-lr, m, fused(-decay, weight[i], weight[i])))


register("adopt", <rule_fn>adopt[float], <rule_fn>adopt[double], sizeof(AdoptScalars),
         "weight grad mean var", "lr wd decay rescale_grad clip_gradient beta1 beta2 epsilon bound first")
