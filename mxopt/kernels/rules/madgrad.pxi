# MADGRAD: dual averaging from the first weights, divided by the cube root of summed squares.
#
# step is (lr + epsilon) * sqrt(t); share is how far the weight goes to the point of dual averaging (1 - momentum).

cdef struct MadgradScalars:
    double step_size, wd, decay, rescale_grad, clip_gradient, epsilon, share

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Bits that depend on no library and no instruction set; for float no division, which would take twice as long. It is
       x * y * y, where y is the inverse cube root: to 3% by a third of the exponent's bits, to 5e-5 by a series in
       e = 1 - x * y**3, and the last series, in double, is that of the result. */
    static inline float mxopt_cube_root_float(float x) {
        int32_t bits;
        float y, e, log2;
        double part, rest;
        memcpy(&bits, &x, 4);
        log2 = (float)bits / (1 << 23) - 127;
        bits = 0x54a1f400 - (int32_t)((float)bits * (1 / 3.f));
        memcpy(&y, &bits, 4);
        e = 1 - x * y * y * y;
        y = y + y * e * (1 / 3.f + e * (2 / 9.f + e * (14 / 81.f)));
        part = (double)x * y * y;
        /* PyTorch's exponent is the float nearest to a third, 9.934e-9 more: a few units in the last place. */
        rest = 1 - part * y + 1.5f * 9.934107e-9f * 0.6931471805599453f * log2;
        part = part + part * rest * (2 / 3. + rest * (5 / 9. + rest * (40 / 81.)));
        return x > 0 && x < INFINITY ? (float)part : x;
    }
    /* Halley's steps, each of which cubes the error. */
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
        Nans nans = no_nans()
    for i in range(n):
        g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
        q = squares_[i] + step * g * g
        t = fused(step, g, total[i])
        squares_[i] = q
        total[i] = t
        weight[i] = weight[i] * kept * rest + share * (start[i] - t / (cube_root(q) + epsilon))
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


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
        Nans nans = no_nans()
    for i in range(n):
        w = weight[i] * kept
        g = fused(weight[i], wd, clipped(grad[i] * rescale, clip))
        w = w + total[i] / (cube_root(squares_[i]) + epsilon)
        q = squares_[i] + step * g * g
        t = fused(step, g, total[i])
        squares_[i] = q
        total[i] = t
        weight[i] = w - t / (cube_root(q) + epsilon)
        watch(&nans, weight[i])
    same_nans(arrays, 4, n, &nans)


register("madgrad", <rule_fn>madgrad[float], <rule_fn>madgrad[double], sizeof(MadgradScalars),
         "weight grad squares total start", "step_size wd decay rescale_grad clip_gradient epsilon share",
         writes="weight squares total")
register("madgrad_plain", <rule_fn>madgrad_plain[float], <rule_fn>madgrad_plain[double], sizeof(MadgradScalars),
         "weight grad squares total", "step_size wd decay rescale_grad clip_gradient epsilon share")
