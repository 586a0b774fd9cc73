# Muon's companion, for what is not a matrix: AdamW with decay at the plain rate.
#
# The update of matrices itself is made of matrix products, which are NumPy's (mxopt/optimizer/muon.py).

cdef struct MuonScalars:
    double kept, step, rescale_grad, clip_gradient, beta1, beta2, epsilon, root_correct2


cdef void muon(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const MuonScalars* s = <const MuonScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real kept = <real>s.kept, step = <real>s.step
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta2 = <real>s.beta2, epsilon = <real>s.epsilon, correct2 = <real>s.root_correct2
        real rest1 = <real>(1 - s.beta1), rest2 = <real>(1 - s.beta2)
        double inverse2 = inverse_of(correct2)
        real g, m, v
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = clipped(grad[i] * rescale, clip)
        m = fused(rest1, g - mean[i], mean[i])
        v = beta2 * var[i] + rest2 * g * g
        mean[i] = m
        var[i] = v
        weight[i] = weight[i] * kept - step * m / (over(root(v), correct2, inverse2) + epsilon)
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


register("muon", <rule_fn>muon[float], <rule_fn>muon[double], sizeof(MuonScalars),
         "weight grad mean var", "kept step rescale_grad clip_gradient beta1 beta2 epsilon root_correct2")
