# Cautious steps: only the elements that a rule moves down their gradient are moved, and the fewer they are, the further
# each goes.
#
# A move far smaller than its weight would be lost in the difference of two floats, so moves are taken from a trial run of
# the rule on copies in double. A first pass counts in every tensor the elements that agree; the second one steps, and
# then sets each block of weights to what the trial's moves make of it. Rules never see this.


cdef inline void widen(const void* source, double* target, int compute, Py_ssize_t n) noexcept nogil:
    cdef const float* x = <const float*>source
    cdef Py_ssize_t i
    if compute == F64:
        memcpy(target, source, n * sizeof(double))
    else:
        for i in range(n):
            target[i] = <double>x[i]


cdef inline bint agrees(double moved, double grad) noexcept nogil:
    return (moved < 0 and grad > 0) or (moved > 0 and grad < 0)


cdef void set_by_moves(void* weight, const double* old, const double* new, const double* grad, int compute, double kept,
                       double sign, double scale, Py_ssize_t n) noexcept nogil:
    # A NaN agrees with nothing, but stays.
    cdef float* single = <float*>weight
    cdef double* double_ = <double*>weight
    cdef double moved, value
    cdef Py_ssize_t i
    for i in range(n):
        moved = new[i] - kept * old[i]
        value = kept * old[i]
        if agrees(moved * sign, grad[i]) or moved != moved:
            value = value + moved * scale
        if compute == F64:
            double_[i] = value
        else:
            single[i] = <float>value


cdef void run_cautious(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end, char* scratch) noexcept nogil:
    cdef void* arrays[POINTERS]
    cdef void* trial[POINTERS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef const double* trial_scalars = c.scalars[F64] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute if t.data[MIRROR] == NULL else 2]
    cdef Py_ssize_t stride = c.scratch_items * 8, n, tensor = t - c.tensors, i
    cdef char* raw = scratch + SLOTS * stride
    cdef char* copies = raw + stride
    cdef double* old = <double*>(copies + MAX_ARRAYS * stride)
    cdef double* grad = old + c.scratch_items
    cdef double kept = c.cautious.kept[tensor], sign = c.cautious.sign, found
    cdef unsigned int staged
    cdef int a
    while p < end:
        n = min(<Py_ssize_t>BLOCK, end - p)
        staged = 0
        for a in range(c.narrays):
            arrays[a] = trial[a] = NULL
            if a != GRAD and not (c.uses >> a) & 1:
                continue
            arrays[a] = reach(t, a, p, n, scratch + a * stride, raw)
            if arrays[a] == scratch + a * stride:
                staged |= 1u << a
            trial[a] = copies + a * stride
            widen(arrays[a], <double*>trial[a], t.compute, n)
        memcpy(old, trial[WEIGHT], n * sizeof(double))
        memcpy(grad, trial[GRAD], n * sizeof(double))
        c.rules[F64](trial, n, trial_scalars)
        if c.cautious.scales == NULL:
            found = 0
            for i in range(n):
                found += agrees(((<double*>trial[WEIGHT])[i] - kept * old[i]) * sign, grad[i])
            c.sums[t.first_sum + p // SUM_BLOCK] += found
        else:
            rule(arrays, n, scalars)
            set_by_moves(arrays[WEIGHT], old, <double*>trial[WEIGHT], grad, t.compute, kept, sign,
                         c.cautious.scales[tensor], n)
            staged &= c.writes
            for a in range(c.narrays):
                if (staged >> a) & 1:
                    move(t, a, p, n, <char*>arrays[a], raw, True)
            if c.mirrored and t.data[MIRROR] != NULL:
                move(t, MIRROR, p, n, <char*>arrays[WEIGHT], raw, True)
        p += n
