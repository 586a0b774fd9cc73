# Schedule-Free SGD and AdamW: the weight lies between the average of all iterates and the latest one.
#
# toward is the latest iterate's share of the average; ahead is what the weight moves along the direction, and
# lr what the iterate moves.

cdef struct ScheduleFreeScalars:
    double lr, wd, rescale_grad, clip_gradient, toward, ahead, beta2, epsilon, correct2
    double weight_sum, lr_max, evaluating


cdef void schedulefreesgd(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const ScheduleFreeScalars* s = <const ScheduleFreeScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* z = arrays[2]
        real lr = <real>s.lr, wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real toward = <real>s.toward, ahead = <real>s.ahead
        real g
        Py_ssize_t i
    for i in range(n):
        g = clipped(grad[i] * rescale, clip) + wd * weight[i]
        weight[i] = same_nan(fused(ahead, g, interpolated(weight[i], z[i], toward)))
        z[i] = same_nan(fused(-lr, g, z[i]))


cdef void schedulefreeadamw(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const ScheduleFreeScalars* s = <const ScheduleFreeScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* z = arrays[2]
        real* var = arrays[3]
        real lr = <real>s.lr, wd = <real>s.wd, rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real toward = <real>s.toward, ahead = <real>s.ahead
        real beta2 = <real>s.beta2, rest2 = <real>(1 - s.beta2)
        real epsilon = <real>s.epsilon, correct2 = <real>s.correct2
        double inverse2 = inverse_of(correct2)
        real g, v
        Py_ssize_t i
    for i in range(n):
        g = clipped(grad[i] * rescale, clip)
        v = beta2 * var[i] + rest2 * g * g
        var[i] = same_nan(v)
        g = g / (root(over(v, correct2, inverse2)) + epsilon) + wd * weight[i]
        weight[i] = same_nan(fused(ahead, g, interpolated(weight[i], z[i], toward)))
        z[i] = same_nan(fused(-lr, g, z[i]))


cdef str SCHEDULE_FREE_SCALARS = ("lr wd rescale_grad clip_gradient toward ahead beta2 epsilon correct2 weight_sum "
                                  "lr_max evaluating")

register("schedulefreesgd", <rule_fn>schedulefreesgd[float], <rule_fn>schedulefreesgd[double],
         sizeof(ScheduleFreeScalars), "weight grad z weight_sum/tensor lr_max/tensor evaluating/tensor",
         SCHEDULE_FREE_SCALARS)
register("schedulefreeadamw", <rule_fn>schedulefreeadamw[float], <rule_fn>schedulefreeadamw[double],
         sizeof(ScheduleFreeScalars), "weight grad z var weight_sum/tensor lr_max/tensor evaluating/tensor",
         SCHEDULE_FREE_SCALARS)
