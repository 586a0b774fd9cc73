# Catching up rows of a table: a rule runs over a row once for each step that the row has missed, with the scalars of
# that step and a gradient of zeros. A row's steps follow one another while it is in L1.

cdef enum:
    # Neighbouring rows that have missed the same steps go together, up to so many elements.
    REPLAYED = 1024
    # Whether the steps still change anything is looked at in the first one and every 32nd: a copy and a comparison
    # of the row cost about as much as a step of Adam.
    LOOK_EVERY = 32
    REST_EVERY = 16  # how often it is asked whether rows rest, in steps
    REST_AHEAD = 8   # how many rows further on are prefetched


cdef Py_ssize_t bits_of(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t n, char* kept, bint compare) noexcept nogil:
    # Copy what the rule writes of these elements, or compare it with the copy: 0 if something differs.
    cdef Py_ssize_t width = t.layout.width, row, size, at = 0
    cdef char* place
    cdef int a
    for row in range(p // width, (p + n) // width):
        for a in range(SLOTS):
            if t.data[a] == NULL or (a == MIRROR and not c.mirrored) or (a != MIRROR and not (c.writes >> a) & 1):
                continue
            size = STORAGE[t.dtype[a]].itemsize * (1 if t.kind[a] == PER_ROW else width)
            place = t.data[a] + t.layout.rows[row] * size
            if not compare:
                memcpy(kept + at, place, size)
            elif memcmp(kept + at, place, size) != 0:
                return 0
            at += size
    return 1


cdef struct Rest:
    rests_fn function      # NULL: it is not known when a row rests
    const int* fades
    const double* zeros
    int32_t calm           # from this step on all scalars but the learning rate are the same
    double most            # the largest learning rate from then on


cdef bint lets_rest(const Pass* c, const Rest* rest, int compute, void** arrays, Py_ssize_t n, const double* scalars,
                    Py_ssize_t steps) noexcept nogil:
    # If rows rest, let their states fade over these steps.
    cdef int a
    if not rest.function(arrays, n, scalars, rest.most):
        return False
    for a in range(c.narrays):
        if rest.fades[a] >= 0:
            FADE[compute](arrays[a], n, scalars[rest.fades[a]], rest.zeros[a], steps)
    return True


cdef void replay_rows(const Pass* c, const Tensor* t, Py_ssize_t row, Py_ssize_t end, const int32_t* until, int32_t* since,
                      int32_t first, int32_t last, bint looks, const Rest* rest, char* scratch,
                      char* kept) noexcept nogil:
    cdef Tensor own = t[0]
    cdef Py_ssize_t width = t.layout.width, after, p, n
    cdef const int64_t* rows = t.layout.rows
    cdef Py_ssize_t asked = row
    cdef int32_t begin, step
    cdef bint look
    cdef mxopt_control control = mxopt_take_control(True)
    # Where a row lies ready for the rule, the rule is called without the detours that a single step can afford.
    cdef bint direct = t.layout.in_place and not c.by_row and (not t.narrow or c.narrow[t.narrow - 1] != NULL)
    cdef rule_fn rule = NULL
    cdef void* arrays[POINTERS]
    cdef Py_ssize_t itemsize = STORAGE[t.dtype[WEIGHT]].itemsize
    cdef int a
    if direct:
        rule = c.narrow[t.narrow - 1] if t.narrow else c.rules[t.compute]
    while row < end:
        begin = since[rows[row]]
        after = row + 1
        while after < end and since[rows[after]] == begin and (after + 1 - row) * width <= REPLAYED and (
                not direct or rows[after] == rows[after - 1] + 1):
            after += 1
        p, n = row * width, (after - row) * width
        step = begin
        if direct:
            while asked < min(row + REST_AHEAD, end):
                for a in range(c.narrays):
                    if (c.uses >> a) & 1 and t.kind[a] == ROWS:
                        ask_for(t.data[a] + rows[asked] * width * itemsize, min(width * itemsize, ROW_HEAD))
                asked += 1
            for a in range(c.narrays):
                arrays[a] = NULL
                if (c.uses >> a) & 1:
                    arrays[a] = t.data[a] + (rows[row] * width if t.kind[a] == ROWS else p) * itemsize
        while step < last:
            if direct and rest.function != NULL and (step - begin) % REST_EVERY == 0 and step >= rest.calm and (
                    lets_rest(c, rest, t.compute, arrays, n, c.scalars[t.compute] + (step - first) * c.nscalars,
                              last - step)):
                break
            look = looks and (step - begin) % LOOK_EVERY == 0 and until[step - first] > step + 1
            if look:
                bits_of(c, t, p, n, kept, False)
            own.row = step - first
            if direct:
                rule(arrays, n, c.scalars[t.compute] + own.row * c.nscalars)
            else:
                run_tensor(c, &own, p, p + n, scratch)
            step += 1
            if look and bits_of(c, t, p, n, kept, True):
                # A step that changed no bit will not change any with the same scalars either.
                step = min(until[own.row], last)
        while row < after:
            since[rows[row]] = last
            row += 1
    mxopt_give_back(control)


cdef int replay(Plan plan, Rule rule, object scalars, object singles, const int32_t[::1] until, int32_t[::1] since,
                int32_t first, int32_t calm, double most) except -1:
    cdef Stepping s
    cdef Tensor* t = &plan.tensors[0]
    cdef Layout* layout = t.layout
    cdef Py_ssize_t k, work = 0, room, per_thread, parts
    cdef int32_t last
    cdef int a, threads = 1, part
    cdef bint looks = True
    cdef Rest rest
    cdef char* scratch
    if plan.ntensors != 1 or layout == NULL or not layout.lazy:
        raise ValueError("rows are caught up table by table")
    if plan.ndrawn or rule.nsums:
        raise ValueError(f"{rule!r} cannot be replayed row by row")
    plan.choose_rows(None, len(scalars))
    kept = plan.ready(rule, scalars, singles, None, &s, 0)
    s.passes[0].far = False
    last = first + <int32_t>len(scalars)
    if until.shape[0] < len(scalars) or since.shape[0] != (<cnp.ndarray>plan.owners[0][0]).shape[0]:
        raise ValueError("every step needs the end of its run, every row its count")
    for k in range(layout.nrows):
        if not first <= since[layout.rows[k]] <= last:
            raise ValueError("a row lags further behind than the log of steps goes")
        work += last - since[layout.rows[k]]
    if work == 0:
        return 0
    for a in range(SLOTS):
        looks = looks and (t.data[a] == NULL or a == GRAD or t.kind[a] == ROWS or t.kind[a] == PER_ROW)
    rest.function = NULL if t.narrow else rule.rests[t.compute]
    rest.fades, rest.zeros, rest.calm, rest.most = rule.fades, rule.zeros, calm, most
    if work * layout.width * plan.narrays >= SERIAL_BELOW:
        threads = min(get_num_threads(), MAX_THREADS)
    room = (SLOTS + 1) * s.passes[0].scratch_items * 8
    per_thread = round_up(room + SLOTS * 8 * max(<Py_ssize_t>REPLAYED, layout.width), 64)
    scratch = <char*>malloc(threads * per_thread)
    if scratch == NULL:
        raise MemoryError
    parts = 1 if threads == 1 else min(layout.nrows, 16 * threads)
    with nogil:
        if threads == 1:
            replay_rows(&s.passes[0], t, 0, layout.nrows, &until[0], &since[0], first, last, looks, &rest, scratch,
                        scratch + room)
        else:
            for part in prange(parts, schedule="dynamic", chunksize=1, num_threads=threads):
                replay_rows(&s.passes[0], t, layout.nrows * part // parts, layout.nrows * (part + 1) // parts, &until[0],
                            &since[0], first, last, looks, &rest, scratch + threadid() * per_thread,
                            scratch + threadid() * per_thread + room)
    free(scratch)
    return 0


def replay_steps(Plan plan not None, Rule rule not None, scalars not None, singles not None,
                 const int32_t[::1] until not None, int32_t[::1] since not None, int32_t first, int32_t calm,
                 double most):
    """Run a rule over rows of a table, once for each step that a row has missed, with a gradient of zeros.

    Parameters
    ----------
    plan : Plan
        Of one tensor with a row-sparse gradient of zeros, updated lazily: its rows are caught up.
    rule : Rule
    scalars, singles : float64 array (steps, m)
        The scalars of each step, for double and single arithmetic.
    until : int32 array (steps,)
        For each step the first later one with other scalars.
    since : int32 array (rows of the table,)
        The step from which on a row has missed them all. Written.
    first : int
        The number of the first step in `scalars`.
    calm : int
        The step from which on all scalars but the learning rate are the same.
    most : float
        The largest learning rate from then on.
    """
    replay(plan, rule, scalars, singles, until, since, first, calm, most)
