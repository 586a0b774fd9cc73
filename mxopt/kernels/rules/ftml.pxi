# FTML (MXNet 2.x: ftml_update). The powers of the betas are taken in the working type, as MXNet does.

cdef struct FtmlScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon, correct1, correct2


cdef inline void ftml_span(real** arrays, Py_ssize_t n, const double* scalars,
                             bint clips_decay) noexcept nogil:
    cdef:
        const FtmlScalars* s = <const FtmlScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* d = arrays[2]
        real* var = arrays[3]
        real* z = arrays[4]
        real wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real rest1 = <real>1 - beta1, rest2 = <real>1 - beta2
        real rate = <real>s.correct1 / <real>s.lr
        real correct2 = <real>s.correct2
        double inverse2 = inverse_of(correct2)
        real g, v, stepped, sum_
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = decayed(rescale * grad[i], wd * weight[i], clip, clips_decay)
        v = beta2 * var[i] + rest2 * (g * g)
        stepped = rate * (root(over(v, correct2, inverse2)) + epsilon)
        sum_ = beta1 * z[i] + rest1 * g - (stepped - beta1 * d[i]) * weight[i]
        var[i] = v
        d[i] = stepped
        z[i] = sum_
        weight[i] = -sum_ / stepped
        watch(&nans, weight[i])
    same_nans(arrays, 5, n, &nans)


cdef void ftml(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    ftml_span(arrays, n, scalars, False)


cdef void ftml_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    ftml_span(arrays, n, scalars, True)


register("ftml", <rule_fn>ftml[float], <rule_fn>ftml[double], sizeof(FtmlScalars),
         "weight grad d var z", "lr wd rescale_grad clip_gradient beta1 beta2 epsilon correct1 correct2")
register("ftml_v1", <rule_fn>ftml_v1[float], <rule_fn>ftml_v1[double], sizeof(FtmlScalars),
         "weight grad d var z", "lr wd rescale_grad clip_gradient beta1 beta2 epsilon correct1 correct2")
