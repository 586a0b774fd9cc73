# GroupAdaGrad (MXNet composes it of array operations; its row-sparse kernel is group_adagrad_update). The
# squares of a row are added as the dense update adds them: in 2.x as oneDNN does where a register holds 16
# numbers, in 1.9 one after the other, carrying along what each addition lost (Kahan). That kernel, here for its
# operator alone, adds them one after the other (in turn).

cdef extern from "lanes.h" nogil:
    void mxopt_add_to_float_lanes(float* sums, const float* x, Py_ssize_t n)
    void mxopt_add_to_double_lanes(double* sums, const double* x, Py_ssize_t n)

cdef enum:
    # Rows whose sums are taken side by side: one alone waits for each addition to end.
    ABREAST = 16
    TILE = 64
    # Each row is read twice, first for its sum. NEAR: elements of the rows that are summed before the second reading.
    # AHEAD: how far the second reading prefetches, at least a row. 30 million elements in rows of 64 reach 0.87 of
    # the streaming limit, 0.75 with four times as many rows in between, and 0.5 without prefetching; in rows of 1000
    # 0.94, and 0.5 without prefetching.
    NEAR = 256
    AHEAD = 512

cdef struct GroupAdaGradScalars:
    double lr, wd, rescale_grad, clip_gradient, epsilon


cdef inline void ask_for_tile(const real* tile, Py_ssize_t n) noexcept nogil:
    cdef const char* line = <const char*>tile
    while line < <const char*>(tile + n):
        mxopt_prefetch(line)
        line += 64


cdef inline real prepared(real grad, real rescale, real clip, bint clips) noexcept nogil:
    # Skipping the comparison where there is no bound saves up to a tenth on rows of 64.
    return clipped(rescale * grad, clip) if clips else rescale * grad


cdef inline void square(const real* grad, Py_ssize_t n, real rescale, real clip, bint clips,
                        real* squares) noexcept nogil:
    cdef real g
    cdef Py_ssize_t i
    for i in range(n):
        g = prepared(grad[i], rescale, clip, clips)
        squares[i] = g * g


cdef inline real sum_in_turn(const real* x, Py_ssize_t n) noexcept nogil:
    cdef real total = x[0]
    cdef Py_ssize_t i
    for i in range(1, n):
        total = total + x[i]
    return total


cdef inline real sum_of_eight(const real* x, Py_ssize_t n) noexcept nogil:
    cdef real[4] folded
    cdef Py_ssize_t k
    if n <= 4:
        return sum_in_turn(x, n)
    if n < 8:
        return sum_in_turn(x, 4) + sum_in_turn(x + 4, n - 4)
    for k in range(4):
        folded[k] = x[k] + x[k + 4]
    return sum_in_turn(&folded[0], 4)


cdef inline real sum_of_sixteen(const real* x, Py_ssize_t n) noexcept nogil:
    # Up to 16 numbers, as from a register: a full one is folded in half until four are left, which are added in
    # turn; of one that is not full, each half is summed by itself.
    cdef real[8] folded
    cdef Py_ssize_t k
    if n <= 8:
        return sum_of_eight(x, n)
    if n < 16:
        return sum_of_eight(x, 8) + sum_of_eight(x + 8, n - 8)
    for k in range(8):
        folded[k] = x[k] + x[k + 8]
    return sum_of_eight(&folded[0], 8)


cdef inline void add_to_lanes(real* lanes, const real* x, Py_ssize_t n) noexcept nogil:
    if real is float:
        mxopt_add_to_float_lanes(lanes, x, n)
    else:
        mxopt_add_to_double_lanes(lanes, x, n)


cdef inline real sum_of_lanes(real* lanes, const real* rest, Py_ssize_t n) noexcept nogil:
    # What is left at the end of a row is summed by itself, and added to the first lane.
    if n > 0:
        lanes[0] = lanes[0] + sum_of_sixteen(rest, n)
    return sum_of_sixteen(lanes, <Py_ssize_t>16)


cdef inline real sum_of_row(const real* squares, Py_ssize_t n) noexcept nogil:
    cdef real[16] lanes
    cdef Py_ssize_t whole = n - n % 16
    if n < 16:
        return sum_of_sixteen(squares, n)
    memset(lanes, 0, sizeof(lanes))
    add_to_lanes(&lanes[0], squares, whole)
    return sum_of_lanes(&lanes[0], squares + whole, n - whole)


cdef inline real sum_of_squares(const real* grad, Py_ssize_t n, real rescale, real clip, bint clips) noexcept nogil:
    cdef real[16] lanes
    cdef real[TILE] squares
    cdef Py_ssize_t whole = n - n % 16, i = 0
    memset(lanes, 0, sizeof(lanes))
    while i + TILE <= whole:
        square(grad + i, <Py_ssize_t>TILE, rescale, clip, clips, &squares[0])
        add_to_lanes(&lanes[0], &squares[0], <Py_ssize_t>TILE)
        i += TILE
    square(grad + i, n - i, rescale, clip, clips, &squares[0])
    add_to_lanes(&lanes[0], &squares[0], whole - i)
    return sum_of_lanes(&lanes[0], &squares[whole - i], n - whole)


cdef inline void descend(real* weight, const real* grad, Py_ssize_t n, real rescale, real clip, bint clips, real lr,
                         real scale, double inverse, bint divides, Py_ssize_t ahead) noexcept nogil:
    # Every other tile divides, which uses another unit of the processor than `over` does.
    cdef Py_ssize_t i
    if ahead > 0:
        ask_for_tile(grad + ahead, n)
        ask_for_tile(weight + ahead, n)
    if divides:
        for i in range(n):
            weight[i] = same_nan(weight[i] - lr * (prepared(grad[i], rescale, clip, clips) / scale))
    else:
        for i in range(n):
            weight[i] = same_nan(weight[i] - lr * over(prepared(grad[i], rescale, clip, clips), scale, inverse))


cdef inline void groupadagrad_lanes(real** arrays, Py_ssize_t n, const double* scalars, bint clips) noexcept nogil:
    cdef:
        const GroupAdaGradScalars* s = <const GroupAdaGradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* history = arrays[2]
        Py_ssize_t rows = (<const Py_ssize_t*>arrays[3])[0], row = 0, k, i, end
        Py_ssize_t abreast = max(<Py_ssize_t>1, min(<Py_ssize_t>ABREAST, NEAR // n))
        Py_ssize_t ahead = max(<Py_ssize_t>AHEAD, n), last = rows * n - ahead
        real lr = <real>s.lr, epsilon = <real>s.epsilon
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient
        real[ABREAST] scale
        double[ABREAST] inverse
        real[NEAR] squares
    while row < rows:
        abreast = min(abreast, rows - row)
        if n < TILE:
            square(grad + row * n, abreast * n, rescale, clip, clips, &squares[0])
        for k in range(abreast):
            if n < TILE:
                scale[k] = sum_of_row(&squares[k * n], n)
            else:
                scale[k] = sum_of_squares(grad + (row + k) * n, n, rescale, clip, clips)
        for k in range(abreast):
            scale[k] = history[row + k] + scale[k] / <real>n
            history[row + k] = same_nan(scale[k])
        for k in range(abreast):
            scale[k] = root(scale[k]) + epsilon
            inverse[k] = inverse_of(scale[k])
        for k in range(abreast):
            i = (row + k) * n
            end = i + n
            while i + TILE <= end:
                descend(weight + i, grad + i, <Py_ssize_t>TILE, rescale, clip, clips, lr, scale[k], inverse[k],
                        i // TILE & 1, ahead if i < last else 0)
                i += TILE
            descend(weight + i, grad + i, end - i, rescale, clip, clips, lr, scale[k], inverse[k], False,
                    ahead if i < last else 0)
        row += abreast


cdef void groupadagrad(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    if (<const GroupAdaGradScalars*>scalars).clip_gradient < INFINITY:
        groupadagrad_lanes(arrays, n, scalars, True)
    else:
        groupadagrad_lanes(arrays, n, scalars, False)


cdef inline void add_columns(real[TILE]* squares, Py_ssize_t length, real* total, real* lost,
                             bint compensated) noexcept nogil:
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


cdef inline void groupadagrad_rows(real** arrays, Py_ssize_t n, const double* scalars, bint v1,
                                   bint compensated) noexcept nogil:
    cdef:
        const GroupAdaGradScalars* s = <const GroupAdaGradScalars*>scalars
        real* weight = arrays[0]
        const real* grad = arrays[1]
        real* history = arrays[2]
        Py_ssize_t rows = (<const Py_ssize_t*>arrays[3])[0]
        real lr = <real>s.lr, epsilon = <real>s.epsilon
        real rescale = <real>s.rescale_grad, clip = <real>s.clip_gradient, h, scale
        real[ABREAST][TILE] squares
        real[ABREAST] total
        real[ABREAST] lost
        double inverse
        Py_ssize_t row = 0, abreast, begin, end, length, k, i
    memset(squares, 0, sizeof(squares))  # of the rows that are not there, at the end
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
                square(grad + (row + k) * n + begin, length, rescale, clip, True, squares[k])
            add_columns(squares, length, total, lost, compensated)
            begin += TILE
        for k in range(abreast):
            h = history[row + k] + total[k] / <real>n
            history[row + k] = same_nan(h)
            scale = root(h + epsilon) if v1 else root(h) + epsilon
            inverse = inverse_of(scale)
            begin = (row + k) * n
            while begin < (row + k + 1) * n:
                end = min(begin + TILE, (row + k + 1) * n)
                ask_for_tile(grad + ABREAST * n + begin, end - begin)  # for the next rows' first look
                for i in range(begin, end):
                    weight[i] = same_nan(weight[i] - over(lr * clipped(rescale * grad[i], clip), scale, inverse))
                begin += TILE
        row += ABREAST


cdef void groupadagrad_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, True, True)


cdef void groupadagrad_in_turn(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, False, False)


cdef void groupadagrad_in_turn_v1(real** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    groupadagrad_rows(arrays, n, scalars, True, False)


register("groupadagrad", <rule_fn>groupadagrad[float], <rule_fn>groupadagrad[double], sizeof(GroupAdaGradScalars),
         "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
register("groupadagrad_v1", <rule_fn>groupadagrad_v1[float], <rule_fn>groupadagrad_v1[double],
         sizeof(GroupAdaGradScalars), "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
register("groupadagrad_in_turn", <rule_fn>groupadagrad_in_turn[float], <rule_fn>groupadagrad_in_turn[double],
         sizeof(GroupAdaGradScalars), "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
register("groupadagrad_in_turn_v1", <rule_fn>groupadagrad_in_turn_v1[float], <rule_fn>groupadagrad_in_turn_v1[double],
         sizeof(GroupAdaGradScalars), "weight grad history/row", "lr wd rescale_grad clip_gradient epsilon")
