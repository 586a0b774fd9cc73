# Nesterov's accelerated gradient with momentum (MXNet 2.x: nag_mom_update); without it, the sgd rule serves.

cdef inline void nag_span(real** arrays, Py_ssize_t n, const double* scalars, bint on_master) noexcept nogil:
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
        if on_master:
            weight[i] = weight[i] + (momentum * m - lr * g)
        else:
            weight[i] = weight[i] + momentum * m - lr * g
        watch(&nans, weight[i])
    same_nans(arrays, 3, n, &nans)


cdef void nag(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    nag_span(arrays, n, scalars, False)


# mp_nag_mom_update sums the two parts of the step before the weight joins.
cdef void nag_master(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    nag_span(arrays, n, scalars, True)


# MXNet 1.9 decays momentum with the weight that has already moved.
cdef void nag_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SgdMomScalars* s = <const SgdMomScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, momentum = <real>s.momentum, ahead = momentum + <real>1
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g, m, w
        Py_ssize_t i
    for i in range(n):
        g = clipped(rescale * grad[i], clip)
        m = momentum * mom[i]
        w = weight[i]
        w = w - m + ahead * (m - lr * (g + wd * w))
        weight[i] = same_nan(w)
        mom[i] = same_nan(m - lr * (g + wd * w))


register("nag", <rule_fn>nag[float], <rule_fn>nag[double], sizeof(SgdMomScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient momentum", None, "", <rule_fn>nag_master[float])
rests("nag", <rests_fn>momentum_rests[float], <rests_fn>momentum_rests[double], "mom momentum -")
register("nag_v1", <rule_fn>nag_v1[float], <rule_fn>nag_v1[double], sizeof(SgdMomScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient momentum")
