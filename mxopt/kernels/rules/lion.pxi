# Lion: steps of one size, along the sign of a momentum that looks ahead.
#
# The means are lion-pytorch's, to the bit.

cdef struct LionScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2


cdef void lion(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const LionScalars* s = <const LionScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real lr = <real>s.lr, kept = <real>(1 - s.lr * s.wd)
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2
        real rest1 = <real>(1 - s.beta1), rest2 = <real>(1 - s.beta2), g
        Py_ssize_t i
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        weight[i] = same_nan(weight[i] * kept - lr * sign(fused(g, rest1, mom[i] * beta1)))
        mom[i] = same_nan(fused(g, rest2, mom[i] * beta2))


register("lion", <rule_fn>lion[float], <rule_fn>lion[double], sizeof(LionScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient beta1 beta2")
