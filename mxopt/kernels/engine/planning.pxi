# Making a plan: every array of a call is looked at and its address noted, or the call is refused.
#
# Refused carries a code, the tensor, the role of its array (see Range) and what is wrong with it; `mxopt.checks` has
# the table of codes with the sentence for each.


cdef struct Stepping:
    # What one call runs, rule by rule, and where the sums of a rule go among the scalars of the next.
    int npasses
    Pass passes[MAX_PASSES]
    double few[2 * MAX_SCALARS]  # scalars, where one row serves all tensors
    double* table[2]             # else by compute type; written to between the rules
    Cautious cautious            # what the last rule's pass points to, if it is cautious
    bint is_cautious
    double* scales               # of each tensor; counted when it has run
    const int* numbers           # not NULL: where the new numbers of the tensors are among the last rule's scalars
    Py_ssize_t width
    Choice* choices[MAX_PASSES]  # of how to run each, where there is one
    bint second[MAX_PASSES]
    int columns[MAX_PASSES][MAX_SCALARS]


cdef int dtype_of(cnp.ndarray array) noexcept:
    # -1: a dtype that the engine does not step.
    global bfloat16_num
    cdef int num = cnp.PyArray_TYPE(array)
    if num < 0 or not cnp.PyArray_ISNOTSWAPPED(array):  # below 0 are the newest dtypes, all of them alike
        return -1
    if num == cnp.NPY_FLOAT32:
        return F32
    if num == cnp.NPY_FLOAT64:
        return F64
    if num == cnp.NPY_FLOAT16:
        return F16
    if num == bfloat16_num:
        return BF16
    if bfloat16_num < 0 and array.dtype.name == "bfloat16" and cnp.PyArray_ITEMSIZE(array) == 2:
        bfloat16_num = num
        return BF16
    return -1


cdef inline void ask_for_shape(PyObject* array) noexcept:
    if is_exact_array(array):
        mxopt_prefetch(dims_of(<Array*>array))


@cython.freelist(8)
cdef class Plan:
    """The checked description of one call.

    Parameters
    ----------
    rule : Rule
        The first rule that will run; the others must have the same arrays.
    weights, grads : list of ndarray
        No `grads` (and no `states`): for rules of one array.
    states : list
        Per tensor None, an array, or a tuple of arrays, None and tuples; None entries are left out.
    master : int
        Where the float32 master copy is in the state pair of a 16-bit weight (0 or 1); -1: no masters.
    rows : list of (None or int64 array), optional
        The row indices of row-sparse gradients, whose `grads` entries are their rows.
    lazy : bool or list of bool
        Whether row-sparse gradients touch only their rows; a list says it of each.
    ordered : bool
        Whether elements are visited in C order whatever the memory's order is: for rules with sums.

    Raises
    ------
    Refused
        With what is wrong and where. Nothing has been changed.
    """

    cdef Tensor* tensors
    cdef Py_ssize_t ntensors, total, nelements, nsum_blocks, widest
    cdef int narrays, nstates, ndrawn
    cdef unsigned int per_row, per_tensor
    cdef bint by_row, lazy, mirrored, staged, rowed, ordered, alone
    cdef list lazies  # of each tensor; None: `lazy` holds for all
    cdef tuple owners  # weights, gradients and states, which keep every array alive while its address is used
    cdef list sparse   # the tensors with row-sparse gradients; None: there are no such gradients
    cdef Range* ranges  # of the arrays that `add` has placed
    cdef list splits    # masters in two halves, and their weights; None: there are none
    cdef list placed    # these arrays: a state may be a list, and change; None: there are none
    cdef Py_ssize_t nranges
    cdef bint any_strided
    cdef bint any_random  # some states are rounded at random, so that a step needs the numbers of the updates
    cdef bint numbered
    cdef unsigned int row_blocks  # the arrays in codes whose blocks end with rows
    cdef object add_blocks  # not None: adds the partial sums, of tensors that are parts of larger ones
    cdef list averages  # of each tensor: see `average`
    cdef list marks
    cdef double rate, factor
    cdef Rule blending, scaling, measuring
    cdef object measured  # the report's sums by block of sums; None: there is none

    def __cinit__(self):
        self.tensors = NULL
        self.ranges = NULL

    def __init__(self, Rule rule not None, list weights not None, list grads=None, list states=None, int master=-1,
                 list rows=None, object lazy=False, bint ordered=False):
        self.describe(rule, weights, grads, states, master, rows, lazy, ordered)

    cdef int describe(self, Rule rule, list weights, list grads, list states, int master, list rows, object lazy,
                      bint ordered) except -1:
        cdef Py_ssize_t n = PyList_GET_SIZE(weights), i
        if self.tensors != NULL:
            raise RuntimeError("a plan is made once")
        self.alone = grads is None
        if self.alone:
            grads, states = weights, [None] * n
        self.narrays = len(rule.arrays)
        self.ndrawn = rule.drawn
        self.nstates = max(self.narrays - 2 - self.ndrawn, 0)
        self.by_row, self.per_row, self.per_tensor = rule.by_row, rule.per_row, rule.per_tensor
        if isinstance(lazy, list):
            self.lazies = list(lazy)
        else:
            self.lazy = lazy is not False and lazy != "exact"  # by itself a step keeps rows exact by visiting all
        # A drawn input and sums follow the elements, not the memory.
        self.ordered = ordered or self.ndrawn
        # From here on only these copies are read: the caller's lists may change at any time.
        weights, grads, states = list(weights), list(grads), list(states)
        self.owners = (weights, grads, states)
        if rows is not None:
            rows = list(rows)
            self.sparse = []
            for i in range(n):
                if rows[i] is not None:
                    self.sparse.append(i)
        if PyList_GET_SIZE(weights) != n or PyList_GET_SIZE(grads) != n or PyList_GET_SIZE(states) != n or (
                rows is not None and PyList_GET_SIZE(rows) != n) or (
                self.lazies is not None and PyList_GET_SIZE(self.lazies) != n):
            raise Refused("lengths", -1, 0)
        self.tensors = <Tensor*>calloc(max(n, 1), sizeof(Tensor))
        if self.tensors == NULL:
            raise MemoryError
        for i in range(n):
            self.ntensors = i + 1
            self.look_ahead(weights, grads, states, i)
            if (rows is None or rows[i] is None) and self.add_plain(
                    i, PyList_GET_ITEM(weights, i), PyList_GET_ITEM(grads, i), PyList_GET_ITEM(states, i)):
                continue
            if self.ranges == NULL:  # one for each array, its scales, and a weight beside its master
                self.ranges = <Range*>malloc((n - i) * (3 + 2 * self.nstates) * sizeof(Range))
                if self.ranges == NULL:
                    raise MemoryError
            self.tensors[i].ranged = True
            self.add(i, weights[i], grads[i], states[i], master, None if rows is None else rows[i])
        refuse_overlaps(self)
        if self.total * self.narrays >= SERIAL_BELOW:
            get_num_threads()  # warns, where there are none to be had, before anything changes
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t i
        cdef int a
        if self.tensors != NULL:
            for i in range(self.ntensors):
                if self.tensors[i].layout != NULL:
                    for a in range(SLOTS):
                        free(self.tensors[i].layout.strided[a])
                    free(self.tensors[i].layout.rows)
                    free(self.tensors[i].layout)
                free(self.tensors[i].coded)
            free(self.tensors)
        free(self.ranges)

    @property
    def by_rows(self):
        """Of each tensor, whether the rule visits the rows of its gradient alone; None: of none."""
        if self.sparse is None or not (self.lazy or self.lazies is not None):
            return None
        sparse = {i for i in self.sparse if self.is_lazy(i)}
        return list(map(sparse.__contains__, range(self.ntensors)))

    def are_parts(self, sizes, add_blocks):
        """Say that the tensors are parts of larger ones, which begin at multiples of `WHOLE_SUM` elements.

        Parameters
        ----------
        sizes : list of int
            The elements of the whole tensors.
        add_blocks : callable
            Is given the sums of the blocks of all parts, float64 (number of blocks, number of sums), instead of adding
            them, and returns those of the whole tensors.
        """
        cdef Py_ssize_t i
        if len(sizes) != self.ntensors:
            raise ValueError("sizes must have one entry a tensor")
        for i in range(self.ntensors):
            self.tensors[i].lanes = sizes[i] > SUM_BLOCK
        self.add_blocks = add_blocks

    @property
    def sizes(self):
        """How many elements each tensor has: int64 array (number of tensors,)."""
        sizes = np.empty(self.ntensors, np.int64)
        cdef int64_t[::1] to = sizes
        for i in range(self.ntensors):
            to[i] = self.tensors[i].size
        return sizes

    @property
    def elements(self):
        """How many elements the rule visits."""
        return self.nelements

    cdef int take(self, object state, list found, Py_ssize_t i, int depth=0) except -1:
        # The arrays of a nested state, in order.
        if state is None:
            return 0
        if isinstance(state, (cnp.ndarray, Narrow)):
            found.append(state)
        elif isinstance(state, (tuple, list)):
            if depth == MAX_DEPTH:
                raise Refused("deep", i, 2, depth)
            for part in state:
                self.take(part, found, i, depth + 1)
        else:
            raise Refused("state", i, 2, type(state).__name__)
        return 0

    cdef list arrays_in(self, object state, Py_ssize_t i):
        cdef list found = []
        self.take(state, found, i)
        return found

    cdef int place(self, Py_ssize_t i, int slot, cnp.ndarray array, int role, bint written, int dtype=-1) except -1:
        # Note one array of tensor i. role: what to call it when it is refused. dtype: of a code.
        cdef Tensor* t = &self.tensors[i]
        if dtype < 0:
            dtype = dtype_of(array)
        if not cnp.PyArray_CheckExact(array) and hasattr(array, "_mask"):
            raise Refused("masked", i, role)
        if dtype < 0:
            raise Refused("dtype", i, role, str(array.dtype))
        if not cnp.PyArray_ISALIGNED(array):
            raise Refused("aligned", i, role)
        if written and not cnp.PyArray_ISWRITEABLE(array):
            raise Refused("read-only", i, role)
        t.data[slot] = <char*>cnp.PyArray_DATA(array)
        t.dtype[slot] = dtype
        self.note_range(i, role, array, written)
        return 0

    cdef int note_range(self, Py_ssize_t i, int role, cnp.ndarray array, bint written) except -1:
        if cnp.PyArray_SIZE(array) > 0:
            extent(array, &self.ranges[self.nranges].low, &self.ranges[self.nranges].high)
            self.ranges[self.nranges].tensor, self.ranges[self.nranges].role = i, role
            self.ranges[self.nranges].written = written
            self.nranges += 1
            if self.placed is None:
                self.placed = []
            self.placed.append(array)
        return 0

    cdef inline void look_ahead(self, list weights, list grads, list states, Py_ssize_t i) noexcept:
        # Array objects and their shapes are scattered in memory: prefetch the next ones, in the order in which
        # one points to the next.
        cdef Py_ssize_t n = PyList_GET_SIZE(weights)
        cdef PyObject* state
        cdef int a
        if i + 3 * LOOK_AHEAD < n:
            mxopt_prefetch(PyList_GET_ITEM(states, i + 3 * LOOK_AHEAD))
        if i + 2 * LOOK_AHEAD < n:
            mxopt_prefetch(PyList_GET_ITEM(weights, i + 2 * LOOK_AHEAD))
            mxopt_prefetch(PyList_GET_ITEM(grads, i + 2 * LOOK_AHEAD))
            state = PyList_GET_ITEM(states, i + 2 * LOOK_AHEAD)
            if PyTuple_CheckExact(<object>state):
                for a in range(PyTuple_GET_SIZE(<object>state)):
                    mxopt_prefetch(PyTuple_GET_ITEM(<object>state, a))
        if i + LOOK_AHEAD < n:
            ask_for_shape(PyList_GET_ITEM(weights, i + LOOK_AHEAD))
            ask_for_shape(PyList_GET_ITEM(grads, i + LOOK_AHEAD))
            state = PyList_GET_ITEM(states, i + LOOK_AHEAD)
            if PyTuple_CheckExact(<object>state):
                for a in range(PyTuple_GET_SIZE(<object>state)):
                    ask_for_shape(PyTuple_GET_ITEM(<object>state, a))

    cdef bint add_plain(self, Py_ssize_t i, PyObject* weight, PyObject* grad, PyObject* state) noexcept:
        # Most tensors: exact ndarrays of one dtype (float32 or float64), one shape, C order. For any other, or
        # where something is wrong, this notes nothing and leaves it to `add`.
        cdef PyObject* arrays[MAX_ARRAYS]
        cdef Array* array
        cdef Array* w = <Array*>weight
        cdef Tensor* t = &self.tensors[i]
        cdef int a, d, ndim, need
        cdef Py_ssize_t size = 1
        arrays[WEIGHT], arrays[GRAD] = weight, grad
        if self.by_row or self.per_row or self.per_tensor or not is_exact_array(weight):
            return False
        if self.nstates == 0:
            if state != <PyObject*>None:
                return False
        elif self.nstates == 1:
            arrays[2] = state
        elif not PyTuple_CheckExact(<object>state) or PyTuple_GET_SIZE(<object>state) != self.nstates:
            return False
        else:
            for a in range(self.nstates):
                arrays[2 + a] = PyTuple_GET_ITEM(<object>state, a)
        if descr_of(w) != <void*>float32 and descr_of(w) != <void*>float64:
            return False
        ndim = ndim_of(w)
        for d in range(ndim):
            size *= dims_of(w)[d]
        for a in range(2 + self.nstates):
            array = <Array*>arrays[a]
            need = cnp.NPY_ARRAY_CARRAY_RO if a == GRAD else cnp.NPY_ARRAY_CARRAY
            if (not is_exact_array(arrays[a]) or descr_of(array) != descr_of(w) or ndim_of(array) != ndim
                    or (flags_of(array) & need) != need):
                return False
            for d in range(ndim):
                if dims_of(array)[d] != dims_of(w)[d]:
                    return False
        t.compute = F32 if descr_of(w) == <void*>float32 else F64
        for a in range(2 + self.nstates):
            t.data[a] = data_of(<Array*>arrays[a])
            t.dtype[a] = t.compute
        if self.ndrawn:
            t.dtype[self.narrays - 1] = t.compute
        t.plain = True
        self.settle(t, size)
        return True

    cdef inline void settle(self, Tensor* t, Py_ssize_t size) noexcept:
        # Give a tensor its place on the line.
        t.size = size
        t.start = self.total
        t.first_sum = self.nsum_blocks
        t.before = self.nelements
        self.total += round_up(size, LINE)
        self.nsum_blocks += (size + SUM_BLOCK - 1) // SUM_BLOCK
        t.lanes = size > SUM_BLOCK
        self.nelements += size

    cdef inline bint is_lazy(self, Py_ssize_t i) except -1:
        return self.lazy if self.lazies is None else self.lazies[i]

    cdef int add(self, Py_ssize_t i, object weight, object grad, object state, int master, object rows) except -1:
        cdef Tensor* t = &self.tensors[i]
        cdef cnp.ndarray w, g, main, mirror, array
        cdef list found
        cdef Py_ssize_t nrows, k
        cdef int slot, a, d, ndim
        cdef bint sparse = rows is not None, lazy = self.is_lazy(i), all_c, all_f
        if not isinstance(weight, cnp.ndarray):
            raise Refused("array", i, 0, type(weight).__name__)
        if not isinstance(grad, (cnp.ndarray, Split)):
            raise Refused("array", i, 1, type(grad).__name__)
        w = weight
        g = (<Split>grad).low if type(grad) is Split else grad
        main = mirror = w
        self.place(i, WEIGHT, w, 0, True)
        ndim = cnp.PyArray_NDIM(w)
        if master >= 0 and (t.dtype[WEIGHT] == F16 or t.dtype[WEIGHT] == BF16):
            if not isinstance(state, (tuple, list)) or len(state) != 2 or not isinstance(
                    state[master], (cnp.ndarray, Split)):
                raise Refused("pair", i, 2)
            t.data[MIRROR] = t.data[WEIGHT]
            t.dtype[MIRROR] = t.dtype[WEIGHT]
            if type(state[master]) is Split:
                main = self.place_split(i, WEIGHT, state[master], w)
            else:
                main = state[master]
                self.place(i, WEIGHT, main, -1, True)
            state = state[1 - master]
            if t.dtype[WEIGHT] != F32 and t.dtype[WEIGHT] != F64 and t.dtype[WEIGHT] != SPLIT:
                raise Refused("dtype", i, -1, str(main.dtype))
            if not same_shape(main, w):
                raise Refused("shape", i, -1)
            self.mirrored = True
        t.compute = F64 if t.dtype[WEIGHT] == F64 else F32
        if t.data[MIRROR] != NULL and t.compute == F64:
            raise Refused("dtype", i, -1, "float64")

        # The gradient: the weight's shape, or the rows of it. For averages, a master.
        if type(grad) is Split:
            mirror = (<Split>grad).weight
            self.place(i, MIRROR, mirror, 1, False)
            self.place(i, GRAD, g, 1, False, SPLIT)
            if t.dtype[WEIGHT] != F32 or t.dtype[MIRROR] != BF16 or not same_shape(mirror, g):
                raise Refused("dtype", i, 1, str(mirror.dtype))
        elif not self.alone:
            self.place(i, GRAD, g, 1, False)
        if sparse:
            if ndim < 1:
                raise Refused("sparse-scalar", i, 1)
            self.check_rows(i, w, g, rows)
        elif not same_shape(g, w):
            raise Refused("shape", i, 1)

        # The states, then a drawn input.
        found = self.arrays_in(state, i)
        if len(found) != self.nstates:
            raise Refused("count", i, 2, len(found), self.nstates)
        for a in range(self.nstates):
            slot = 2 + a
            if type(found[a]) is Narrow:
                self.place_coded(i, slot, found[a])
                found[a] = array = (<Narrow>found[a]).q
            else:
                array = found[a]
                self.place(i, slot, array, slot, True)
            if (self.per_tensor >> slot) & 1:
                if cnp.PyArray_NDIM(array) != 0:
                    raise Refused("number", i, slot, (<object>array).shape)
                if t.dtype[slot] != F32 and t.dtype[slot] != F64:
                    raise Refused("dtype", i, slot, str(array.dtype))
                continue
            if t.dtype[slot] < DTYPES and STORAGE[t.dtype[slot]].store[t.compute] == NULL and (
                    t.dtype[slot] != t.compute):
                raise Refused("dtype", i, slot, str(array.dtype))
            if (self.per_row >> slot) & 1:
                if ndim < 1 or cnp.PyArray_SIZE(array) != cnp.PyArray_DIM(w, 0):
                    raise Refused("shape", i, slot)
                if not cnp.PyArray_IS_C_CONTIGUOUS(array):
                    raise Refused("contiguous", i, slot)
            elif not same_shape(array, w):
                raise Refused("shape", i, slot)
        if self.ndrawn:
            t.dtype[self.narrays - 1] = t.compute  # FLAT: `run` sets its address

        # Layouts. One memory order for all arrays is as good as flat, unless rows matter.
        all_c = cnp.PyArray_IS_C_CONTIGUOUS(w) and cnp.PyArray_IS_C_CONTIGUOUS(main) and cnp.PyArray_IS_C_CONTIGUOUS(g)
        all_f = cnp.PyArray_IS_F_CONTIGUOUS(w) and cnp.PyArray_IS_F_CONTIGUOUS(main) and cnp.PyArray_IS_F_CONTIGUOUS(g)
        for a in range(self.nstates):
            if not ((self.per_row | self.per_tensor) >> (2 + a)) & 1:
                all_c = all_c and cnp.PyArray_IS_C_CONTIGUOUS(found[a])
                all_f = all_f and cnp.PyArray_IS_F_CONTIGUOUS(found[a])
        all_c = all_c and cnp.PyArray_IS_C_CONTIGUOUS(mirror)
        all_f = all_f and cnp.PyArray_IS_F_CONTIGUOUS(mirror) and not self.ordered
        t.plain = t.data[MIRROR] == NULL
        for a in range(self.narrays):
            t.plain = t.plain and (t.dtype[a] == t.compute or (self.per_tensor >> a) & 1)
        t.narrow = self.narrowness(t)
        if sparse or self.by_row or not (all_c or all_f):
            t.layout = <Layout*>calloc(1, sizeof(Layout))
            if t.layout == NULL:
                raise MemoryError
            nrows = cnp.PyArray_DIM(w, 0) if ndim > 0 else 1
            t.layout.width = max(cnp.PyArray_SIZE(w) // max(nrows, 1), 1)
            if sparse:
                self.take_rows(t, w, rows, i)
                t.layout.lazy = lazy
            t.plain = t.plain and not sparse and all_c
            self.lay(i, WEIGHT, main, sparse and lazy)
            if t.data[MIRROR] != NULL:
                self.lay(i, MIRROR, mirror, sparse and lazy)
            if sparse and not lazy:
                t.kind[GRAD] = EXPAND
                if not cnp.PyArray_IS_C_CONTIGUOUS(g):
                    raise Refused("contiguous", i, 1)
            else:
                self.lay(i, GRAD, g, False)
            for a in range(self.nstates):
                if t.dtype[2 + a] >= DTYPES and not cnp.PyArray_IS_C_CONTIGUOUS(found[a]):
                    raise Refused("contiguous", i, 2 + a)
                if (self.per_row >> (2 + a)) & 1:
                    t.kind[2 + a] = PER_ROW
                elif not (self.per_tensor >> (2 + a)) & 1:
                    self.lay(i, 2 + a, found[a], sparse and lazy)
            t.layout.in_place = sparse and lazy and t.data[MIRROR] == NULL
            for a in range(self.narrays):
                t.layout.in_place = t.layout.in_place and ((self.per_tensor >> a) & 1 or (
                    (t.dtype[a] == t.compute or t.narrow) and (t.kind[a] == FLAT or t.kind[a] == ROWS)))
            if not t.plain and self.by_row:
                self.widest = max(self.widest, t.layout.width)
        if t.coded != NULL and t.coded.has_scales and not t.coded.row and sparse and lazy:
            raise Refused("flat-blocks", i, 0)
        self.staged = self.staged or not t.plain
        self.settle(t, cnp.PyArray_SIZE(g) if sparse and lazy else cnp.PyArray_SIZE(w))
        return 0

    cdef cnp.ndarray place_split(self, Py_ssize_t i, int slot, Split master, cnp.ndarray w):
        # Note the low halves of a master.
        if self.tensors[i].dtype[MIRROR] != BF16:
            raise Refused("split", i, -1, str(w.dtype))
        self.place(i, slot, master.low, -1, True, SPLIT)
        if self.splits is None:
            self.splits = []
        self.splits.append((master, w))
        return master.low

    cdef int place_coded(self, Py_ssize_t i, int slot, Narrow state) except -1:
        # Note a state that is kept in a code.
        cdef Tensor* t = &self.tensors[i]
        cdef bint by_rows
        self.place(i, slot, state.q, slot, True, state.kind)
        if t.compute != F32 or ((self.per_row | self.per_tensor) >> slot) & 1:
            raise Refused("dtype", i, slot, state.quantiser)
        if state.kind < DTYPES:
            return 0
        if t.coded == NULL:
            t.coded = <Coded*>calloc(1, sizeof(Coded))
            if t.coded == NULL:
                raise MemoryError
        t.coded.seeds[slot] = state.seed
        if state.kind == BF16_RANDOM:
            t.coded.is_random = self.any_random = True
        if state.scale is None:
            return 0
        by_rows = state.scale.ndim == 2
        if t.coded.has_scales and by_rows != (t.coded.row != 0):
            raise Refused("blocks", i, slot)
        t.coded.has_scales = True
        if by_rows:
            self.row_blocks |= 1u << slot
            t.coded.row = max(cnp.PyArray_SIZE(state.q) // max(cnp.PyArray_DIM(state.q, 0), 1), 1)
        t.coded.scales[slot] = <float*>cnp.PyArray_DATA(state.scale)
        self.note_range(i, slot, state.scale, True)
        return 0

    cdef int narrowness(self, const Tensor* t) noexcept:
        # See Tensor.narrow: one 16-bit type throughout. With float32 masters it does not pay: seven arrays of two
        # widths in registers take a sixth longer than blocks in scratch.
        cdef int a, dtype = t.dtype[WEIGHT]
        if dtype != F16 and dtype != BF16 or self.by_row or self.ndrawn:
            return 0
        for a in range(self.narrays):
            if t.dtype[a] != dtype and not (self.per_tensor >> a) & 1:
                return 0
        return 1 + (dtype == BF16)

    cdef int check_rows(self, Py_ssize_t i, cnp.ndarray w, cnp.ndarray g, object rows) except -1:
        cdef cnp.ndarray array
        cdef int d
        if not isinstance(rows, cnp.ndarray) or cnp.PyArray_TYPE(rows) != cnp.NPY_INT64:
            raise Refused("rows", i, 1)
        array = rows
        if cnp.PyArray_NDIM(array) != 1 or not cnp.PyArray_ISCARRAY_RO(array):
            raise Refused("rows", i, 1)
        if cnp.PyArray_NDIM(g) != cnp.PyArray_NDIM(w) or cnp.PyArray_DIM(g, 0) != cnp.PyArray_DIM(array, 0):
            raise Refused("shape", i, 1)
        for d in range(1, cnp.PyArray_NDIM(w)):
            if cnp.PyArray_DIM(g, d) != cnp.PyArray_DIM(w, d):
                raise Refused("shape", i, 1)
        return 0

    cdef int take_rows(self, Tensor* t, cnp.ndarray w, cnp.ndarray rows, Py_ssize_t i) except -1:
        # A copy, then its check: another thread may write into the caller's array while the plan runs.
        cdef Py_ssize_t k, n = cnp.PyArray_DIM(rows, 0), limit = cnp.PyArray_DIM(w, 0)
        cdef int64_t* at = <int64_t*>malloc(max(n, 1) * sizeof(int64_t))
        if at == NULL:
            raise MemoryError
        t.layout.rows, t.layout.nrows = at, n
        memcpy(at, cnp.PyArray_DATA(rows), n * sizeof(int64_t))
        for k in range(n):
            if at[k] < 0 or at[k] >= limit:
                raise Refused("row", i, 1, at[k])
            if k > 0 and at[k] <= at[k - 1]:
                raise Refused("order", i, 1, at[k])
        return 0

    cdef int lay(self, Py_ssize_t i, int slot, cnp.ndarray array, bint mapped) except -1:
        # How the elements of this array are reached.
        cdef Tensor* t = &self.tensors[i]
        cdef Strides* s
        cdef int d, ndim = cnp.PyArray_NDIM(array)
        if cnp.PyArray_IS_C_CONTIGUOUS(array):
            t.kind[slot] = ROWS if mapped else FLAT
            return 0
        if ndim > MAX_DIMS:
            raise Refused("contiguous", i, slot)
        if slot != GRAD and repeats_itself(array):
            raise Refused("itself", i, slot)
        s = <Strides*>calloc(1, sizeof(Strides))
        if s == NULL:
            raise MemoryError
        t.layout.strided[slot] = s
        t.kind[slot] = STRIDED
        s.ndim = ndim
        s.mapped = mapped
        for d in range(ndim):
            s.shape[d] = cnp.PyArray_DIM(array, d)
            s.strides[d] = cnp.PyArray_STRIDE(array, d)
        if mapped:
            s.shape[0] = t.layout.nrows
        self.any_strided = True
        return 0

    cpdef int compare(self) except -1:
        """Refuse to run if an array was given other memory after it was looked at.

        A scheduler or another thread may do that. After its last line of Python, `run` itself compares what costs nothing
        to compare, and everything if there are other threads. Callers that have run the user's code since the plan was
        made call this first.
        """
        cdef Py_ssize_t i, k
        cdef int a, count = 1 if self.alone else 2 + self.nstates
        cdef uintptr_t low, high
        cdef PyObject* array
        cdef PyObject* state
        cdef Tensor* t
        for i in range(self.ntensors):
            t = &self.tensors[i]
            if self.ntensors > FEW:
                self.look_ahead(<list>self.owners[0], <list>self.owners[1], <list>self.owners[2], i)
            if t.ranged:
                continue
            state = PyList_GET_ITEM(<list>self.owners[2], i)
            for a in range(count):
                if a <= GRAD:
                    array = PyList_GET_ITEM(<list>self.owners[a], i)
                else:
                    array = state if self.nstates == 1 else PyTuple_GET_ITEM(<object>state, a - 2)
                if data_of(<Array*>array) != t.data[a] or size_of(<Array*>array) != t.size:
                    raise Refused("moved", i, a)
        for k in range(self.nranges):
            extent(self.placed[k], &low, &high)
            if low != self.ranges[k].low or high != self.ranges[k].high:
                raise Refused("moved", self.ranges[k].tensor, self.ranges[k].role)
        return 0

    def finite(self):
        """Whether every element of every gradient is finite."""
        cdef Pass c
        cdef int threads = get_num_threads() if self.total >= SERIAL_BELOW else 1, spoilt = 0
        c.tensors, c.ntensors, c.spoilt = self.tensors, self.ntensors, &spoilt
        c.by_row, c.nsums, c.narrays, c.far = False, 0, 1, False
        c.noisy, c.cautious, c.average, c.shrink, c.report = 0, NULL, NULL, NULL, NULL
        self.compare()
        with nogil:
            run_threads(&c, 0, self.total, threads, NULL, 0)
        return not spoilt

    def run(self, Rule rule not None, object scalars not None, const int[::1] rows=None, object singles=None,
            object draw=None, tuple noise=None):
        """Run one rule over the plan.

        Parameters
        ----------
        rule : Rule
            Its arrays are those of the plan's rule, or the first of them.
        scalars : list of k tuples, or float64 array (k, m)
            The rule's scalars, first; it may be followed by others.
        rows : int32 array (number of tensors,), optional
            Each tensor's row of `scalars`; all use row 0 when not given.
        singles : like `scalars`, optional
            What float32 arithmetic takes instead.
        draw : callable, optional
            Fills an array with a rule's drawn input; called tensor by tensor, in the order of elements.
        noise : (key, place), optional
            Instead: the drawn input is of normal numbers (see `normals`), of all tensors one after the other.

        Returns
        -------
        sums : float64 array (number of tensors, rule.nsums) or None
        """
        cdef Stepping s
        cdef double[:, ::1] added
        s.numbers, s.is_cautious = NULL, False
        self.choose_rows(rows, len(scalars))
        kept = self.ready(rule, scalars, singles, noise, &s, 0)
        result = np.zeros((self.ntensors, rule.nsums)) if rule.nsums and self.add_blocks is None else None
        s.npasses = 1
        self.go(&s, draw, None)
        if rule.nsums and self.add_blocks is not None:
            return self.add_blocks(kept[1])
        if rule.nsums and self.ntensors:
            added = result
            self.add_up(&s.passes[0], &added[0, 0], rule.nsums, NULL)
        return result

    def step(self, list rules not None, Scalars scalars not None, list columns=None, object draw=None, Ledger ledger=None,
             tuple noise=None, tuple cautious=None):
        """Run rules one after the other. Whatever can fail comes first and changes nothing; then all changes.

        Parameters
        ----------
        rules : list of Rule
            Their arrays are those of the plan's rule, or the first of them.
        scalars : Scalars
        columns : list of (tuple of int or None), optional
            For each rule but the last, which scalars of the rules after it its sums are; every tensor has a row of
            its own then (`Scalars.each`).
        draw, noise : optional
            As for `run`.
        ledger : Ledger, optional
            Written just before the first element changes; an error of its own leaves all as it was.
        cautious : (float64 array (number of tensors,), float), optional
            Undo moves of the last rule that do not go down the gradient: of each tensor, the share of the weight that
            decoupled decay leaves, and the sign of the gradients' scale.
        """
        self.take_step(rules, scalars, columns, draw, ledger, noise, cautious)

    cdef int take_step(self, list rules, Scalars scalars, list columns, object draw, Ledger ledger, tuple noise,
                       tuple cautious=None) except -1:
        cdef Stepping s
        cdef object held = None
        cdef Rule rule
        cdef double[:, ::1] table, single
        cdef Py_ssize_t i, k
        if not 1 <= len(rules) <= MAX_PASSES:
            raise ValueError(f"a step runs 1 to {MAX_PASSES} rules, got {len(rules)}")
        if scalars.rows is not None or self.rowed:
            self.choose_rows(scalars.rows, len(scalars.table))
        s.npasses = len(rules)
        rule = rules[s.npasses - 1]
        s.numbers = rule.number if self.per_tensor else NULL
        s.is_cautious = False
        if s.npasses == 1:  # the common call
            one = self.ready(rules[0], scalars.table, scalars.singles, noise, &s, 0)
            if self.averages is not None or self.measured is not None:
                self.do_too(&s)
            if cautious is not None:
                held = self.beware(&s, cautious)
            self.go(&s, draw, ledger)
            return 0
        kept = []
        if s.npasses > 1:
            table, single = scalars.table, scalars.singles
            if self.add_blocks is not None:
                raise ValueError("the sums of parts are added between the rules; run them one by one")
            if columns is None or len(columns) < s.npasses - 1 or table.shape[0] != self.ntensors:
                raise ValueError("sums need columns, and a row of scalars for each tensor")
        for i in range(s.npasses):
            rule = rules[i]
            kept.append(self.ready(rule, scalars.table, scalars.singles, noise, &s, i))
            if i < s.npasses - 1:
                if len(columns[i]) != rule.nsums:
                    raise ValueError(f"{rule!r} has {rule.nsums} sums")
                for k in range(rule.nsums):
                    s.columns[i][k] = columns[i][k]
                    if not 0 <= s.columns[i][k] < table.shape[1]:
                        raise ValueError("columns must name scalars")
        if s.npasses > 1 and self.ntensors:
            s.table[0], s.table[1], s.width = &table[0, 0], &single[0, 0], table.shape[1]
        if self.averages is not None or self.measured is not None:
            self.do_too(&s)
        if cautious is not None:
            held = self.beware(&s, cautious)
        self.go(&s, draw, ledger)
        return 0

    cdef object beware(self, Stepping* s, tuple cautious):
        # Let the last rule of a step be cautious; returns what must be kept alive meanwhile.
        cdef Pass* c = &s.passes[s.npasses - 1]
        cdef const double[::1] kept
        cdef double[::1] scales, counts
        if self.by_row or self.ndrawn or c.nsums or self.add_blocks is not None:
            raise ValueError("a rule by rows, with sums or with noise cannot be cautious")
        shares = np.ascontiguousarray(cautious[0], np.float64)
        kept = shares
        if kept.shape[0] != self.ntensors:
            raise ValueError("a cautious step needs a share for each tensor")
        scales = factors = np.ones(max(self.ntensors, 1))
        counts = partial = np.zeros(max(self.nsum_blocks, 1))
        s.is_cautious, s.scales, c.sums = True, &scales[0], &counts[0]
        s.cautious.kept, s.cautious.sign = &kept[0] if self.ntensors else NULL, cautious[1]
        s.choices[s.npasses - 1] = NULL
        return shares, factors, partial

    cdef void run_cautiously(self, Stepping* s, int threads, char* scratch, Py_ssize_t per_thread) noexcept nogil:
        # Count, then step.
        cdef Pass* c = &s.passes[s.npasses - 1]
        cdef Py_ssize_t i
        c.cautious, s.cautious.scales, c.nsums = &s.cautious, NULL, 1
        run_threads(c, 0, self.total, threads, scratch, per_thread)
        self.add_up(c, s.scales, 1, NULL)
        for i in range(self.ntensors):
            s.scales[i] = 1 / max(s.scales[i] / <double>max(self.tensors[i].size, 1), 1e-3)
        s.cautious.scales, c.nsums = s.scales, 0
        run_threads(c, 0, self.total, threads, scratch, per_thread)

    def number_updates(self, rates):
        """Say which update of its index each tensor's is: it tells the random bits of states that are rounded.

        Parameters
        ----------
        rates : list of (int, ...)
            A tuple for each tensor that begins with its count, or one for all.
        """
        cdef Py_ssize_t i
        cdef int a
        cdef uint64_t t
        cdef Coded* coded
        if len(rates) != self.ntensors and len(rates) != 1:
            raise ValueError("rates must have one entry, or one a tensor")
        for i in range(self.ntensors):
            coded = self.tensors[i].coded
            if coded != NULL:
                t = rates[i if len(rates) > 1 else 0][0]
                for a in range(self.narrays):
                    coded.keys[a] = key_of(coded.seeds[a], t)
        self.numbered = True

    cdef object choose_rows(self, const int[::1] rows, Py_ssize_t nrows):
        # Each tensor's row of the scalars.
        cdef Py_ssize_t i
        if rows is None:
            if self.rowed:
                for i in range(self.ntensors):
                    self.tensors[i].row = 0
            self.rowed = False
            return None
        if rows.shape[0] != self.ntensors:
            raise ValueError("rows must have one entry a tensor")
        for i in range(self.ntensors):
            if rows[i] < 0 or rows[i] >= nrows:
                raise ValueError("rows must name rows of the scalars")
            self.tensors[i].row = rows[i]
        self.rowed = True
        return None

    cdef object ready(self, Rule rule, object scalars, object singles, tuple noise, Stepping* s, int p):
        # Everything that one rule needs to run; returns what must be kept alive meanwhile.
        cdef Pass* c = &s.passes[p]
        cdef double* few = s.few
        cdef double[:, ::1] sums
        cdef const double[:, ::1] table, single
        cdef Py_ssize_t nrows = len(scalars), k
        cdef tuple only, only_single
        cdef object kept = None, partial = None
        if len(rule.arrays) > self.narrays or rule.by_row != self.by_row or rule.per_row != self.per_row:
            raise ValueError(f"the plan was not made for {rule!r}")
        if rule.nsums and rule.uses & self.row_blocks:
            raise ValueError(f"{rule!r} sums over blocks that end otherwise than those of its states")
        if nrows == 1 and type(scalars) is list and (singles is None or type(singles) is list and len(singles) == 1):
            # The common call: one row for all tensors. Reading it here saves a microsecond.
            only = scalars[0]
            only_single = only if singles is None else singles[0]
            if len(only) < rule.nscalars or len(only_single) < rule.nscalars:
                raise ValueError(f"{rule!r} takes rows of {rule.nscalars} scalars")
            for k in range(rule.nscalars):
                few[k], few[MAX_SCALARS + k] = only_single[k], only[k]
            c.scalars[0], c.scalars[1] = few, few + MAX_SCALARS
            c.nscalars = rule.nscalars
        else:
            table = np.ascontiguousarray(scalars, np.float64)
            single = table if singles is None else np.ascontiguousarray(singles, np.float64)
            if nrows < 1 or table.shape[1] < rule.nscalars or (
                    table.shape[0] != single.shape[0] or table.shape[1] != single.shape[1]):
                raise ValueError(f"{rule!r} takes rows of {rule.nscalars} scalars")
            c.scalars[0], c.scalars[1] = &single[0, 0], &table[0, 0]
            c.nscalars = table.shape[1]
            kept = table, single
        c.spoilt = NULL
        c.narrow = rule.narrow
        c.far = self.nelements >= FAR_FROM and tuning != TUNE_PLAIN
        s.choices[p], s.second[p] = NULL, False
        if c.far and not self.ndrawn:
            s.choices[p] = &rule.choices[size_class(self.nelements * len(rule.arrays))]
            s.second[p] = second_way(s.choices[p])
            c.far = not s.second[p]
        c.noisy = 0
        if noise is not None and self.ndrawn:
            c.noisy, c.key, c.place = self.narrays - 1, noise[0], noise[1]
        c.rules[0], c.rules[1], c.rules[2] = rule.single, rule.double_, rule.on_master
        c.tensors, c.ntensors = self.tensors, self.ntensors
        c.cautious, c.average, c.shrink, c.report, c.looks = NULL, NULL, NULL, NULL, 0
        if self.scaling is not None:
            c.shrink, c.scale[0], c.scale[1] = &self.factor, self.scaling.single, self.scaling.double_
        c.nsums, c.narrays, c.sums = rule.nsums, len(rule.arrays), NULL
        c.sums_weight = rule.sums_weight
        c.uses, c.writes, c.by_row = rule.uses, rule.writes, self.by_row
        c.mirrored = self.mirrored and (rule.writes & 1)
        c.scratch_items = round_up(max(BLOCK, self.widest), LINE)
        if rule.nsums:
            partial = np.zeros((max(self.nsum_blocks, 1), rule.nsums))
            sums = partial
            c.sums = &sums[0, 0]
        return None if kept is None and partial is None else (kept, partial)

    cdef int go(self, Stepping* s, object draw, Ledger ledger) except -1:
        # Run what is ready. Memory and the drawn input come first: they can be refused.
        cdef int threads = 1, p
        cdef char* scratch = NULL
        cdef Py_ssize_t per_thread = (SLOTS + 1 + s.is_cautious * (MAX_ARRAYS + 2)) * s.passes[0].scratch_items * 8
        cdef object drawn = None
        if self.any_random and not self.numbered:
            raise ValueError("states that are rounded at random need number_updates")
        if self.total * self.narrays >= SERIAL_BELOW:
            threads = get_num_threads()
        cdef double begin
        if self.ndrawn and not s.passes[0].noisy:
            drawn = self.draw_all(draw)
        if self.staged or s.passes[0].noisy or s.is_cautious:
            scratch = <char*>malloc(threads * per_thread)
            if scratch == NULL:
                raise MemoryError
        try:
            if self.ntensors <= FEW or other_threads():  # after the last line of Python
                self.compare()
            if ledger is not None:
                ledger.write()
            if s.numbers != NULL:
                self.keep_numbers(&s.passes[s.npasses - 1], s.numbers)
            with nogil:
                for p in range(s.npasses):
                    if p > 0:
                        self.add_up(&s.passes[p - 1], s.table[0], s.width, s.columns[p - 1])
                        self.add_up(&s.passes[p - 1], s.table[1], s.width, s.columns[p - 1])
                    if s.is_cautious and p == s.npasses - 1:
                        self.run_cautiously(s, threads, scratch, per_thread)
                    elif s.choices[p] != NULL and tuning == TUNE_AUTO and s.choices[p].tried < 2 * TRIES:
                        begin = mxopt_now()
                        run_threads(&s.passes[p], 0, self.total, threads, scratch, per_thread)
                        note_time(s.choices[p], s.second[p], (mxopt_now() - begin) / self.nelements)
                    else:
                        run_threads(&s.passes[p], 0, self.total, threads, scratch, per_thread)
            if self.marks is not None:
                self.mark_rows()
            if self.splits is not None and s.passes[s.npasses - 1].writes & 1:
                for pair in self.splits:
                    (<Split>(<tuple>pair)[0]).weight = (<tuple>pair)[1]
        finally:
            free(scratch)
        return 0

    def rows_of(self, Py_ssize_t i):
        """The rows that the rule visits in a tensor, int64 array (number of rows,); None: it visits all elements."""
        cdef Tensor* t = &self.tensors[i]
        if t.layout == NULL or not t.layout.lazy or t.layout.rows == NULL:
            return None
        found = np.empty(t.layout.nrows, np.int64)
        memcpy(cnp.PyArray_DATA(found), t.layout.rows, t.layout.nrows * sizeof(int64_t))
        return found

    def average(self, Rule rule not None, list averages not None, list marks not None, double rate):
        """Have the step move averages of the weights towards the new ones.

        Parameters
        ----------
        rule : Rule
            Of the name 'average'.
        averages : list of ndarray
            For each tensor, an array of the weight's shape in the type of the arithmetic.
        marks : list of (None or (int32 array, int))
            For each tensor of which the rule visits some rows, an element for each of its rows, and the number that the
            step writes to those visited.
        rate : float
            How far they move: 1 minus the decay.
        """
        cdef Py_ssize_t i
        cdef cnp.ndarray array, weight
        cdef Tensor* t
        if PyList_GET_SIZE(averages) != self.ntensors or PyList_GET_SIZE(marks) != self.ntensors:
            raise ValueError("every tensor needs its average")
        for i in range(self.ntensors):
            t = &self.tensors[i]
            weight, array = self.owners[0][i], averages[i]
            if not same_shape(array, weight) or dtype_of(array) != t.compute or not cnp.PyArray_ISBEHAVED(array):
                raise ValueError(f"average {i} is no array of its weight's shape in the type of the arithmetic")
            if t.layout == NULL and cnp.PyArray_IS_F_CONTIGUOUS(weight) and not cnp.PyArray_IS_C_CONTIGUOUS(weight):
                array = array.T  # elements are visited in the order of memory
            t.data[AVERAGE], t.dtype[AVERAGE], t.kind[AVERAGE] = <char*>cnp.PyArray_DATA(array), t.compute, FLAT
            if t.layout == NULL and not cnp.PyArray_IS_C_CONTIGUOUS(array):
                t.layout = <Layout*>calloc(1, sizeof(Layout))
                if t.layout == NULL:
                    raise MemoryError
                t.layout.width = max(t.size, 1)
            if t.layout != NULL:
                self.lay(i, AVERAGE, array, t.layout.lazy)
            if t.kind[AVERAGE] != FLAT:
                t.plain, self.staged = False, True
                if self.by_row:
                    self.widest = max(self.widest, t.layout.width)
        self.averages, self.marks, self.rate, self.blending = list(averages), list(marks), rate, rule

    cdef int shrink(self, Rule rule, double factor) except -1:
        # Have all rules see the gradients multiplied, by a rule that scales an array, in the type of the arithmetic.
        cdef Py_ssize_t i
        for i in range(self.ntensors):
            if (self.tensors[i].dtype[GRAD] == F64) != (self.tensors[i].compute == F64):
                raise ValueError(f"gradient {i} would be rounded before or after it is multiplied")
            if self.by_row:
                self.tensors[i].plain = False
                self.widest = max(self.widest, self.tensors[i].layout.width)
        self.staged, self.scaling, self.factor = True, rule, factor
        return 0

    def measure(self, Rule rule not None):
        """Have the step report on its tensors.

        Parameters
        ----------
        rule : Rule
            Of the name 'measure'.

        Returns
        -------
        bool
            False: it cannot, since its rule or a code works on whole rows, or the tensors are parts of larger ones.
        """
        cdef Py_ssize_t i
        if self.by_row or self.add_blocks is not None:
            return False
        for i in range(self.ntensors):
            if self.tensors[i].coded != NULL and self.tensors[i].coded.row:
                return False
        self.staged, self.measuring = True, rule
        self.measured = np.zeros((max(self.nsum_blocks, 1), MEASURES))
        return True

    def report(self):
        """What a step has measured: sums of the squares of gradients, new weights and moves, float64 (tensors, 3)."""
        cdef Py_ssize_t i, block, k
        found = np.zeros((self.ntensors, MEASURES))
        cdef double[:, ::1] to = found, sums = self.measured
        for i in range(self.ntensors):
            for block in range(self.tensors[i].first_sum,
                               self.tensors[i].first_sum + (self.tensors[i].size + SUM_BLOCK - 1) // SUM_BLOCK):
                for k in range(MEASURES):
                    to[i, k] += sums[block, k]
        return found

    cdef void do_too(self, Stepping* s) noexcept:
        # Let the last rule of a step move the averages, and measure.
        cdef Pass* c = &s.passes[s.npasses - 1]
        if self.averages is not None:
            c.average, c.blend[0], c.blend[1] = &self.rate, self.blending.single, self.blending.double_
        if self.measured is not None:
            c.report, c.looks = <double*>cnp.PyArray_DATA(self.measured), 1u << GRAD
            c.measure[0], c.measure[1] = self.measuring.single, self.measuring.double_
        s.choices[s.npasses - 1] = NULL  # of a step with other arrays
        c.far = self.nelements >= FAR_FROM and tuning != TUNE_PLAIN

    cdef int mark_rows(self) except -1:
        cdef Py_ssize_t i, k
        cdef cnp.ndarray array
        cdef int number
        cdef int* to
        for i in range(self.ntensors):
            if self.marks[i] is not None:
                array, number = self.marks[i]
                to = <int*>cnp.PyArray_DATA(array)
                for k in range(self.tensors[i].layout.nrows):
                    to[self.tensors[i].layout.rows[k]] = number
        return 0

    def numbers(self):
        """What the states of one number a tensor hold: float64 array (number of tensors, number of such states)."""
        cdef Py_ssize_t i
        cdef int a
        cdef Tensor* t
        found = np.empty((self.ntensors, bin(self.per_tensor).count("1")))
        cdef double* to = <double*>cnp.PyArray_DATA(found)
        for i in range(self.ntensors):
            t = &self.tensors[i]
            for a in range(self.narrays):
                if (self.per_tensor >> a) & 1:
                    to[0] = (<double*>t.data[a])[0] if t.dtype[a] == F64 else <double>(<float*>t.data[a])[0]
                    to += 1
        return found

    cdef void keep_numbers(self, const Pass* c, const int* columns) noexcept:
        # Store what these numbers become.
        cdef Py_ssize_t i
        cdef int a
        cdef double value
        cdef Tensor* t
        for i in range(self.ntensors):
            t = &self.tensors[i]
            for a in range(self.narrays):
                if (self.per_tensor >> a) & 1:
                    value = c.scalars[1][t.row * c.nscalars + columns[a]]
                    value = value if value == value else NAN  # one sign
                    if t.dtype[a] == F64:
                        (<double*>t.data[a])[0] = value
                    else:
                        (<float*>t.data[a])[0] = <float>value

    cdef void add_up(self, const Pass* c, double* into, Py_ssize_t width, const int* columns) noexcept nogil:
        # Every tensor's sums to the columns of its row: in block order, one after the other.
        cdef Py_ssize_t i, block, k, first
        cdef double total
        cdef mxopt_control control = mxopt_take_control(True)
        for i in range(self.ntensors):
            first = self.tensors[i].first_sum
            for k in range(c.nsums):
                total = 0
                for block in range(first, first + (self.tensors[i].size + SUM_BLOCK - 1) // SUM_BLOCK):
                    total += c.sums[block * c.nsums + k]
                into[i * width + (k if columns == NULL else columns[k])] = total if total == total else NAN  # one sign
        mxopt_give_back(control)

    cdef Py_ssize_t together(self, Py_ssize_t i, Py_ssize_t* count) noexcept:
        # The tensor after those that share a block of drawn input with tensor i; the block's size. Large ones have
        # several blocks for themselves.
        cdef Tensor* t = &self.tensors[i]
        cdef Py_ssize_t last = i
        count[0] = 0
        while (last < self.ntensors and self.tensors[last].compute == t.compute
                and count[0] + self.tensors[last].size <= DRAWN_BLOCK):
            count[0] += self.tensors[last].size
            last += 1
        if last == i:
            count[0], last = t.size, i + 1
        return last

    cdef list draw_all(self, object draw):
        # The whole drawn input, before anything is stepped: the caller's own code draws, and it may fail. Block by
        # block, so that it is the same for any list; in one thread, whose order is the input's.
        cdef Py_ssize_t i = 0, k, last, count, begin
        cdef int slot = self.narrays - 1
        cdef cnp.ndarray drawn
        cdef list kept = []
        while i < self.ntensors:
            last = self.together(i, &count)
            drawn = np.empty(count, np.float64 if self.tensors[i].compute == F64 else np.float32)
            kept.append(drawn)
            for begin in range(0, max(count, 1), DRAWN_BLOCK):
                draw(drawn[begin : begin + DRAWN_BLOCK])
            if cnp.PyArray_SIZE(drawn) != count:
                raise ValueError("draw must leave its array as large as it is")
            count = 0
            for k in range(i, last):
                self.tensors[k].data[slot] = <char*>cnp.PyArray_DATA(drawn) + count * cnp.PyArray_ITEMSIZE(drawn)
                count += self.tensors[k].size
            i = last
        return kept


def write_back(list targets not None, list sources not None, Ledger ledger=None, Plan plan=None, list rules=None,
               Scalars scalars=None, list factored=None):
    """Copy arrays into others, all or none.

    Parameters
    ----------
    targets, sources : list of ndarray
        Pair by pair of one shape and dtype.
    ledger : Ledger, optional
        As for `Plan.step`.
    plan, rules, scalars : optional
        A step that belongs to the same change, as `Plan.step` takes it.
    factored : list of Factored, optional
        Further steps that belong to it.
    """
    cdef cnp.ndarray target, source
    cdef Py_ssize_t i
    if len(targets) != len(sources):
        raise ValueError("every target needs its source")
    for i in range(len(targets)):
        target, source = targets[i], sources[i]
        if not same_shape(target, source) or target.dtype != source.dtype or not target.flags.writeable:
            raise ValueError(f"array {i} cannot be written back")
    if ledger is not None:
        ledger.compare()
    if plan is not None:
        plan.take_step(rules, scalars, None, None, ledger, None)
    elif ledger is not None:
        ledger.write()
    for i in range(0 if factored is None else len(factored)):
        (<Factored?>factored[i]).take()
    for i in range(len(targets)):
        cnp.PyArray_CopyInto(targets[i], sources[i])


cdef inline bint same_shape(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef int d, ndim = cnp.PyArray_NDIM(a)
    if ndim != cnp.PyArray_NDIM(b):
        return False
    for d in range(ndim):
        if cnp.PyArray_DIM(a, d) != cnp.PyArray_DIM(b, d):
            return False
    return True
