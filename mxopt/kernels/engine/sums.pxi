# Sums of micro-batches: plain additions and copies of large arrays, shared among the threads. Unlike in a rule, no small
# number becomes zero: the bits are those of NumPy.

cdef enum:
    # Elements that a thread takes at a time.
    SHARED_FROM = 1 << 15


cdef bint is_alike(cnp.ndarray a, cnp.ndarray b) noexcept:
    # Whether both are float32 or both float64, of one shape, in C order.
    return (cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_IS_C_CONTIGUOUS(b) and cnp.PyArray_ISBEHAVED(a)
            and cnp.PyArray_ISALIGNED(b) and dtype_of(a) == dtype_of(b) and 0 <= dtype_of(a) <= F64 and same_shape(a, b))


cdef void add_part(void* to, const void* other, Py_ssize_t begin, Py_ssize_t end, bint wide) noexcept nogil:
    cdef Py_ssize_t i
    if wide:
        for i in range(begin, end):
            (<double*>to)[i] += (<const double*>other)[i]
    else:
        for i in range(begin, end):
            (<float*>to)[i] += (<const float*>other)[i]


cdef void one_part(void* to, const void* other, Py_ssize_t begin, Py_ssize_t end, bint wide, bint adding) noexcept nogil:
    cdef Py_ssize_t itemsize = 8 if wide else 4
    cdef mxopt_control control
    if not adding:
        memcpy(<char*>to + begin * itemsize, <const char*>other + begin * itemsize, (end - begin) * itemsize)
        return
    control = mxopt_take_control(False)  # every thread has its own
    add_part(to, other, begin, end, wide)
    mxopt_give_back(control)


cdef void each_part(void* to, const void* other, Py_ssize_t size, bint wide, bint adding, int threads) noexcept nogil:
    cdef Py_ssize_t k
    if threads == 1:  # as in a forked child, where there are no others
        one_part(to, other, 0, size, wide, adding)
        return
    for k in prange((size + SHARED_FROM - 1) // SHARED_FROM, schedule="dynamic", num_threads=threads):
        one_part(to, other, k * SHARED_FROM, min((k + 1) * SHARED_FROM, size), wide, adding)


def sum_into(cnp.ndarray to not None, cnp.ndarray other not None, bint adding):
    """Add an array to another, or copy it there.

    Returns
    -------
    bool
        False: nothing was done, since they are not alike, float32 or float64, in C order, large, and apart.
    """
    cdef Py_ssize_t size = cnp.PyArray_SIZE(to)
    cdef char* first = <char*>cnp.PyArray_DATA(to)
    cdef char* second = <char*>cnp.PyArray_DATA(other)
    cdef Py_ssize_t length = size * cnp.PyArray_ITEMSIZE(to)
    cdef bint wide
    cdef int threads
    if size < SHARED_FROM or not is_alike(to, other) or (first < second + length and second < first + length):
        return False
    wide, threads = dtype_of(to) == F64, get_num_threads()
    with nogil:
        each_part(first, second, size, wide, adding, threads)
    return True
