# GroupAdaGrad, one row at a time (MXNet composes it of array operations; its row-sparse kernel is
# group_adagrad_update). The squares are added one after the other, as that kernel does.

cdef struct GroupAdaGradScalars:
    double lr, wd, rescale_grad, clip_gradient, epsilon


cdef inline void groupadagrad_row(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const GroupAdaGradScalars* s = <const GroupAdaGradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* history = arrays[2]
        real lr = <real>s.lr, epsilon = <real>s.epsilon
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g, h, scale, total = 0
        Py_ssize_t i
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        total = total + g * g
    h = history[0] + total / <real>n
    history[0] = h
    scale = root(h + epsilon) if v1 else root(h) + epsilon
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        weight[i] = weight[i] - lr * g / scale


cdef void groupadagrad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_row(arrays, n, scalars, False)


cdef void groupadagrad_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_row(arrays, n, scalars, True)


register("groupadagrad", <rule_fn>groupadagrad[float], <rule_fn>groupadagrad[double], sizeof(GroupAdaGradScalars),
         "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
register("groupadagrad_v1", <rule_fn>groupadagrad_v1[float], <rule_fn>groupadagrad_v1[double],
         sizeof(GroupAdaGradScalars), "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
