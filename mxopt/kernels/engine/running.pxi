# Running a rule over a checked plan: nothing here can fail.
#
# For each tensor and block of elements, every array yields a pointer: its own memory where the block lies there
# contiguously in the type of the arithmetic, else scratch that stays in L1 (another dtype: widened; rows
# or strides: gathered; a row-sparse gradient in a standard update: rows among zeros). The rule
# runs on the pointers, and what it wrote to scratch is narrowed or scattered back. A result therefore does not
# depend on threads, chunks, lists or layouts: elementwise rules never see them, and sums are taken
# per SUM_BLOCK elements from the start of each tensor and added in that order.


cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


cdef inline void convert(convert_fn function, const char* source, char* target, Py_ssize_t n,
                         Py_ssize_t itemsize) noexcept nogil:
    if function == NULL:
        memcpy(target, source, n * itemsize)
    else:
        function(source, target, n)


cdef void walk(const Strides* s, const int64_t* rows, char* base, Py_ssize_t p, Py_ssize_t n, char* flat,
               Py_ssize_t itemsize, bint scatter) noexcept nogil:
    # n elements from place p (C order) between a strided array and flat memory.
    cdef Py_ssize_t[MAX_DIMS] at
    cdef Py_ssize_t rest = p, run, i, stride
    cdef int d, last = s.ndim - 1
    cdef char* place
    for d in range(last, -1, -1):
        at[d] = rest % s.shape[d]
        rest = rest // s.shape[d]
    stride = s.strides[last]
    while n > 0:
        place = base
        for d in range(last + 1):
            place += s.strides[d] * (rows[at[d]] if d == 0 and s.mapped else at[d])
        # A mapped single dimension jumps with every element.
        run = 1 if last == 0 and s.mapped else min(n, s.shape[last] - at[last])
        for i in range(run):
            if scatter:
                memcpy(place + i * stride, flat + i * itemsize, itemsize)
            else:
                memcpy(flat + i * itemsize, place + i * stride, itemsize)
        flat += run * itemsize
        n -= run
        at[last] += run
        d = last
        while d > 0 and at[d] == s.shape[d]:
            at[d] = 0
            d -= 1
            at[d] += 1


cdef inline void ask_for(const char* begin, Py_ssize_t size) noexcept nogil:
    # Prefetch [begin, begin + size). NumPy's arrays are seldom aligned to cache lines, so include the last line.
    cdef Py_ssize_t k
    for k in range(0, size, 64):
        mxopt_prefetch(begin + k)
    mxopt_prefetch(begin + size - 1)


cdef void run_rows(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # Rows of a table, in place; neighbours in the table go together. The processor cannot guess which row comes
    # next, but it is known here.
    cdef void* arrays[POINTERS]
    cdef char* table[MAX_ARRAYS]
    cdef int mapped[MAX_ARRAYS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef rule_fn rule = c.narrow[t.narrow - 1] if t.narrow else c.rules[t.compute]
    cdef const int64_t* rows = t.layout.rows
    cdef Py_ssize_t width = t.layout.width, itemsize = STORAGE[t.dtype[WEIGHT]].itemsize, length = width * itemsize
    cdef Py_ssize_t row = p // width, last = (end - 1) // width, asked = row, part = p - row * width, n
    cdef Py_ssize_t head = min(length, ROW_HEAD)
    cdef void* pair[2]
    cdef int a, count = 0
    for a in range(c.narrays):
        arrays[a] = NULL
        if not (c.uses >> a) & 1:
            continue
        if t.kind[a] == ROWS:
            mapped[count], table[count] = a, t.data[a]
            count += 1
        else:
            arrays[a] = t.data[a] + p * itemsize
    while p < end:
        while asked <= min(row + ROWS_AHEAD, last):
            for a in range(count):
                ask_for(table[a] + rows[asked] * length, head)
            if c.average != NULL:
                ask_for(t.data[AVERAGE] + rows[asked] * length, head)
            asked += 1
        for a in range(count):
            arrays[mapped[a]] = table[a] + rows[row] * length + part * itemsize
        if c.average != NULL:
            pair[0] = t.data[AVERAGE] + rows[row] * length + part * itemsize
        n = width - part
        part = 0
        row += 1
        while row < asked and rows[row] == rows[row - 1] + 1:
            n += width
            row += 1
        n = min(n, end - p)
        rule(arrays, n, scalars)
        if c.average != NULL:
            pair[1] = arrays[WEIGHT]
            c.blend[t.compute](pair, n, c.average)
        for a in range(c.narrays):
            if t.kind[a] != ROWS and arrays[a] != NULL:
                arrays[a] = <char*>arrays[a] + n * itemsize
        p += n


cdef void run_narrow(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # Contiguous arrays that are all float16 or all bfloat16.
    cdef void* arrays[POINTERS]
    cdef const double* scalars = c.scalars[F32] + t.row * c.nscalars
    cdef rule_fn rule = c.narrow[t.narrow - 1]
    cdef Py_ssize_t n, k
    cdef int a
    for a in range(c.narrays):
        arrays[a] = t.data[a] + 2 * p if (c.uses >> a) & 1 else NULL
    while p < end:
        n = min(<Py_ssize_t>PART, end - p) if c.far else end - p
        if c.far:
            for k in range(0, 2 * n, 64):
                for a in range(c.narrays):
                    if arrays[a] != NULL:
                        mxopt_prefetch(<char*>arrays[a] + 2 * FAR_AHEAD * PART + k)
        rule(arrays, n, scalars)
        for a in range(c.narrays):
            if arrays[a] != NULL:
                arrays[a] = <char*>arrays[a] + 2 * n
        p += n


cdef inline bint is_direct(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n) noexcept nogil:
    if t.dtype[a] != t.compute:
        return False
    if t.kind[a] == FLAT or t.kind[a] == PER_ROW:
        return True
    return t.kind[a] == ROWS and p // t.layout.width == (p + n - 1) // t.layout.width


cdef inline char* address(const Tensor* t, int a, Py_ssize_t p) noexcept nogil:
    # Where element p is, for arrays that hold it and its successors in the row contiguously.
    cdef Py_ssize_t itemsize = STORAGE[t.dtype[a]].itemsize, row
    if t.kind[a] == FLAT:
        return t.data[a] + p * itemsize
    row = p // t.layout.width
    if t.kind[a] == PER_ROW:
        return t.data[a] + (t.layout.rows[row] if t.layout.lazy else row) * itemsize
    return t.data[a] + (t.layout.rows[row] * t.layout.width + p % t.layout.width) * itemsize


cdef void expand(const Tensor* t, Py_ssize_t p, Py_ssize_t n, char* scratch) noexcept nogil:
    # A block of the dense gradient that a row-sparse one stands for.
    cdef Layout* layout = t.layout
    cdef Py_ssize_t width = layout.width, size = STORAGE[t.compute].itemsize, itemsize = STORAGE[t.dtype[GRAD]].itemsize
    cdef Py_ssize_t first = p // width, low = 0, high = layout.nrows, middle, begin, end, row
    memset(scratch, 0, n * size)
    while low < high:
        middle = (low + high) // 2
        if layout.rows[middle] < first:
            low = middle + 1
        else:
            high = middle
    while low < layout.nrows and layout.rows[low] * width < p + n:
        row = layout.rows[low] * width
        begin = max(row, p)
        end = min(row + width, p + n)
        convert(STORAGE[t.dtype[GRAD]].load[t.compute], t.data[GRAD] + (low * width + begin - row) * itemsize,
                scratch + (begin - p) * size, end - begin, itemsize)
        low += 1


cdef void move_coded(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n, float* scratch, bint storing) noexcept nogil:
    # A block of states in a code: whole blocks of scales, wherever they are.
    cdef const Storage* kind = &STORAGE[t.dtype[a]]
    cdef const Coded* coded = t.coded
    cdef Py_ssize_t width = coded.row if coded.row else (t.layout.width if t.kind[a] == ROWS else n), run, place
    cdef char* codes
    cdef float* scales = NULL
    while n > 0:
        run = min(n, width - p % width) if coded.row or t.kind[a] == ROWS else n
        codes = address(t, a, p)
        place = (codes - t.data[a]) // kind.itemsize
        if kind.has_scales:
            scales = coded.scales[a] + scales_before(coded, place)
        if storing:
            kind.encode(scratch, codes, scales, run, coded.keys[a], place)
        else:
            kind.decode(codes, scales, scratch, run)
        p += run
        n -= run
        scratch += run


cdef inline Py_ssize_t scales_before(const Coded* coded, Py_ssize_t place) noexcept nogil:
    # How many scales the blocks before a place have, which begins a block.
    if coded.row:
        return place // coded.row * ((coded.row + CODE_BLOCK - 1) // CODE_BLOCK) + place % coded.row // CODE_BLOCK
    return place // CODE_BLOCK


cdef inline Py_ssize_t whole_blocks(const Tensor* t, Py_ssize_t p, Py_ssize_t n) noexcept nogil:
    # How many of at most n elements from p on, to take at a time: BLOCK, or less where blocks of scales end with rows.
    cdef Py_ssize_t rest
    n = min(n, <Py_ssize_t>BLOCK)
    if t.coded == NULL or not t.coded.row:
        return n
    rest = t.coded.row - p % t.coded.row
    return n if rest >= n else rest + (n - rest) // t.coded.row * t.coded.row


cdef inline Py_ssize_t unit_of(const Pass* c, const Tensor* t) noexcept nogil:
    # How many elements belong to one thread, from a multiple of it on.
    if c.by_row:
        return t.layout.width
    if c.nsums or c.report != NULL:
        return SUM_BLOCK
    if t.coded != NULL and t.coded.has_scales:
        return t.coded.row if t.coded.row else CODE_BLOCK
    return 1


cdef inline bint is_scattered(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n) noexcept nogil:
    # Whether a block of stored elements does not lie contiguously.
    return t.kind[a] == STRIDED or t.kind[a] == ROWS and p // t.layout.width != (p + n - 1) // t.layout.width


cdef void transfer(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n, char* raw, bint scatter) noexcept nogil:
    # A scattered block of 16-bit elements, as they are stored, to `raw` or from there.
    cdef Py_ssize_t run
    cdef char* own
    if t.kind[a] == STRIDED:
        walk(t.layout.strided[a], t.layout.rows, t.data[a], p, n, raw, 2, scatter)
        return
    while n > 0:
        run = min(n, t.layout.width - p % t.layout.width)
        own = address(t, a, p)
        memcpy(own if scatter else raw, raw if scatter else own, 2 * run)
        p += run
        n -= run
        raw += 2 * run


cdef void move_halves(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n, float* scratch, char* raw,
                      bint storing) noexcept nogil:
    # A block of masters whose upper halves are the weights.
    cdef bint apart = is_scattered(t, MIRROR, p, n), low_apart = is_scattered(t, a, p, n)
    cdef char* upper = raw if apart else address(t, MIRROR, p)
    cdef char* low = raw + 2 * n if low_apart else address(t, a, p)
    if storing:
        STORAGE[SPLIT].part(scratch, upper, low, n)
    if apart:
        transfer(t, MIRROR, p, n, upper, storing)
    if low_apart:
        transfer(t, a, p, n, low, storing)
    if not storing:
        STORAGE[SPLIT].join(upper, low, scratch, n)


cdef void reach_rounded(const Tensor* t, Py_ssize_t p, Py_ssize_t n, char* scratch, char* raw) noexcept nogil:
    # A block of the weights that whole masters would have, which round ties to even.
    move(t, WEIGHT, p, n, scratch, raw, False)
    STORAGE[BF16].store[F32](scratch, raw, n)
    STORAGE[BF16].load[F32](raw, scratch, n)


cdef void move(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n, char* scratch, char* raw, bint storing) noexcept nogil:
    # A block between the array's own memory and scratch of the compute type.
    cdef Py_ssize_t itemsize = STORAGE[t.dtype[a]].itemsize, size = STORAGE[t.compute].itemsize, run, width
    cdef convert_fn function = STORAGE[t.dtype[a]].store[t.compute] if storing else STORAGE[t.dtype[a]].load[t.compute]
    cdef char* own
    if t.dtype[a] == SPLIT:
        move_halves(t, a, p, n, <float*>scratch, raw, storing)
    elif t.kind[a] == EXPAND:
        expand(t, p, n, scratch)
    elif t.kind[a] == STRIDED:
        if function == NULL:
            walk(t.layout.strided[a], t.layout.rows, t.data[a], p, n, scratch, itemsize, storing)
        elif storing:
            function(scratch, raw, n)
            walk(t.layout.strided[a], t.layout.rows, t.data[a], p, n, raw, itemsize, True)
        else:
            walk(t.layout.strided[a], t.layout.rows, t.data[a], p, n, raw, itemsize, False)
            function(raw, scratch, n)
    elif t.dtype[a] >= DTYPES:
        move_coded(t, a, p, n, <float*>scratch, storing)
    else:
        width = t.layout.width if t.kind[a] == ROWS else n
        while n > 0:
            run = min(n, width - p % width) if t.kind[a] == ROWS else (1 if t.kind[a] == PER_ROW else n)
            own = address(t, a, p)
            if storing:
                convert(function, scratch, own, run, itemsize)
            else:
                convert(function, own, scratch, run, itemsize)
            if t.kind[a] == PER_ROW:
                return
            p += run
            n -= run
            scratch += run * size


cdef inline void shrink(const Pass* c, const Tensor* t, void** arrays, Py_ssize_t n, char* scratch) noexcept nogil:
    # Have a rule see a block of a gradient multiplied; the caller's own stays as it is.
    cdef void* copy = scratch
    if arrays[GRAD] != NULL:
        if arrays[GRAD] != scratch:
            memcpy(scratch, arrays[GRAD], n * STORAGE[t.compute].itemsize)
        c.scale[t.compute](&copy, n, c.shrink)
        arrays[GRAD] = scratch


cdef inline void measure(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t n, void** arrays,
                         void* before) noexcept nogil:
    # Add a block to the report.
    cdef void* those[4]
    those[0], those[1], those[2] = arrays[WEIGHT], arrays[GRAD], before
    those[3] = c.report + (t.first_sum + p // SUM_BLOCK) * MEASURES
    c.measure[t.compute](those, n, NULL)


cdef void run_far(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # A long contiguous part that comes from main memory.
    cdef void* arrays[POINTERS]
    cdef void* pair[2]
    cdef char[PART * 8] block
    cdef char[PART * 8] before
    cdef void* grad = NULL
    cdef char* at[MAX_ARRAYS + 1]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute]
    cdef Py_ssize_t itemsize = STORAGE[t.compute].itemsize, length = PART * itemsize, k
    cdef int a, count = 0
    for a in range(c.narrays):
        arrays[a] = t.data[a] + p * itemsize if ((c.uses | c.looks) >> a) & 1 else NULL
        if arrays[a] != NULL or (a == WEIGHT and c.sums_weight):
            at[count] = t.data[a] + p * itemsize + FAR_AHEAD * length
            count += 1
    if c.average != NULL:
        at[count] = t.data[AVERAGE] + p * itemsize + FAR_AHEAD * length
        count += 1
    while p < end:
        for k in range(0, length, 64):
            for a in range(count):
                mxopt_prefetch(at[a] + k)
        if c.nsums:
            point_to_sums(c, t, p, arrays, t.data[WEIGHT] + p * itemsize)
        if c.shrink != NULL:
            grad = arrays[GRAD]
            shrink(c, t, arrays, min(<Py_ssize_t>PART, end - p), block)
        if c.report != NULL:
            memcpy(before, arrays[WEIGHT], min(<Py_ssize_t>PART, end - p) * itemsize)
        rule(arrays, min(<Py_ssize_t>PART, end - p), scalars)
        if c.report != NULL:
            measure(c, t, p, min(<Py_ssize_t>PART, end - p), arrays, before)
        if c.shrink != NULL:
            arrays[GRAD] = grad
        if c.average != NULL:
            pair[0], pair[1] = t.data[AVERAGE] + p * itemsize, arrays[WEIGHT]
            c.blend[t.compute](pair, min(<Py_ssize_t>PART, end - p), c.average)
        for a in range(c.narrays):
            if arrays[a] != NULL:
                arrays[a] = <char*>arrays[a] + length
        for a in range(count):
            at[a] += length
        p += PART


cdef inline void point_to_sums(const Pass* c, const Tensor* t, Py_ssize_t p, void** arrays, void* stored) noexcept nogil:
    # What a rule with sums is handed after its arrays: see norms.pxi.
    arrays[c.narrays] = c.sums + (t.first_sum + p // SUM_BLOCK) * c.nsums
    arrays[c.narrays + 1] = NULL if t.lanes else <void*>t
    arrays[c.narrays + 2] = stored
    arrays[c.narrays + 3] = <void*>t.dtype


cdef void ask_for_block(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # Start fetching what move() will read or write of the elements [p, end), line by line in turn.
    cdef Py_ssize_t itemsize, width, row, k
    cdef char* flat[SLOTS]
    cdef Py_ssize_t step[SLOTS]
    cdef int a, count = 0
    for a in range(SLOTS):
        if t.data[a] == NULL or a == c.noisy and a or not (a >= MIRROR or (c.uses >> a) & 1):
            continue
        itemsize = STORAGE[t.dtype[a]].itemsize
        if t.kind[a] == FLAT:
            flat[count], step[count] = t.data[a] + p * itemsize, itemsize
            count += 1
        elif t.kind[a] == ROWS:
            width = t.layout.width
            for row in range(p // width, (end - 1) // width + 1):
                ask_for(t.data[a] + t.layout.rows[row] * width * itemsize, min(width * itemsize, ROW_HEAD))
    for k in range(0, end - p, 32):
        for a in range(count):
            mxopt_prefetch(flat[a])
            if step[a] > 2:
                mxopt_prefetch(flat[a] + 64)
                if step[a] > 4:
                    mxopt_prefetch(flat[a] + 128)
                    mxopt_prefetch(flat[a] + 192)
            flat[a] += 32 * step[a]


cdef void run_parts(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t n, Py_ssize_t end, void** arrays,
                    rule_fn rule, const double* scalars) noexcept nogil:
    # A staged block, while a later one is on its way.
    cdef void* parts[POINTERS]
    cdef Py_ssize_t part, done = 0, ahead = p + AHEAD * n, stride = PART * STORAGE[t.compute].itemsize
    cdef int a
    memcpy(parts, arrays, sizeof(parts))
    while done < n:
        part = min(<Py_ssize_t>PART, n - done)
        if ahead + done < end:
            ask_for_block(c, t, ahead + done, min(ahead + done + part, end))
        rule(parts, part, scalars)
        for a in range(c.narrays):
            if parts[a] != NULL:
                parts[a] = <char*>parts[a] + stride
        if c.sums_weight:
            parts[c.narrays + 2] = <char*>parts[c.narrays + 2] + stride
        done += part


cdef inline void* reach(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n, char* scratch, char* raw) noexcept nogil:
    # A block of one array: its own memory where that can be used as it is, else scratch.
    if is_direct(t, a, p, n):
        return address(t, a, p)
    move(t, a, p, n, scratch, raw, False)
    return scratch


cdef void blend(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t n, void* weight, char* scratch,
                char* raw) noexcept nogil:
    # Move a block of the averages towards the weights that a rule has left there.
    cdef void* pair[2]
    pair[0], pair[1] = reach(t, AVERAGE, p, n, scratch, raw), weight
    c.blend[t.compute](pair, n, c.average)
    if pair[0] == scratch:
        move(t, AVERAGE, p, n, scratch, raw, True)


cdef void run_tensor(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end, char* scratch) noexcept nogil:
    cdef void* arrays[POINTERS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute if t.data[MIRROR] == NULL else 2]
    cdef Py_ssize_t stride = c.scratch_items * 8, n, step, rows = 1
    cdef char* raw = scratch + SLOTS * stride
    cdef unsigned int staged
    cdef int a
    if c.cautious != NULL:
        run_cautious(c, t, p, end, scratch)
        return
    if t.layout != NULL and t.layout.in_place and not c.noisy and not c.nsums and not c.by_row and (
            c.shrink == NULL and c.report == NULL) and (
            not t.narrow or c.narrow[t.narrow - 1] != NULL and c.average == NULL) and (
            c.average == NULL or t.kind[AVERAGE] == ROWS):
        run_rows(c, t, p, end)
        return
    if t.narrow and t.layout == NULL and c.narrow[t.narrow - 1] != NULL and c.average == NULL and c.shrink == NULL and (
            c.report == NULL):
        run_narrow(c, t, p, end)
        return
    if c.far and t.plain and t.layout == NULL and not c.noisy and not c.by_row and end - p > 2 * FAR_AHEAD * PART:
        run_far(c, t, p, end)
        return
    if c.by_row:
        step = t.layout.width
        if t.plain:  # all at once
            rows = (end - p) // step
        arrays[c.narrays] = &rows
    elif t.plain and not c.noisy and c.average == NULL and c.shrink == NULL and c.report == NULL:
        step = end - p
    else:
        step = BLOCK
    while p < end:
        n = min(step, end - p) if t.coded == NULL or c.nsums else whole_blocks(t, p, end - p)
        if c.report != NULL:
            n = min(n, SUM_BLOCK - p % SUM_BLOCK)
        if c.nsums:
            n = min(n, SUM_BLOCK - p % SUM_BLOCK)
            a = WEIGHT if t.data[MIRROR] == NULL else MIRROR
            if not c.sums_weight:
                point_to_sums(c, t, p, arrays, NULL)
            elif t.dtype[WEIGHT] == SPLIT:
                reach_rounded(t, p, n, scratch + MIRROR * stride, raw)
                point_to_sums(c, t, p, arrays, scratch + MIRROR * stride)
            else:
                point_to_sums(c, t, p, arrays, reach(t, a, p, n, scratch + MIRROR * stride, raw))
        staged = 0
        for a in range(c.narrays):
            arrays[a] = NULL
            if a == c.noisy and a:
                arrays[a] = scratch + a * stride
                NORMALS[t.compute](c.key, c.place + <uint64_t>(t.before + p), arrays[a], n)
            elif ((c.uses | c.looks) >> a) & 1:
                arrays[a] = reach(t, a, p, n, scratch + a * stride, raw)
                if arrays[a] == scratch + a * stride:
                    staged |= 1u << a
        if c.shrink != NULL:
            shrink(c, t, arrays, n, scratch + GRAD * stride)
        if c.report != NULL:
            memcpy(scratch + BEFORE * stride, arrays[WEIGHT], n * STORAGE[t.compute].itemsize)
        if staged and not c.by_row:
            run_parts(c, t, p, n, end, arrays, rule, scalars)
        else:
            rule(arrays, n, scalars)
        staged &= c.writes
        if staged:
            for a in range(c.narrays):
                if (staged >> a) & 1:
                    move(t, a, p, n, <char*>arrays[a], raw, True)
        if c.mirrored and t.data[MIRROR] != NULL and t.dtype[WEIGHT] != SPLIT:
            move(t, MIRROR, p, n, <char*>arrays[WEIGHT], raw, True)
        if (c.average != NULL or c.report != NULL) and t.dtype[WEIGHT] != t.compute:  # as they are stored: rounded
            move(t, WEIGHT, p, n, <char*>arrays[WEIGHT], raw, False)
        if c.report != NULL:
            measure(c, t, p, n, arrays, scratch + BEFORE * stride)
        if c.average != NULL:
            blend(c, t, p, n * rows, arrays[WEIGHT], scratch + AVERAGE * stride, raw)
        p += n * rows


cdef void check_tensor(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # In four places in turn, each of which the processor prefetches (30 million elements: 2.9 ms, 3.3 in one place).
    cdef char[PART * 8] block
    cdef Py_ssize_t n, quarter, at, itemsize = STORAGE[t.dtype[GRAD]].itemsize
    cdef char* source
    cdef int k
    if t.kind[GRAD] == EXPAND:  # the order of its rows does not matter, so take them from the front
        end = min(end, t.layout.nrows * t.layout.width)
    quarter = round_up((end - p + 3) // 4, PART)
    at = 0
    while at < quarter and not c.spoilt[0]:
        for k in range(4):
            n = min(<Py_ssize_t>PART, end - p - at - k * quarter)
            if n <= 0:
                break
            source = t.data[GRAD] + (p + at + k * quarter) * itemsize
            if t.kind[GRAD] == STRIDED:
                walk(t.layout.strided[GRAD], t.layout.rows, t.data[GRAD], p + at + k * quarter, n, block, itemsize, False)
                source = block
            if not STORAGE[t.dtype[GRAD]].finite(source, n):
                c.spoilt[0] = 1
        at += PART


cdef void run_line(const Pass* c, Py_ssize_t begin, Py_ssize_t end, char* scratch) noexcept nogil:
    # The part [begin, end) of the line. A unit that must stay whole (a row, a partial sum) belongs to
    # the part in which it begins.
    cdef Py_ssize_t low = 0, high = c.ntensors, middle, first, last, unit
    cdef const Tensor* t
    while low < high:  # the first tensor that ends after `begin`
        middle = (low + high) // 2
        if c.tensors[middle].start + c.tensors[middle].size <= begin:
            low = middle + 1
        else:
            high = middle
    while low < c.ntensors and c.tensors[low].start < end:
        t = &c.tensors[low]
        first = max(begin - t.start, 0)
        last = min(end - t.start, t.size)
        unit = unit_of(c, t)
        if unit > 1:
            first = round_up(first, unit)
            last = min(round_up(last, unit), t.size)
        if c.spoilt != NULL:
            check_tensor(c, t, first, last)
        elif first < last:
            run_tensor(c, t, first, last, scratch)
        low += 1


cdef void run_part(const Pass* c, Py_ssize_t begin, Py_ssize_t end, char* scratch) noexcept nogil:
    cdef mxopt_control control = mxopt_take_control(True)
    run_line(c, begin, end, scratch)
    mxopt_give_back(control)


cdef void run_share(const Pass* c, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t chunk, mxopt_counter* taken,
                    int threads, int own, char* scratch) noexcept nogil:
    # The chunks of its own share, which are likely in this core's cache, then those that slower threads have left.
    cdef Py_ssize_t nchunks = (end - begin + chunk - 1) // chunk, k
    cdef int turn, share
    for turn in range(threads):
        share = (own + turn) % threads
        while True:
            k = nchunks * share // threads + mxopt_take(&taken[share])
            if k >= nchunks * (share + 1) // threads:
                break
            run_part(c, begin + k * chunk, min(begin + (k + 1) * chunk, end), scratch)


cdef void run_threads(const Pass* c, Py_ssize_t begin, Py_ssize_t end, int threads, char* scratch,
                      Py_ssize_t per_thread) noexcept nogil:
    cdef mxopt_counter[MAX_THREADS] taken
    cdef Py_ssize_t chunk
    cdef int k
    if threads == 1 or mxopt_forked or (end - begin) * c.narrays < SERIAL_BELOW:
        run_part(c, begin, end, scratch)
        return
    threads = min(threads, MAX_THREADS)
    chunk = round_up((end - begin + 8 * threads - 1) // (8 * threads), LINE)
    memset(taken, 0, threads * sizeof(mxopt_counter))
    for k in prange(threads, schedule="static", chunksize=1, num_threads=threads):
        run_share(c, begin, end, chunk, taken, threads, k, scratch + k * per_thread)
