# RAdam: Adam whose step is rectified for the variance of its own denominator, and left out while that is unbounded.
#
# One of wd and decay is 0: wd enters through the gradient, decay is lr times the decoupled weight decay.

cdef struct RAdamScalars:
    double lr, wd, decay, rescale_grad, clip_gradient, beta1, beta2, epsilon, correct1, root_correct2, rectified


cdef inline void radam_span(real** arrays, Py_ssize_t n, const double* scalars, bint rectified) noexcept nogil:
    cdef:
        const RAdamScalars* s = <const RAdamScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd, kept = <real>(1 - s.decay)
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real rest1 = <real>(1 - s.beta1), rest2 = <real>(1 - s.beta2)
        real correct1 = <real>s.correct1, root_correct2 = <real>s.root_correct2, factor = <real>s.rectified
        double inverse1 = inverse_of(correct1)
        real g, m, v
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
        m = fused(rest1, g - mean[i], mean[i])
        v = beta2 * var[i] + rest2 * g * g
        mean[i] = m
        var[i] = same_nan(v)
        m = over(m, correct1, inverse1) * lr
        if rectified:
            m = m * (root_correct2 / (root(v) + epsilon)) * factor
        weight[i] = weight[i] * kept - m
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


cdef void radam(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    if (<const RAdamScalars*>scalars).rectified != 0:
        radam_span(arrays, n, scalars, True)
    else:
        radam_span(arrays, n, scalars, False)


register("radam", <rule_fn>radam[float], <rule_fn>radam[double], sizeof(RAdamScalars),
         "weight grad mean var", "lr wd decay rescale_grad clip_gradient beta1 beta2 epsilon correct1 root_correct2 rectified")
