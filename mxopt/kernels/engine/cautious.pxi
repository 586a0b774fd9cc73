# Cautious steps: only the elements that a rule moves down their gradient are moved, and the fewer they are, the further
# each goes.
#
# A move far smaller than its weight would be lost in the difference of two floats, so moves are taken from a trial run of
# the rule on copies in double. A first pass counts in every tensor the elements that agree; the second one steps, and
# then sets each block of weights to what the trial's moves make of it. Rules never see this.


cdef extern from "moves.h" nogil:
    ctypedef struct Trial "mxopt_trial":
        const double* before
        const double* after
        const double* grad
        double kept
        double sign
        Py_ssize_t n
    ctypedef struct Moves "mxopt_moves":
        void (*widen)(const float* source, double* target, Py_ssize_t n) noexcept nogil
        Py_ssize_t (*count)(const Trial* trial) noexcept nogil
        void (*set[2])(const Trial* trial, double scale, void* weight) noexcept nogil

cdef const Moves* MOVES = NULL


def use_moves(table):
    """Take the functions of cautious steps that were built for the chosen instruction set."""
    global MOVES
    MOVES = <const Moves*>PyCapsule_GetPointer(table, "mxopt.moves")


cdef void run_cautious(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end, char* scratch) noexcept nogil:
    cdef void* arrays[POINTERS]
    cdef void* trial[POINTERS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef const double* trial_scalars = c.scalars[F64] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute if t.data[MIRROR] == NULL else 2]
    cdef Py_ssize_t stride = c.scratch_items * 8, n, tensor = t - c.tensors
    cdef char* raw = scratch + SLOTS * stride
    cdef char* copies = raw + stride
    cdef double* before = <double*>(copies + MAX_ARRAYS * stride)
    cdef double* grad = before + c.scratch_items
    cdef Trial made
    cdef unsigned int staged
    cdef int a
    made.before, made.after, made.grad = before, <double*>(copies + WEIGHT * stride), grad
    made.kept, made.sign = c.cautious.kept[tensor], c.cautious.sign
    while p < end:
        n = made.n = whole_blocks(t, p, end - p)
        staged = 0
        for a in range(c.narrays):
            arrays[a] = trial[a] = NULL
            if a != GRAD and not (c.uses >> a) & 1:
                continue
            arrays[a] = reach(t, a, p, n, scratch + a * stride, raw)
            if arrays[a] == scratch + a * stride:
                staged |= 1u << a
            if a == GRAD and c.shrink != NULL:
                shrink(c, t, arrays, n, scratch + a * stride)
            trial[a] = copies + a * stride
            if t.compute == F64:
                memcpy(trial[a], arrays[a], n * sizeof(double))
            else:
                MOVES.widen(<const float*>arrays[a], <double*>trial[a], n)
        memcpy(before, trial[WEIGHT], n * sizeof(double))
        memcpy(grad, trial[GRAD], n * sizeof(double))
        c.rules[F64](trial, n, trial_scalars)
        if c.cautious.scales == NULL:
            c.sums[t.first_sum + p // SUM_BLOCK] += MOVES.count(&made)
        else:
            if c.report != NULL:
                memcpy(scratch + BEFORE * stride, arrays[WEIGHT], n * STORAGE[t.compute].itemsize)
            rule(arrays, n, scalars)
            MOVES.set[t.compute](&made, c.cautious.scales[tensor], arrays[WEIGHT])
            staged &= c.writes
            for a in range(c.narrays):
                if (staged >> a) & 1:
                    move(t, a, p, n, <char*>arrays[a], raw, True)
            if c.mirrored and t.data[MIRROR] != NULL and t.dtype[WEIGHT] != SPLIT:
                move(t, MIRROR, p, n, <char*>arrays[WEIGHT], raw, True)
            if (c.average != NULL or c.report != NULL) and t.dtype[WEIGHT] != t.compute:
                move(t, WEIGHT, p, n, <char*>arrays[WEIGHT], raw, False)
            if c.report != NULL:
                measure(c, t, p, n, arrays, scratch + BEFORE * stride)
            if c.average != NULL:
                blend(c, t, p, n, arrays[WEIGHT], scratch + AVERAGE * stride, raw)
        p += n
