# AdamW (MXNet 2.x: multi_adamw_update). lr arrives bias-corrected and scales the decay too.

cdef struct AdamWScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon


cdef void adamw(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const AdamWScalars* s = <const AdamWScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real g, g2, m, v
        Py_ssize_t i
        Nans nans = no_nans()
    if overflowed(rescale):
        return
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        g2 = g * g
        # The weighted means without a 1 - beta, which would be off by the rounding of beta.
        m = beta1 * (mean[i] - g) + g
        v = beta2 * (var[i] - g2) + g2
        mean[i] = m
        var[i] = v
        weight[i] = weight[i] - lr * (m / (root(v) + epsilon) + wd * weight[i])
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


register("adamw", <rule_fn>adamw[float], <rule_fn>adamw[double], sizeof(AdamWScalars),
         "weight grad mean var", "lr wd rescale_grad clip_gradient beta1 beta2 epsilon")
