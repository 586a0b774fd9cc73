# Signum (MXNet 2.x: signum_update) and, without momentum, sign SGD (signsgd_update).

cdef struct SignumScalars:
    double lr, wd, rescale_grad, clip_gradient, momentum, wd_lh

cdef struct SignSgdScalars:
    double lr, wd


cdef inline real sign(real x) noexcept nogil:
    # Selects rather than (x > 0) - (x < 0): SSE2 has no vectors from comparisons of doubles to integers.
    return <real>1 if x > 0 else (<real>-1 if x < 0 else <real>0)


cdef void signsgd(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SignSgdScalars* s = <const SignSgdScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real lr = <real>s.lr, kept = <real>1 - lr * <real>s.wd
        Py_ssize_t i
    for i in range(n):
        weight[i] = same_nan(kept * weight[i] - lr * sign(grad[i]))


cdef void signum(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SignumScalars* s = <const SignumScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, momentum = <real>s.momentum, rest = <real>1 - momentum
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real kept = <real>1 - lr * <real>s.wd_lh, m
        Py_ssize_t i
    for i in range(n):
        m = mom[i] * momentum - rest * (clipped(rescale * grad[i], clip) + wd * weight[i])
        mom[i] = same_nan(m)
        weight[i] = same_nan(kept * weight[i] + lr * sign(m))


# MXNet 1.9 multiplies the rates out, and rescales with the rate when it does not clip.
cdef void signum_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const SignumScalars* s = <const SignumScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mom = arrays[2]
        real lr = <real>s.lr, momentum = <real>s.momentum, rest = <real>1 - momentum
        real clip = <real>s.clip_gradient, decay = rest * <real>s.wd
        bint clips = clip < INFINITY
        real rescale = <real>s.rescale_grad if clips else <real>1
        real rate = rest if clips else rest * <real>s.rescale_grad
        real kept = <real>1 - lr * <real>s.wd_lh, m
        Py_ssize_t i
    for i in range(n):
        m = momentum * mom[i] - decay * weight[i] - rate * clipped(rescale * grad[i], clip)
        mom[i] = same_nan(m)
        weight[i] = same_nan(kept * weight[i] + lr * sign(m))


register("signsgd", <rule_fn>signsgd[float], <rule_fn>signsgd[double], sizeof(SignSgdScalars),
         "weight grad", "lr wd")
register("signum", <rule_fn>signum[float], <rule_fn>signum[double], sizeof(SignumScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient momentum wd_lh")
register("signum_v1", <rule_fn>signum_v1[float], <rule_fn>signum_v1[double], sizeof(SignumScalars),
         "weight grad mom", "lr wd rescale_grad clip_gradient momentum wd_lh")
