# Prodigy: Adam whose step grows with an estimate of how far the weights still are from where they are going.
#
# The first rule sums over a tensor what the estimate is made of; the estimate itself is one for all tensors, and
# reaches the second rule through its scalars.

cdef struct ProdigyScalars:
    double wd, decay, rescale_grad, clip_gradient, beta1, beta2, beta3, mean_share, var_share, distance_share
    double step, epsilon


cdef inline double sum_of(const real* x) noexcept nogil:
    # Of PIECE numbers: those LANES apart are added first.
    cdef double sums[LANES]
    cdef Py_ssize_t i, j
    for i in range(LANES):
        sums[i] = <double>x[i]
    for j in range(1, 8):
        for i in range(LANES):
            sums[i] = sums[i] + <double>x[j * LANES + i]
    for i in range(8):
        sums[i] = sums[i] + sums[i + 8]
    for i in range(4):
        sums[i] = sums[i] + sums[i + 4]
    return (sums[0] + sums[2]) + (sums[1] + sums[3])


cdef void prodigy_sums(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const ProdigyScalars* s = <const ProdigyScalars*>scalars
        const real* weight = arrays[0]
        const real* grad = arrays[1]
        const real* distance = arrays[4]
        const real* start = arrays[5]
        double* sums = <double*>arrays[6]
        real wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta3 = <real>s.beta3, share = <real>s.distance_share
        real ways[PIECE]
        real distances[PIECE]
        real g
        Py_ssize_t i, p = 0, piece
    while p < n:
        piece = min(PIECE, n - p)
        for i in range(piece):
            g = fused(wd, weight[p + i], clipped(grad[p + i] * rescale, clip))
            ways[i] = g * (start[p + i] - weight[p + i])
            distances[i] = magnitude(fused(share, g, beta3 * distance[p + i]))
        for i in range(piece, PIECE):
            ways[i] = distances[i] = 0
        sums[0] += sum_of(<const real*>ways)
        sums[1] += sum_of(<const real*>distances)
        p += PIECE


cdef void prodigy(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const ProdigyScalars* s = <const ProdigyScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* mean = arrays[2]
        real* var = arrays[3]
        real* distance = arrays[4]
        real wd = <real>s.wd, decay = <real>s.decay, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real beta1 = <real>s.beta1, beta2 = <real>s.beta2, beta3 = <real>s.beta3
        real mean_share = <real>s.mean_share, var_share = <real>s.var_share
        real distance_share = <real>s.distance_share, step = <real>s.step, epsilon = <real>s.epsilon
        real g, m, v, w
        Py_ssize_t i
        Nans nans = no_nans()
    for i in range(n):
        g = fused(wd, weight[i], clipped(grad[i] * rescale, clip))
        m = fused(mean_share, g, beta1 * mean[i])
        v = beta2 * var[i] + var_share * g * g
        w = fused(-decay, weight[i], weight[i])
        mean[i] = m
        var[i] = v
        distance[i] = same_nan(fused(distance_share, g, beta3 * distance[i]))
        weight[i] = w - step * m / (root(v) + epsilon)
        watch(&nans, weight[i])
    same_nans(arrays, 5, n, &nans)


cdef str PRODIGY_SCALARS = ("wd decay rescale_grad clip_gradient beta1 beta2 beta3 mean_share var_share distance_share "
                            "step epsilon")

register("prodigy_sums", <rule_fn>prodigy_sums[float], <rule_fn>prodigy_sums[double], sizeof(ProdigyScalars),
         "weight grad - - distance start", PRODIGY_SCALARS, "", "ways distances")
register("prodigy", <rule_fn>prodigy[float], <rule_fn>prodigy[double], sizeof(ProdigyScalars),
         "weight grad mean var distance -", PRODIGY_SCALARS, "weight mean var distance")
