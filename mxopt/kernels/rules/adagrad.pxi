# AdaGrad (MXNet composes it of array operations; its row-sparse kernel gives the same bits).

cdef struct AdaGradScalars:
    double lr, wd, rescale_grad, clip_gradient, epsilon


cdef inline void adagrad_span(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const AdaGradScalars* s = <const AdaGradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* history = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, epsilon = <real>s.epsilon
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g, h
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        if not v1:
            g = g + wd * weight[i]
        h = history[i] + g * g
        history[i] = h
        if v1:  # epsilon inside the root, and a decay that the history does not see
            weight[i] = weight[i] - lr * (g / root(h + epsilon) + wd * weight[i])
        else:
            weight[i] = weight[i] - lr * (g / (root(h) + epsilon))
        watch(&nans, weight[i])
    same_nans(arrays, 3, n, &nans)


cdef void adagrad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adagrad_span(arrays, n, scalars, False)


cdef void adagrad_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adagrad_span(arrays, n, scalars, True)


register("adagrad", <rule_fn>adagrad[float], <rule_fn>adagrad[double], sizeof(AdaGradScalars),
         "weight grad history", "lr wd rescale_grad clip_gradient epsilon")
keeps_still("adagrad", "wd")
register("adagrad_v1", <rule_fn>adagrad_v1[float], <rule_fn>adagrad_v1[double], sizeof(AdaGradScalars),
         "weight grad history", "lr wd rescale_grad clip_gradient epsilon")
