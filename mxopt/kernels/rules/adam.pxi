# Adam (MXNet 2.x: adam_update). lr arrives bias-corrected; epsilon joins the uncorrected root.

cdef struct AdamScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon


cdef inline void adam_span(real** arrays, Py_ssize_t n, const double* scalars,
                             bint clips_decay) noexcept nogil:
    cdef:
        const AdamScalars* s = <const AdamScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        # From the rounded betas, in the working type, as MXNet's kernel does.
        real rest1 = <real>1 - beta1, rest2 = <real>1 - beta2
        real g, m, v
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = decayed(grad[i] * rescale, weight[i] * wd, clip, clips_decay)
        m = beta1 * mean[i] + rest1 * g
        v = beta2 * var[i] + rest2 * g * g
        mean[i] = m
        var[i] = v
        weight[i] = weight[i] - lr * m / (root(v) + epsilon)
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


cdef void adam(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adam_span(arrays, n, scalars, False)


cdef void adam_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    adam_span(arrays, n, scalars, True)


cdef bint adam_rests(real** arrays, Py_ssize_t n, const double* scalars, double lr) noexcept nogil:
    # m / root(v) falls from step to step if beta1 is below the root of beta2.
    cdef:
        const AdamScalars* s = <const AdamScalars*>scalars
        const real* weight = arrays[0]
        const real* mean = arrays[2]
        const real* var = arrays[3]
        real most = <real>(lr * 1.001), epsilon = <real>s.epsilon
        int moving = 0
        Py_ssize_t i
    if s.wd != 0 or not 0 < s.rescale_grad < INFINITY or not 0 <= s.beta1 < 1 or not s.epsilon > 1e-12:
        return False
    if not s.beta1 * s.beta1 * 1.00001 < s.beta2 or not s.beta2 < 1:
        return False
    for i in range(n):
        moving |= moves(weight[i], most * magnitude(mean[i]) / (root(var[i]) + epsilon))
    return moving == 0


register("adam", <rule_fn>adam[float], <rule_fn>adam[double], sizeof(AdamScalars),
         "weight grad mean var", "lr wd rescale_grad clip_gradient beta1 beta2 epsilon")
register("adam_v1", <rule_fn>adam_v1[float], <rule_fn>adam_v1[double], sizeof(AdamScalars),
         "weight grad mean var", "lr wd rescale_grad clip_gradient beta1 beta2 epsilon")
rests("adam", <rests_fn>adam_rests[float], <rests_fn>adam_rests[double], "mean beta1 + var beta2 +")
rests("adam_v1", <rests_fn>adam_rests[float], <rests_fn>adam_rests[double], "mean beta1 + var beta2 +")
