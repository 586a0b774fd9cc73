# A running average of weights: no optimizer, but what a step does to averages beside its own rule.

cdef struct AverageScalars:
    double rate


cdef void average(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    cdef:
        real* average = arrays[0]
        const real* weight = arrays[1]
        real rate = <real>(<const AverageScalars*>scalars).rate
        Py_ssize_t i
    for i in range(n):
        average[i] = same_nan(average[i] + rate * (weight[i] - average[i]))


register("average", <rule_fn>average[float], <rule_fn>average[double], sizeof(AverageScalars), "average weight", "rate")
