# LaProp: momentum of gradients that have been normalised first.
#
# scale is lr over its own running mean, which is the momentum's correction and follows a schedule.

cdef struct LaPropScalars:
    double rescale_grad, clip_gradient, beta1, beta2, epsilon, share, scale, decay, rate, correction


cdef void laprop(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const LaPropScalars* s = <const LaPropScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, rest2 = <real>(1 - s.beta2), epsilon = <real>s.epsilon
        real share = <real>s.share, scale = <real>s.scale, decay = <real>s.decay, correct2 = <real>s.correction
        double inverse2 = inverse_of(correct2)
        real g, m, v, w
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(grad[i] * rescale, clip)
        v = beta2 * var[i] + rest2 * g * g
        m = fused(share, g / (root(over(v, correct2, inverse2)) + epsilon), beta1 * mean[i])
        w = fused(-scale, m, weight[i])
        mean[i] = m
        var[i] = v
        weight[i] = fused(-decay, w, w)
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


register("laprop", <rule_fn>laprop[float], <rule_fn>laprop[double], sizeof(LaPropScalars),
         "weight grad mean var rate/tensor correction/tensor",
         "rescale_grad clip_gradient beta1 beta2 epsilon share scale decay rate correction")
