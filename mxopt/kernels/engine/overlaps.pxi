# Which arrays of a plan share memory.


cdef void extent(cnp.ndarray array, uintptr_t* low, uintptr_t* high) noexcept:
    cdef Py_ssize_t step
    cdef int d
    low[0] = <uintptr_t>cnp.PyArray_DATA(array)
    if cnp.PyArray_IS_C_CONTIGUOUS(array) or cnp.PyArray_IS_F_CONTIGUOUS(array):
        high[0] = low[0] + cnp.PyArray_NBYTES(array)
        return
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(array)
    for d in range(cnp.PyArray_NDIM(array)):
        step = cnp.PyArray_STRIDE(array, d) * (cnp.PyArray_DIM(array, d) - 1)
        if step < 0:
            low[0] += step
        else:
            high[0] += step


cdef bint repeats_itself(cnp.ndarray array) except -1:
    # Whether two elements of an aligned array share memory: a stride of 0, or overlapping windows.
    cdef Py_ssize_t shape[MAX_DIMS]
    cdef Py_ssize_t strides[MAX_DIMS]
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(array), reach, stride, length
    cdef uintptr_t low, high
    cdef int d, k, ndim = 0
    if cnp.PyArray_SIZE(array) == 0:
        return False
    for d in range(cnp.PyArray_NDIM(array)):
        length, stride = cnp.PyArray_DIM(array, d), abs(cnp.PyArray_STRIDE(array, d))
        if length == 1:
            continue
        k = ndim
        while k > 0 and strides[k - 1] > stride:
            shape[k], strides[k] = shape[k - 1], strides[k - 1]
            k -= 1
        shape[k], strides[k] = length, stride
        ndim += 1
    reach = itemsize
    for k in range(ndim):
        if strides[k] < reach:
            break
        reach += strides[k] * (shape[k] - 1)
    else:
        return False  # every dimension steps over all that the smaller ones reach
    extent(array, &low, &high)
    if <uintptr_t>cnp.PyArray_SIZE(array) > (high - low) // itemsize:
        return True
    # Rare: an irregular lattice. Mark its places.
    places = np.zeros(1, np.intp)
    for k in range(ndim):
        places = np.add.outer(places, np.arange(shape[k]) * (strides[k] // itemsize)).ravel()
    return bool(np.bincount(places).max() > 1)


cdef Range range_of(Plan plan, Py_ssize_t k) noexcept:
    # The memory range of array k % SLOTS of tensor k // SLOTS, or one of plan.ranges, which are numbered after these.
    cdef Range found
    cdef Py_ssize_t i = k // SLOTS, a = k % SLOTS
    cdef Tensor* t = &plan.tensors[i]
    if i >= plan.ntensors:
        return plan.ranges[k - plan.ntensors * SLOTS]
    found.low = <uintptr_t>t.data[a]
    found.high = found.low + t.size * STORAGE[t.compute].itemsize
    found.tensor, found.role, found.written = i, a, a != GRAD
    return found


cdef Py_ssize_t number_ranges(Plan plan, Py_ssize_t* numbers) noexcept:
    # Count the ranges; write their numbers, where there is room for them.
    cdef Py_ssize_t n = 0, i
    cdef int a
    for i in range(plan.ntensors):
        if plan.tensors[i].ranged or plan.tensors[i].size == 0:
            continue
        for a in range(1 if plan.alone else 2 + plan.nstates):
            if numbers != NULL:
                numbers[n] = i * SLOTS + a
            n += 1
    for i in range(plan.nranges):
        if numbers != NULL:
            numbers[n] = plan.ntensors * SLOTS + i
        n += 1
    return n


cdef int refuse_overlaps(Plan plan) except -1:
    # Two threads must never write the same element, and nothing that is written may be read as
    # another's input: sort all memory ranges and look for a written one that begins before another ends.
    cdef Py_ssize_t n = number_ranges(plan, NULL), i, j
    cdef uintptr_t end = 0, written_end = 0
    cdef Py_ssize_t few[32]
    cdef Range ranges[32]
    cdef Range one
    cdef Py_ssize_t[::1] order
    if n <= 32:
        number_ranges(plan, few)
        for i in range(n):  # insertion sort
            one = range_of(plan, few[i])
            j = i
            while j > 0 and ranges[j - 1].low > one.low:
                ranges[j] = ranges[j - 1]
                j -= 1
            ranges[j] = one
    else:
        order = by_address(plan, n)
    for i in range(n):
        one = ranges[i] if n <= 32 else range_of(plan, order[i])
        if one.low < (end if one.written else written_end):
            name_overlap(plan, n)
            return 0
        end = max(end, one.high)
        if one.written:
            written_end = max(written_end, one.high)
    return 0


cdef object by_address(Plan plan, Py_ssize_t n):
    # Numbers of the ranges, by where they begin. One word holds the place (even, as no dtype is smaller
    # than two bytes, and codes are made so) above the number: sorting words is several times faster than argsort.
    cdef Py_ssize_t[::1] numbers
    cdef uint64_t[::1] words
    cdef uintptr_t first, last, low
    cdef Py_ssize_t i
    cdef int bits = 1
    found = np.empty(n, np.intp)
    numbers = found
    number_ranges(plan, &numbers[0])
    first = last = range_of(plan, numbers[0]).low
    for i in range(n):
        low = range_of(plan, numbers[i]).low
        first, last = min(first, low), max(last, low)
    while numbers[n - 1] >> bits:  # the largest
        bits += 1
    if (last - first) >> (65 - bits):
        lows = np.empty(n, np.uintp)
        for i in range(n):
            lows[i] = range_of(plan, numbers[i]).low
        return found[np.argsort(lows, kind="stable")]
    words = found.view(np.uint64)
    for i in range(n):
        words[i] = (<uint64_t>(range_of(plan, numbers[i]).low - first) >> 1 << bits) | <uint64_t>numbers[i]
    found.view(np.uint64).sort()
    for i in range(n):
        words[i] &= (<uint64_t>1 << bits) - 1
    return found


cdef int name_overlap(Plan plan, Py_ssize_t n) except -1:
    # Slow and exact: which two arrays share an element? Interleaved views may share none.
    cdef Py_ssize_t i, j
    cdef Py_ssize_t[::1] order = by_address(plan, n)
    cdef Range a, b
    for i in range(n):
        a = range_of(plan, order[i])
        for j in range(i + 1, n):
            b = range_of(plan, order[j])
            if b.low >= a.high:
                break
            if not (a.written or b.written):
                continue
            if plan.any_strided and not np.shares_memory(array_of(plan, order[i]), array_of(plan, order[j])):
                continue
            first, second = sorted(((a.tensor, a.role), (b.tensor, b.role)))
            raise Refused("overlap", *first, *second)
    return 0


cdef object array_of(Plan plan, Py_ssize_t k):
    # The array of range k, numbered as in range_of.
    cdef Py_ssize_t i = k // SLOTS, a = k % SLOTS
    if i >= plan.ntensors:
        return plan.placed[k - plan.ntensors * SLOTS]
    if a <= GRAD:
        return plan.owners[a][i]
    return plan.owners[2][i] if plan.nstates == 1 else plan.owners[2][i][a - 2]


def address_of(cnp.ndarray array not None):
    """Where an array begins. NumPy's own array interface ends the process when there is no memory for it."""
    return <uintptr_t>cnp.PyArray_DATA(array)


def same_memory(one, other):
    """Whether two things are ndarrays of the same bytes, or one object."""
    if one is other:
        return True
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return False
    if cnp.PyArray_DATA(<cnp.ndarray>one) != cnp.PyArray_DATA(<cnp.ndarray>other):
        return False
    return cnp.PyArray_NBYTES(<cnp.ndarray>one) == cnp.PyArray_NBYTES(<cnp.ndarray>other) > 0
