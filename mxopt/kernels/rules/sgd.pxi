# Stochastic gradient descent, with and without momentum (MXNet 2.x: sgd_update, sgd_mom_update).

cdef struct SgdScalars:
    double lr, wd, rescale_grad, clip_gradient

cdef struct SgdMomScalars:
    double lr, wd, rescale_grad, clip_gradient, momentum


cdef void sgd(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgdScalars* s = <const SgdScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g
        Py_ssize_t i
    for i in range(n):
        g = clipped(rescale * grad[i], clip) + wd * weight[i]
        weight[i] = same_nan(weight[i] - lr * g)


cdef void sgd_mom(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgdMomScalars* s = <const SgdMomScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, momentum = <real>s.momentum
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g, m
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(rescale * grad[i], clip) + wd * weight[i]
        m = mom[i] * momentum - lr * g
        mom[i] = m
        weight[i] = weight[i] + m
        watch(&nans, weight[i])
    same_nans(arrays, 3, n, &nans)


# MXNet 1.9 (multi_sgd_update, multi_sgd_mom_update) multiplies the rates out, and rescales with the rate when
# it does not clip.
cdef void sgd_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgdScalars* s = <const SgdScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real lr = <real>s.lr, clip = <real>s.clip_gradient, decay = lr * <real>s.wd
        bint clips = clip < INFINITY
        real rescale = <real>s.rescale_grad if clips else <real>1
        real rate = lr if clips else lr * <real>s.rescale_grad
        Py_ssize_t i
    for i in range(n):
        # The zero is the momentum term; adding it keeps a zero decay positive.
        weight[i] = same_nan(weight[i] + (<real>0 - decay * weight[i] - rate * clipped(rescale * grad[i], clip)))


cdef void sgd_mom_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgdMomScalars* s = <const SgdMomScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real lr = <real>s.lr, clip = <real>s.clip_gradient, decay = lr * <real>s.wd
        real momentum = <real>s.momentum
        bint clips = clip < INFINITY
        real rescale = <real>s.rescale_grad if clips else <real>1
        real rate = lr if clips else lr * <real>s.rescale_grad
        real m
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        m = momentum * mom[i] - decay * weight[i] - rate * clipped(rescale * grad[i], clip)
        mom[i] = m
        weight[i] = weight[i] + m
        watch(&nans, weight[i])
    same_nans(arrays, 3, n, &nans)


# MXNet 1.9's sgd_update, the operator for one tensor; it serves NAG and LBSGD.
cdef void sgd_single_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgdScalars* s = <const SgdScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real lr = <real>s.lr, clip = <real>s.clip_gradient, kept = <real>1 - lr * <real>s.wd
        bint clips = clip < INFINITY
        real rescale = <real>s.rescale_grad if clips else <real>1
        real rate = lr if clips else lr * <real>s.rescale_grad
        Py_ssize_t i
    for i in range(n):
        weight[i] = same_nan(kept * weight[i] - rate * clipped(rescale * grad[i], clip))


cdef bint momentum_rests(real** arrays, Py_ssize_t n, const double* scalars, double lr) noexcept nogil:
    cdef:
        const SgdMomScalars* s = <const SgdMomScalars*>scalars
        const real* weight = arrays[0]
        const real* mom = arrays[2]
        int moving = 0
        Py_ssize_t i
    if s.wd != 0 or not 0 < s.rescale_grad < INFINITY or not 0 <= s.momentum < 1:
        return False
    for i in range(n):
        moving |= moves(weight[i], magnitude(mom[i]))
    return moving == 0


register("sgd", <rule_fn>sgd[float], <rule_fn>sgd[double], sizeof(SgdScalars),
         "weight grad", "lr wd rescale_grad clip_gradient")
keeps_still("sgd", "wd")
register("sgd_mom", <rule_fn>sgd_mom[float], <rule_fn>sgd_mom[double], sizeof(SgdMomScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient momentum")
rests("sgd_mom", <rests_fn>momentum_rests[float], <rests_fn>momentum_rests[double], "mom momentum -")
register("sgd_v1", <rule_fn>sgd_v1[float], <rule_fn>sgd_v1[double], sizeof(SgdScalars),
         "weight grad", "lr wd rescale_grad clip_gradient")
register("sgd_mom_v1", <rule_fn>sgd_mom_v1[float], <rule_fn>sgd_mom_v1[double], sizeof(SgdMomScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient momentum")
register("sgd_single_v1", <rule_fn>sgd_single_v1[float], <rule_fn>sgd_single_v1[double], sizeof(SgdScalars),
         "weight grad", "lr wd rescale_grad clip_gradient")
