# Adan: means of the gradient, of its change since the last step, and of the square of where the two lead.
#
# before is 1 - lr * wd where decay comes first, after 1 + lr * wd where it comes last; the other one is 1.

cdef struct AdanScalars:
    double rescale_grad, clip_gradient, beta1, beta2, beta3, epsilon
    double step_size, step_change, root_correct3, before, after, first


cdef inline void adan_span(real** arrays, Py_ssize_t n, const double* scalars, bint first) noexcept nogil:
    cdef:
        const AdanScalars* s = <const AdanScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* change = arrays[3]
        real* var = arrays[4]
        real* previous = arrays[5]
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta2 = <real>s.beta2, beta3 = <real>s.beta3, epsilon = <real>s.epsilon
        real rest1 = <real>(1 - s.beta1), rest2 = <real>(1 - s.beta2), rest3 = <real>(1 - s.beta3)
        real step = <real>s.step_size, step_change = <real>s.step_change
        real correct3 = <real>s.root_correct3, before = <real>s.before, after = <real>s.after
        double inverse3 = inverse_of(correct3), inverse_after = inverse_of(after)
        real g, m, d, v, w, ahead, divisor
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(grad[i] * rescale, clip)
        d = <real>0 if first else g - previous[i]
        previous[i] = g
        m = fused(rest1, g - mean[i], mean[i])
        ahead = beta2 * d + g
        d = fused(rest2, d, beta2 * change[i])
        v = beta3 * var[i] + rest3 * ahead * ahead
        mean[i] = m
        change[i] = d
        var[i] = v
        divisor = over(root(v), correct3, inverse3) + epsilon
        w = weight[i] * before - step * m / divisor - step_change * d / divisor
        weight[i] = over(w, after, inverse_after)
        watch(&nans, weight[i])
    same_nans(arrays, 6, n, &nans)


cdef void adan(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    if (<const AdanScalars*>scalars).first != 0:
        adan_span(arrays, n, scalars, True)
    else:
        adan_span(arrays, n, scalars, False)


register("adan", <rule_fn>adan[float], <rule_fn>adan[double], sizeof(AdanScalars),
         "weight grad mean change var previous",
         "rescale_grad clip_gradient beta1 beta2 beta3 epsilon step_size step_change root_correct3 before after first")
