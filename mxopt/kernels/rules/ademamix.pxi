# AdEMAMix: AdamW that adds a second, much slower mean of the gradients.

cdef struct AdEMAMixScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, beta3, alpha, epsilon, correct1, correct2


cdef void ademamix(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const AdEMAMixScalars* s = <const AdEMAMixScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* slow = arrays[3]
        real* var = arrays[4]
        real lr = <real>s.lr, wd = <real>s.wd, alpha = <real>s.alpha, epsilon = <real>s.epsilon
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, beta3 = <real>s.beta3
        real rest1 = <real>(1 - s.beta1), rest2 = <real>(1 - s.beta2), rest3 = <real>(1 - s.beta3)
        real correct1 = <real>s.correct1, correct2 = <real>s.correct2
        double inverse1 = inverse_of(correct1), inverse2 = inverse_of(correct2)
        real g, m, f, v
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(grad[i] * rescale, clip)
        m = rest1 * g + beta1 * mean[i]
        f = rest3 * g + beta3 * slow[i]
        v = rest2 * (g * g) + beta2 * var[i]
        mean[i] = m
        slow[i] = f
        var[i] = v
        m = (over(m, correct1, inverse1) + alpha * f) / (root(over(v, correct2, inverse2)) + epsilon)
        weight[i] = weight[i] - lr * (m + wd * weight[i])
        watch(&nans, weight[i])
    same_nans(arrays, 5, n, &nans)


register("ademamix", <rule_fn>ademamix[float], <rule_fn>ademamix[double], sizeof(AdEMAMixScalars),
         "weight grad mean slow var",
         "lr wd rescale_grad clip_gradient beta1 beta2 beta3 alpha epsilon correct1 correct2")
