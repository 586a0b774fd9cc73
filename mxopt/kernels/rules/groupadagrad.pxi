# GroupAdaGrad (MXNet composes it of array operations; its row-sparse kernel is group_adagrad_update). The
# squares of a row are added one after the other, as that kernel does, and 2.x' array operations for short rows;
# those of 1.9 carry along what each addition lost (Kahan).

cdef enum:
    # Rows whose sums are taken side by side: one alone waits for each addition to end.
    ABREAST = 16
    TILE = 64

cdef struct GroupAdaGradScalars:
    double lr, wd, rescale_grad, clip_gradient, epsilon


cdef inline void add_columns(real[TILE]* squares, Py_ssize_t length, real* total, real* lost, bint compensated) noexcept nogil:
    cdef real[ABREAST] sums
    cdef real[ABREAST] rests
    cdef real y, after
    cdef Py_ssize_t i, k
    for k in range(ABREAST):
        sums[k], rests[k] = total[k], lost[k]
    for i in range(length):
        for k in range(ABREAST):
            if compensated:
                y = squares[k][i] - rests[k]
                after = sums[k] + y
                rests[k] = (after - sums[k]) - y
                sums[k] = after
            else:
                sums[k] = sums[k] + squares[k][i]
    for k in range(ABREAST):
        total[k], lost[k] = sums[k], rests[k]


cdef inline void ask_for_tile(const real* tile, Py_ssize_t n) noexcept nogil:
    cdef const char* line = <const char*>tile
    while line < <const char*>(tile + n):
        mxopt_prefetch(line)
        line += 64


cdef inline void groupadagrad_rows(real** arrays, Py_ssize_t n, const double* scalars, bint v1) noexcept nogil:
    cdef:
        const GroupAdaGradScalars* s = <const GroupAdaGradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* history = arrays[2]
        Py_ssize_t rows = (<const Py_ssize_t*>arrays[3])[0]
        real lr = <real>s.lr, epsilon = <real>s.epsilon
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, g, h, scale
        real[ABREAST][TILE] squares
        real[ABREAST] total
        real[ABREAST] lost
        double inverse
        Py_ssize_t row = 0, abreast, begin, end, length, k, i
    for k in range(ABREAST):
        for i in range(TILE):
            squares[k][i] = 0  # of the rows that are not there, at the end
    while row < rows:
        abreast = min(<Py_ssize_t>ABREAST, rows - row)
        for k in range(ABREAST):
            total[k] = 0
            lost[k] = 0
        begin = 0
        while begin < n:
            length = min(<Py_ssize_t>TILE, n - begin)
            for k in range(abreast):
                ask_for_tile(weight + (row + k) * n + begin, length)  # for the second look
                for i in range(length):
                    g = clipped(rescale * grad[(row + k) * n + begin + i], clip)
                    squares[k][i] = g * g
            add_columns(squares, length, total, lost, v1)
            begin += TILE
        for k in range(abreast):
            h = history[row + k] + total[k] / <real>n
            history[row + k] = h
            scale = root(h + epsilon) if v1 else root(h) + epsilon
            inverse = inverse_of(scale)
            begin = (row + k) * n
            while begin < (row + k + 1) * n:
                end = min(begin + TILE, (row + k + 1) * n)
                ask_for_tile(grad + ABREAST * n + begin, end - begin)  # for the next rows' first look
                for i in range(begin, end):
                    weight[i] = weight[i] - over(lr * clipped(rescale * grad[i], clip), scale, inverse)
                begin += TILE
        row += ABREAST


cdef void groupadagrad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, False)


cdef void groupadagrad_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, True)


register("groupadagrad", <rule_fn>groupadagrad[float], <rule_fn>groupadagrad[double], sizeof(GroupAdaGradScalars),
         "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
register("groupadagrad_v1", <rule_fn>groupadagrad_v1[float], <rule_fn>groupadagrad_v1[double],
         sizeof(GroupAdaGradScalars), "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
