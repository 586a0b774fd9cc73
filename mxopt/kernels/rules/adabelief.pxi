# AdaBelief (MXNet 2.x: multi_adabelief_update). lr arrives bias-corrected; epsilon joins var at
# every step, and the root too.

cdef struct AdaBeliefScalars:
    double lr, wd, rescale_grad, clip_gradient, beta1, beta2, epsilon


cdef void adabelief(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const AdaBeliefScalars* s = <const AdaBeliefScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, epsilon = <real>s.epsilon
        real g, m, v, surprise
        Py_ssize_t i
        Nans nans = no_nans()
    if overflowed(rescale):
        return
    for i in range(n):
        g = decayed(rescale * grad[i], wd * weight[i], clip, True)
        m = beta1 * (mean[i] - g) + g
        surprise = (m - g) * (m - g)
        v = beta2 * (var[i] - surprise) + surprise + epsilon
        mean[i] = m
        var[i] = v
        weight[i] = weight[i] - lr * (m / (root(v) + epsilon))
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


register("adabelief", <rule_fn>adabelief[float], <rule_fn>adabelief[double], sizeof(AdaBeliefScalars),
         "weight grad mean var", "lr wd rescale_grad clip_gradient beta1 beta2 epsilon")
