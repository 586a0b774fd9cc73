# Delay-compensated asynchronous SGD, in the order of MXNet's array arithmetic.

cdef struct DcasgdScalars:
    double lr, wd, rescale_grad, clip_gradient, lamda, momentum


cdef inline real compensated(real g, real decay, real ahead, real lamda, bint v1) noexcept nogil:
    # MXNet 1.9 leaves weight decay out of the square.
    if v1:
        return g + decay + lamda * g * g * ahead
    g = g + decay
    return g * g * ahead * lamda + g


cdef inline void dcasgd_span(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const DcasgdScalars* s = <const DcasgdScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* previous = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, lamda = <real>s.lamda
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, w
        Py_ssize_t i
    for i in range(n):
        w = weight[i]
        weight[i] = same_nan(w - lr * compensated(clipped(rescale * grad[i], clip), wd * w, w - previous[i], lamda, v1))
        previous[i] = same_nan(w)


cdef inline void dcasgd_mom_span(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const DcasgdScalars* s = <const DcasgdScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real* previous = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd, lamda = <real>s.lamda, momentum = <real>s.momentum
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, w, g, m
        Py_ssize_t i
    for i in range(n):
        w = weight[i]
        g = compensated(clipped(rescale * grad[i], clip), wd * w, w - previous[i], lamda, v1)
        m = momentum * mom[i] - lr * g
        mom[i] = same_nan(m)
        weight[i] = same_nan(w + m)
        previous[i] = same_nan(w)


cdef void dcasgd(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    dcasgd_span(arrays, n, scalars, False)


cdef void dcasgd_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    dcasgd_span(arrays, n, scalars, True)


cdef void dcasgd_mom(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    dcasgd_mom_span(arrays, n, scalars, False)


cdef void dcasgd_mom_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    dcasgd_mom_span(arrays, n, scalars, True)


register("dcasgd", <rule_fn>dcasgd[float], <rule_fn>dcasgd[double], sizeof(DcasgdScalars),
         "weight grad previous", "lr wd rescale_grad clip_gradient lamda momentum")
register("dcasgd_mom", <rule_fn>dcasgd_mom[float], <rule_fn>dcasgd_mom[double], sizeof(DcasgdScalars),
         "weight grad mom previous", "lr wd rescale_grad clip_gradient lamda momentum")
register("dcasgd_v1", <rule_fn>dcasgd_v1[float], <rule_fn>dcasgd_v1[double], sizeof(DcasgdScalars),
         "weight grad previous", "lr wd rescale_grad clip_gradient lamda momentum")
register("dcasgd_mom_v1", <rule_fn>dcasgd_mom_v1[float], <rule_fn>dcasgd_mom_v1[double],
         sizeof(DcasgdScalars), "weight grad mom previous", "lr wd rescale_grad clip_gradient lamda momentum")
