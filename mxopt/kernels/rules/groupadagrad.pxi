# GroupAdaGrad (MXNet composes it of array operations; its row-sparse kernel is group_adagrad_update). The
# squares of a row are added one after the other, as that kernel does.

cdef enum:
    # Rows whose sums are taken side by side: one alone waits for each addition to end.
    ABREAST = 8
    TILE = 256

cdef struct GroupAdaGradScalars:
    double lr, wd, rescale_grad, clip_gradient, epsilon


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
        Py_ssize_t row = 0, abreast, begin, length, k, i
    while row < rows:
        abreast = min(<Py_ssize_t>ABREAST, rows - row)
        for k in range(ABREAST):
            total[k] = 0
        begin = 0
        while begin < n:
            length = min(<Py_ssize_t>TILE, n - begin)
            for k in range(abreast):
                for i in range(length):
                    g = clipped(rescale * grad[(row + k) * n + begin + i], clip)
                    squares[k][i] = g * g
            if abreast == ABREAST:
                for i in range(length):
                    for k in range(ABREAST):
                        total[k] = total[k] + squares[k][i]
            else:
                for k in range(abreast):
                    for i in range(length):
                        total[k] = total[k] + squares[k][i]
            begin += TILE
        for k in range(abreast):
            h = history[row + k] + total[k] / <real>n
            history[row + k] = h
            scale = root(h + epsilon) if v1 else root(h) + epsilon
            for i in range((row + k) * n, (row + k + 1) * n):
                weight[i] = weight[i] - lr * clipped(rescale * grad[i], clip) / scale
        row += ABREAST


cdef void groupadagrad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, False)


cdef void groupadagrad_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, True)


register("groupadagrad", <rule_fn>groupadagrad[float], <rule_fn>groupadagrad[double], sizeof(GroupAdaGradScalars),
         "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
register("groupadagrad_v1", <rule_fn>groupadagrad_v1[float], <rule_fn>groupadagrad_v1[double],
         sizeof(GroupAdaGradScalars), "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
