# MXNet's optimizer for tests: plain descent with a state that 2.x leaves alone.

cdef struct TestScalars:
    double lr, wd, rescale_grad


cdef void test(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const TestScalars* s = <const TestScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real lr = <real>s.lr, wd = <real>s.wd, rescale = <real>s.rescale_grad
        Py_ssize_t i
    for i in range(n):
        weight[i] = same_nan(weight[i] - lr * (rescale * grad[i] + wd * weight[i]))


# MXNet 1.9 ascends, and its state is the new weight.
cdef void test_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        const TestScalars* s = <const TestScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* state = arrays[2]
        real rescale = <real>s.rescale_grad, w
        Py_ssize_t i
    for i in range(n):
        w = weight[i] + grad[i] * rescale
        weight[i] = same_nan(w)
        state[i] = same_nan(w)


register("test", <rule_fn>test[float], <rule_fn>test[double], sizeof(TestScalars),
         "weight grad -", "lr wd rescale_grad")
register("test_v1", <rule_fn>test_v1[float], <rule_fn>test_v1[double], sizeof(TestScalars),
         "weight grad state", "lr wd rescale_grad")
