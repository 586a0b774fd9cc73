# Stochastic gradient Langevin dynamics, in the order of MXNet 2.x's array arithmetic.

cdef struct SgldScalars:
    double lr, wd, rescale_grad, clip_gradient, deviation


cdef void sgld(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgldScalars* s = <const SgldScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        const real* noise = arrays[2]
        real half = <real>(s.lr / 2), wd = <real>s.wd, deviation = <real>s.deviation
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g
        Py_ssize_t i
    for i in range(n):
        g = clipped(rescale * grad[i], clip) + wd * weight[i]
        weight[i] = same_nan(weight[i] - half * g + deviation * noise[i])


register("sgld", <rule_fn>sgld[float], <rule_fn>sgld[double], sizeof(SgldScalars),
         "weight grad noise/drawn", "lr wd rescale_grad clip_gradient deviation")
