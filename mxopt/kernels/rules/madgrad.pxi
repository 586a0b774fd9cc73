# MADGRAD: dual averaging from the first weights, divided by the cube root of summed squares.
#
# step is (lr + epsilon) * sqrt(t); share is how far the weight goes to the point of dual averaging (1 - momentum).

cdef struct MadgradScalars:
    double step_size, wd, decay, rescale_grad, clip_gradient, epsilon, share

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* A third of the exponent's bits, and Halley's steps, each of which cubes the error (3% to begin with): bits that
       depend on no library and no instruction set. */
    static inline float mxopt_cube_root_float(float x) {
        uint32_t bits;
        float y;
        double z, w = x, log2;
        memcpy(&bits, &x, 4);
        /* PyTorch's exponent is the float nearest to a third, 9.9e-9 more: a few units in the last place. */
        log2 = (double)(int32_t)bits / (1 << 23) - 127;
        bits = (uint32_t)(((uint64_t)bits * 0x55555556u) >> 32) + 0x2a5119f2u;
        memcpy(&y, &bits, 4);
        z = y;
        z = z * ((z * z * z + w + w) / (z * z * z + z * z * z + w));
        z = z * ((z * z * z + w + w) / (z * z * z + z * z * z + w));
        z = z * (1 + 9.934107e-9 * 0.6931471805599453 * log2);
        return x > 0 && x < INFINITY ? (float)z : x;
    }
    static inline double mxopt_cube_root_double(double x) {
        uint64_t bits;
        double y;
        memcpy(&bits, &x, 8);
        bits = (((bits >> 32) * 0x55555556u >> 32) + 0x2a9f7893u) << 32;
        memcpy(&y, &bits, 8);
        y = y * ((y * y * y + x + x) / (y * y * y + y * y * y + x));
        y = y * ((y * y * y + x + x) / (y * y * y + y * y * y + x));
        y = y * ((y * y * y + x + x) / (y * y * y + y * y * y + x));
        return x > 0 && x < INFINITY ? y : x;
    }
    """
    float mxopt_cube_root_float(float x) noexcept nogil
    double mxopt_cube_root_double(double x) noexcept nogil


cdef inline real cube_root(real x) noexcept nogil:
    if real is float:
        return mxopt_cube_root_float(x)
    else:
        return mxopt_cube_root_double(x)


cdef void madgrad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const MadgradScalars* s = <const MadgradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* squares_ = arrays[2]
        real* total = arrays[3]
        const real* start = arrays[4]
        real step = <real>s.step_size, wd = <real>s.wd, kept = <real>(1 - s.decay)
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, epsilon = <real>s.epsilon
        real share = <real>s.share, rest = <real>(1 - s.share), g, q, t
        Py_ssize_t i
    for i in range(n):
        g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
        q = squares_[i] + step * g * g
        t = fused(step, g, total[i])
        squares_[i] = q
        total[i] = t
        weight[i] = weight[i] * kept * rest + share * (start[i] - t / (cube_root(q) + epsilon))


cdef void madgrad_plain(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    # Without momentum the first weights are known from what they have become.
    cdef:
        const MadgradScalars* s = <const MadgradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* squares_ = arrays[2]
        real* total = arrays[3]
        real step = <real>s.step_size, wd = <real>s.wd, kept = <real>(1 - s.decay)
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, epsilon = <real>s.epsilon
        real g, q, t, w
        Py_ssize_t i
    for i in range(n):
        w = weight[i] * kept
        g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
        w = w + total[i] / (cube_root(squares_[i]) + epsilon)
        q = squares_[i] + step * g * g
        t = fused(step, g, total[i])
        squares_[i] = q
        total[i] = t
        weight[i] = w - t / (cube_root(q) + epsilon)


register("madgrad", <rule_fn>madgrad[float], <rule_fn>madgrad[double], sizeof(MadgradScalars),
         "weight grad squares total start", "step_size wd decay rescale_grad clip_gradient epsilon share",
         writes="weight squares total")
register("madgrad_plain", <rule_fn>madgrad_plain[float], <rule_fn>madgrad_plain[double], sizeof(MadgradScalars),
         "weight grad squares total", "step_size wd decay rescale_grad clip_gradient epsilon share")
