# NovoGrad: momentum of gradients divided by a running norm of the tensor.
#
# before is 1 - lr * wd where decay is decoupled, and wd is 0 then.

cdef struct NovoGradScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, share, before, divisor, var


cdef void novograd_norm(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const NovoGradScalars* s = <const NovoGradScalars*>scalars
        const real* grad = arrays[1]
        double* sums = <double*>arrays[2]
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real grads[PIECE]
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            grads[i] = clipped(grad[p + i] * rescale, clip)
        sums[0] += squares(<const real*>grads, piece)
        p += PIECE


cdef void novograd(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const NovoGradScalars* s = <const NovoGradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, share = <real>s.share, before = <real>s.before, divisor = <real>s.divisor
        double inverse = inverse_of(divisor)
        real w, m
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        w = weight[i] * before
        m = fused(wd, w, over(clipped(grad[i] * rescale, clip), divisor, inverse))
        m = beta1 * mean[i] + share * m
        mean[i] = m
        weight[i] = fused(-lr, m, w)
        watch(&nans, weight[i])
    same_nans(arrays, 3, n, &nans)


cdef str NOVOGRAD_SCALARS = "lr wd rescale_grad clip_gradient beta1 share before divisor var"

register("novograd_norm", <rule_fn>novograd_norm[float], <rule_fn>novograd_norm[double], sizeof(NovoGradScalars),
         "- grad", NOVOGRAD_SCALARS, None, "grad_squares")
register("novograd", <rule_fn>novograd[float], <rule_fn>novograd[double], sizeof(NovoGradScalars),
         "weight grad mean var/tensor", NOVOGRAD_SCALARS)
