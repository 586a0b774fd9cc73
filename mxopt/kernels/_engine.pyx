# The engine: spans, staging, threads. It moves pointers and knows no optimizer.
#
# A *plan* is the checked description of one call: for every tensor the addresses, dtypes and layouts of
# its weight, gradient and states. Making a plan changes nothing and finds everything that can be wrong;
# running a rule over it cannot fail. All tensors of a plan lie one after the other on one *line* of elements; the
# line is cut into chunks and the threads share the chunks, so a thousand small tensors and one
# large tensor are the same to it.
#
# Per tensor and block of elements, every array gives a pointer: its own memory where the block lies there
# contiguously in the type of the arithmetic, else scratch that stays in L1 (another dtype: widened; rows
# or strides: gathered; a row-sparse gradient in a standard update: rows among zeros). The rule
# runs on the pointers, and what it wrote to scratch is narrowed or scattered back. A result therefore does not
# depend on threads, chunks, lists or layouts: elementwise rules never see them, and sums are taken
# per SUM_BLOCK elements from the start of each tensor and added in that order.

from cpython.dict cimport PyDict_GetItemWithError, PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import numpy as np

cimport numpy as cnp

cnp.import_array()

cdef extern from "threads.h" nogil:
    int MXOPT_OPENMP
    int mxopt_forked
    int mxopt_max_threads()
    void mxopt_watch_forks()
    ctypedef int mxopt_control
    mxopt_control mxopt_flush_denormals()
    void mxopt_restore(mxopt_control)
    int mxopt_cpu_has(int)

cdef extern from "prefetch.h" nogil:
    void mxopt_prefetch(const void*)

cdef extern from "numpy/arrayobject.h" nogil:
    # NumPy's accessors on borrowed references: a list of small tensors is read four times as fast.
    bint is_exact_array "PyArray_CheckExact"(PyObject*)
    ctypedef struct Array "PyArrayObject":
        pass
    void* descr_of "PyArray_DESCR"(Array*)
    int flags_of "PyArray_FLAGS"(Array*)
    int ndim_of "PyArray_NDIM"(Array*)
    cnp.npy_intp* dims_of "PyArray_DIMS"(Array*)
    char* data_of "PyArray_BYTES"(Array*)

ctypedef void (*rule_fn)(void** arrays, Py_ssize_t n, const double* scalars) noexcept nogil
ctypedef int (*finite_fn)(const void* source, Py_ssize_t n) noexcept nogil
ctypedef void (*convert_fn)(const void* source, void* target, Py_ssize_t n) noexcept nogil

cdef enum:  # storage dtypes, numbered as in storage.h; the first two are also the compute types
    F32 = 0
    F64 = 1
    F16 = 2
    BF16 = 3

cdef enum:
    WEIGHT = 0
    GRAD = 1
    MAX_ARRAYS = 6  # weight, gradient, three states, one more input
    MIRROR = 6      # the low-precision weight that is written from its float32 master
    SLOTS = 7
    POINTERS = 10   # the arrays, and what rules with sums are given
    MAX_DIMS = 32
    MAX_SCALARS = 24

cdef enum:
    # Elements of one staged block.
    BLOCK = 512
    # What comes from main memory is stepped part by part, and before each part as much of what comes later is asked
    # for, so that memory is never waited for nor asked for more than it can have under way. Adam on 30 million
    # float16 elements takes 12.4 ms with parts of 128, 13.7 of 256, 14.2 of 64, 16.7 undivided; with float32 masters
    # 15.8, 18.0, 16.1 and 20.9 (two threads; float32 takes 15.5). Blocks of 256 or 1024 gain nothing.
    PART = 128
    # How many blocks ahead.
    AHEAD = 2
    # Elements of one partial sum. Tensors up to this size are summed one element after the other, as MXNet
    # does; larger ones in the lanes of norms.pxi, which are faster and closer to the true sum.
    SUM_BLOCK = 16384
    # Chunks begin at multiples of this from the start of a tensor: one cache line of float32, and more.
    LINE = 64
    # Elements of a drawn input that exist at a time: 768 KB of doubles.
    DRAWN_BLOCK = 98304
    # Arrays of a list whose objects are asked for ahead of being read.
    LOOK_AHEAD = 6
    # From this many elements in a plan on, its arrays come from main memory, and each thread asks for each of
    # them some parts ahead, line by line in turn: what the processor itself fetches ahead ends at every page. Of the
    # limit, 30 million elements reach with parts of 128 four ahead / of 256 two ahead / without asking: Adam 1.00, 0.98,
    # 0.88, Ftrl 0.98, 0.87, 0.84 (two threads). Array by array instead of line by line they gain nothing.
    FAR_FROM = 1 << 19
    FAR_AHEAD = 4
    # Random rows of a table: how many rows ahead, and how much of each, to ask for. A lazy Adam step of 8192
    # fresh rows of 64 out of a million takes 0.58 ms with 8 (two threads; 3 to 24 are as good), 0.75 ms when the line
    # in which a row ends is left out; of rows of 16, 1.2 ms against 1.9. Of rows of 1000, asking for their first
    # 512 bytes is best: the processor itself goes on from there.
    ROWS_AHEAD = 8
    ROW_HEAD = 512
    # Below this many elements of all arrays together a second thread, which takes 2.2 us to start and to join, costs
    # more than it brings: SGD's three streams break even at 23,000 elements of each, Adam's four at 11,000.
    SERIAL_BELOW = 65536

cdef enum:  # where the elements of an array are
    FLAT = 0      # one after the other
    ROWS = 1      # in the rows that the gradient names
    STRIDED = 2   # anywhere
    EXPAND = 3    # a row-sparse gradient: its rows, and zeros between them
    PER_ROW = 4   # one element a row

cdef struct Strides:
    int ndim
    bint mapped  # the first index goes through the gradient's rows
    Py_ssize_t shape[MAX_DIMS]
    Py_ssize_t strides[MAX_DIMS]

cdef struct Layout:
    const int64_t* rows  # NULL: dense
    Py_ssize_t nrows
    Py_ssize_t width
    bint lazy            # the rule visits the named rows only
    bint in_place  # whole rows can be used where they are
    Strides* strided[SLOTS]

cdef struct Tensor:
    Py_ssize_t size       # elements that the rule visits
    Py_ssize_t start      # its place on the line
    Py_ssize_t first_sum  # its first partial sum
    char* data[SLOTS]
    Layout* layout        # NULL: everything is FLAT
    int row               # its row in the table of scalars
    unsigned char dtype[SLOTS]
    unsigned char kind[SLOTS]
    unsigned char compute
    unsigned char plain   # every pointer can be used as it is
    unsigned char ranged  # its memory ranges are in Plan.ranges, not those of its data

cdef struct Range:
    uintptr_t low
    uintptr_t high
    int origin  # tensor * 16 + (role + 2) * 2 + whether it is written

cdef struct Pass:
    rule_fn rules[3]  # by compute type; the last one runs on float32 masters
    Tensor* tensors
    Py_ssize_t ntensors
    const double* scalars[2]  # by compute type
    Py_ssize_t nscalars
    double* sums
    int nsums
    bint sums_weight
    int narrays
    unsigned int uses
    unsigned int writes
    bint by_row
    bint mirrored
    Py_ssize_t scratch_items
    bint far     # the arrays are larger than the caches
    int* spoilt  # not NULL: nothing is stepped, but set if a gradient is not finite

cdef Py_ssize_t[4] ITEMSIZE = [4, 8, 2, 2]
cdef convert_fn[2][4] LOADS
cdef convert_fn[2][4] STORES
cdef finite_fn[4] FINITE
cdef int bfloat16_num = -1
cdef object float32 = np.dtype(np.float32), float64 = np.dtype(np.float64)
cdef int max_threads = 0     # 0: as many as OpenMP would use
cdef int openmp_at_start = mxopt_max_threads()

mxopt_watch_forks()

#: Tensors of up to this many elements are summed as MXNet sums them.
WHOLE_SUM = SUM_BLOCK


class Refused(Exception):
    """A plan that cannot be made: (what, tensor, role, ...). Worded by mxopt.checks."""


# ---------------------------------------------------------------------------------------------------
# Threads and instruction sets


def openmp_version():
    return MXOPT_OPENMP


def cpu_has(str isa):
    return isa == "baseline" or mxopt_cpu_has(0 if isa == "avx2" else 1) != 0


def set_num_threads(int n):
    global max_threads
    max_threads = n


def get_num_threads_setting():
    """What was set; 0: OpenMP decides."""
    return max_threads


def get_num_threads():
    """Threads of the next call: what was set, else OpenMP's number; a lowered OpenMP limit holds."""
    cdef int openmp = mxopt_max_threads()
    if mxopt_forked:
        return 1
    if max_threads == 0:
        return openmp
    return min(max_threads, openmp) if openmp != openmp_at_start else max_threads


def use_blocks(list loads, list stores, list finite):
    """Take the conversions and checks of blocks that were built for the chosen instruction set."""
    cdef int c, d
    for d in range(4):
        FINITE[d] = <finite_fn>PyCapsule_GetPointer(finite[d], "mxopt.finite")
    for c in range(2):
        for d in range(4):
            entry = loads[4 * c + d]
            LOADS[c][d] = NULL if entry is None else <convert_fn>PyCapsule_GetPointer(entry, "mxopt.convert")
            entry = stores[4 * c + d]
            STORES[c][d] = NULL if entry is None else <convert_fn>PyCapsule_GetPointer(entry, "mxopt.convert")


cdef class Rule:
    """One registered rule: its loops for float and double and what they read and write."""

    cdef rule_fn single, double_, on_master
    cdef unsigned int uses, writes, per_row
    cdef int nscalars
    cdef readonly str name
    cdef readonly tuple arrays
    cdef readonly tuple scalars
    cdef readonly tuple sums
    cdef readonly int nsums
    cdef readonly bint sums_weight  # it is handed the weights as they are stored
    cdef readonly bint by_row
    cdef readonly bint drawn

    def __init__(self, str name, dict entry):
        self.name = name
        self.single = <rule_fn>PyCapsule_GetPointer(entry["float32"], "mxopt.rule")
        self.double_ = <rule_fn>PyCapsule_GetPointer(entry["float64"], "mxopt.rule")
        self.on_master = <rule_fn>PyCapsule_GetPointer(entry["on_master"], "mxopt.rule")
        self.arrays = tuple(a.partition("/")[0] for a in entry["arrays"])
        self.scalars = entry["scalars"]
        self.nscalars = len(self.scalars)
        if len(self.arrays) > MAX_ARRAYS:
            raise ValueError(f"a rule has at most {MAX_ARRAYS} arrays, {name} has {len(self.arrays)}")
        if self.nscalars > MAX_SCALARS:
            raise ValueError(f"a rule has at most {MAX_SCALARS} scalars, {name} has {self.nscalars}")
        self.sums = entry["sums"]
        self.nsums = len(self.sums)
        self.sums_weight = "weight_squares" in self.sums
        self.by_row = entry["by_row"]
        self.drawn = entry["arrays"][len(self.arrays) - 1].endswith("/drawn")
        if self.drawn and (self.by_row or self.nsums):
            raise ValueError(f"{name}: a rule with a drawn input has neither rows nor sums")
        writes = entry["writes"]
        for i, array in enumerate(entry["arrays"]):
            if array != "-":
                self.uses |= 1u << i
            if array.endswith("/row"):
                self.per_row |= 1u << i
            if (i != GRAD and array != "-" and not array.endswith("/drawn")) if writes is None else (
                    self.arrays[i] in writes):
                self.writes |= 1u << i

    @property
    def streams(self):
        """What the rule does to each of its arrays: 'written' (and read before), 'read' or None."""
        cdef unsigned int reads = self.uses | self.sums_weight << WEIGHT
        return tuple("written" if (self.writes >> a) & 1 else ("read" if (reads >> a) & 1 else None)
                     for a in range(len(self.arrays)))

    def __repr__(self):
        return f"<rule {self.name}({', '.join(self.arrays)})>"


# ---------------------------------------------------------------------------------------------------
# Blocks


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
    # Start fetching [begin, begin + size) into the cache. NumPy's arrays seldom begin with a line: mind the last one.
    cdef Py_ssize_t k
    for k in range(0, size, 64):
        mxopt_prefetch(begin + k)
    mxopt_prefetch(begin + size - 1)


cdef void run_rows(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # Rows of a table, in place; neighbours in the table go together. Which row comes next no processor can guess,
    # but it is known here.
    cdef void* arrays[POINTERS]
    cdef char* table[MAX_ARRAYS]
    cdef int mapped[MAX_ARRAYS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute]
    cdef const int64_t* rows = t.layout.rows
    cdef Py_ssize_t width = t.layout.width, itemsize = ITEMSIZE[t.compute], length = width * itemsize
    cdef Py_ssize_t row = p // width, last = (end - 1) // width, asked = row, part = p - row * width, n
    cdef Py_ssize_t head = min(length, ROW_HEAD)
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
            asked += 1
        for a in range(count):
            arrays[mapped[a]] = table[a] + rows[row] * length + part * itemsize
        n = width - part
        part = 0
        row += 1
        while row < asked and rows[row] == rows[row - 1] + 1:
            n += width
            row += 1
        n = min(n, end - p)
        rule(arrays, n, scalars)
        for a in range(c.narrays):
            if t.kind[a] != ROWS and arrays[a] != NULL:
                arrays[a] = <char*>arrays[a] + n * itemsize
        p += n


cdef inline bint is_direct(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n) noexcept nogil:
    if t.dtype[a] != t.compute:
        return False
    if t.kind[a] == FLAT or t.kind[a] == PER_ROW:
        return True
    return t.kind[a] == ROWS and p // t.layout.width == (p + n - 1) // t.layout.width


cdef inline char* address(const Tensor* t, int a, Py_ssize_t p) noexcept nogil:
    # Of element p, for arrays that hold it and its successors in the row contiguously.
    cdef Py_ssize_t itemsize = ITEMSIZE[t.dtype[a]], row
    if t.kind[a] == FLAT:
        return t.data[a] + p * itemsize
    row = p // t.layout.width
    if t.kind[a] == PER_ROW:
        return t.data[a] + (t.layout.rows[row] if t.layout.lazy else row) * itemsize
    return t.data[a] + (t.layout.rows[row] * t.layout.width + p % t.layout.width) * itemsize


cdef void expand(const Tensor* t, Py_ssize_t p, Py_ssize_t n, char* scratch) noexcept nogil:
    # A block of the gradient that the rows of a row-sparse one stand for.
    cdef Layout* layout = t.layout
    cdef Py_ssize_t width = layout.width, size = ITEMSIZE[t.compute], itemsize = ITEMSIZE[t.dtype[GRAD]]
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
        convert(LOADS[t.compute][t.dtype[GRAD]], t.data[GRAD] + (low * width + begin - row) * itemsize,
                scratch + (begin - p) * size, end - begin, itemsize)
        low += 1


cdef void move(const Tensor* t, int a, Py_ssize_t p, Py_ssize_t n, char* scratch, char* raw, bint storing) noexcept nogil:
    # A block between the array's own memory and scratch of the compute type.
    cdef Py_ssize_t itemsize = ITEMSIZE[t.dtype[a]], size = ITEMSIZE[t.compute], run, width
    cdef convert_fn function = STORES[t.compute][t.dtype[a]] if storing else LOADS[t.compute][t.dtype[a]]
    cdef char* own
    if t.kind[a] == EXPAND:
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


cdef void run_far(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # A long contiguous part that comes from main memory.
    cdef void* arrays[POINTERS]
    cdef char* at[MAX_ARRAYS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute]
    cdef Py_ssize_t itemsize = ITEMSIZE[t.compute], length = PART * itemsize, k
    cdef int a, count = 0
    for a in range(c.narrays):
        arrays[a] = t.data[a] + p * itemsize if (c.uses >> a) & 1 else NULL
        if arrays[a] != NULL or (a == WEIGHT and c.sums_weight):
            at[count] = t.data[a] + p * itemsize + FAR_AHEAD * length
            count += 1
    while p < end:
        for k in range(0, length, 64):
            for a in range(count):
                mxopt_prefetch(at[a] + k)
        if c.nsums:
            point_to_sums(c, t, p, arrays, t.data[WEIGHT] + p * itemsize)
        rule(arrays, min(<Py_ssize_t>PART, end - p), scalars)
        for a in range(c.narrays):
            if arrays[a] != NULL:
                arrays[a] = <char*>arrays[a] + length
        for a in range(count):
            at[a] += length
        p += PART


cdef inline void point_to_sums(const Pass* c, const Tensor* t, Py_ssize_t p, void** arrays, void* stored) noexcept nogil:
    # What a rule with sums is handed after its arrays: see norms.pxi.
    arrays[c.narrays] = c.sums + (t.first_sum + p // SUM_BLOCK) * c.nsums
    arrays[c.narrays + 1] = <void*>t if t.size <= SUM_BLOCK else NULL
    arrays[c.narrays + 2] = stored
    arrays[c.narrays + 3] = <void*>t.dtype


cdef void ask_for_block(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # Start fetching what move() will read or write of the elements [p, end), line by line in turn.
    cdef Py_ssize_t itemsize, width, row, k
    cdef char* flat[SLOTS]
    cdef Py_ssize_t step[SLOTS]
    cdef int a, count = 0
    for a in range(SLOTS):
        if t.data[a] == NULL or not (a == MIRROR or (c.uses >> a) & 1):
            continue
        itemsize = ITEMSIZE[t.dtype[a]]
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
    cdef Py_ssize_t part, done = 0, ahead = p + AHEAD * n, stride = PART * ITEMSIZE[t.compute]
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


cdef void run_tensor(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end, char* scratch) noexcept nogil:
    cdef void* arrays[POINTERS]
    cdef const double* scalars = c.scalars[t.compute] + t.row * c.nscalars
    cdef rule_fn rule = c.rules[t.compute if t.data[MIRROR] == NULL else 2]
    cdef Py_ssize_t stride = c.scratch_items * 8, n, step, rows = 1
    cdef char* raw = scratch + SLOTS * stride
    cdef unsigned int staged
    cdef int a
    if t.layout != NULL and t.layout.in_place and not c.nsums and not c.by_row:
        run_rows(c, t, p, end)
        return
    if c.far and t.plain and t.layout == NULL and not c.by_row and end - p > 2 * FAR_AHEAD * PART:
        run_far(c, t, p, end)
        return
    if c.by_row:
        step = t.layout.width
        if t.plain:  # all at once
            rows = (end - p) // step
        arrays[c.narrays] = &rows
    elif t.plain:
        step = end - p
    else:
        step = BLOCK
    while p < end:
        n = min(step, end - p)
        if c.nsums:
            n = min(n, SUM_BLOCK - p % SUM_BLOCK)
            a = WEIGHT if t.data[MIRROR] == NULL else MIRROR
            point_to_sums(c, t, p, arrays, reach(t, a, p, n, scratch + MIRROR * stride, raw) if c.sums_weight else NULL)
        staged = 0
        for a in range(c.narrays):
            arrays[a] = NULL
            if (c.uses >> a) & 1:
                arrays[a] = reach(t, a, p, n, scratch + a * stride, raw)
                if arrays[a] == scratch + a * stride:
                    staged |= 1u << a
        if staged and not c.by_row:
            run_parts(c, t, p, n, end, arrays, rule, scalars)
        else:
            rule(arrays, n, scalars)
        staged &= c.writes
        if staged:
            for a in range(c.narrays):
                if (staged >> a) & 1:
                    move(t, a, p, n, <char*>arrays[a], raw, True)
        if c.mirrored and t.data[MIRROR] != NULL:
            move(t, MIRROR, p, n, <char*>arrays[WEIGHT], raw, True)
        p += n * rows


cdef void check_tensor(const Pass* c, const Tensor* t, Py_ssize_t p, Py_ssize_t end) noexcept nogil:
    # In four places by turns: the processor fetches each of them ahead (30 million elements: 2.9 ms, 3.3 in one place).
    cdef char[PART * 8] block
    cdef Py_ssize_t n, quarter, at, itemsize = ITEMSIZE[t.dtype[GRAD]]
    cdef char* source
    cdef int k
    if t.kind[GRAD] == EXPAND:  # its rows are as good in any order, so take them from the front
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
            if not FINITE[t.dtype[GRAD]](source, n):
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
        unit = t.layout.width if c.by_row else (SUM_BLOCK if c.nsums else 1)
        if unit > 1:
            first = round_up(first, unit)
            last = min(round_up(last, unit), t.size)
        if c.spoilt != NULL:
            check_tensor(c, t, first, last)
        elif first < last:
            run_tensor(c, t, first, last, scratch)
        low += 1


# ---------------------------------------------------------------------------------------------------
# Plans


cdef int dtype_of(cnp.ndarray array) noexcept:
    # -1: not a dtype that the engine steps.
    global bfloat16_num
    cdef int num = cnp.PyArray_TYPE(array)
    if not cnp.PyArray_ISNOTSWAPPED(array):
        return -1
    if num == cnp.NPY_FLOAT32:
        return F32
    if num == cnp.NPY_FLOAT64:
        return F64
    if num == cnp.NPY_FLOAT16:
        return F16
    if num == bfloat16_num:
        return BF16
    if bfloat16_num < 0 and array.dtype.name == "bfloat16":
        bfloat16_num = num
        return BF16
    return -1


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


cdef inline void ask_for_shape(PyObject* array) noexcept:
    if is_exact_array(array):
        mxopt_prefetch(dims_of(<Array*>array))


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
        Where the float32 master copy stands in the state pair of a 16-bit weight (0 or 1); -1: no masters.
    rows : list of (None or int64 array), optional
        The row indices of row-sparse gradients, whose `grads` entries are their rows.
    lazy : bool
        Whether row-sparse gradients touch only their rows.
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
    cdef unsigned int per_row
    cdef bint by_row, lazy, mirrored, staged, rowed, ordered, alone
    cdef object owners  # keeps every array alive while its address is used
    cdef Range* ranges  # of the tensors that `add` has placed
    cdef Py_ssize_t nranges
    cdef bint any_strided

    def __cinit__(self):
        self.tensors = NULL
        self.ranges = NULL

    def __init__(self, Rule rule not None, list weights, list grads=None, list states=None, int master=-1, list rows=None,
                 bint lazy=False, bint ordered=False):
        cdef Py_ssize_t n = PyList_GET_SIZE(weights), i
        if self.tensors != NULL:
            raise RuntimeError("a plan is made once")
        self.alone = grads is None
        if self.alone:
            grads, states = weights, [None] * n
        if PyList_GET_SIZE(grads) != n or PyList_GET_SIZE(states) != n:
            raise Refused("lengths", -1, 0)
        if rows is not None and len(rows) != n:
            raise Refused("lengths", -1, 0)
        self.narrays = len(rule.arrays)
        self.ndrawn = rule.drawn
        self.nstates = max(self.narrays - 2 - self.ndrawn, 0)
        self.by_row, self.per_row, self.lazy = rule.by_row, rule.per_row, lazy
        # A drawn input and sums follow the elements, not the memory.
        self.ordered = ordered or self.ndrawn
        self.owners = (list(weights), list(grads), list(states), None if rows is None else list(rows))
        self.tensors = <Tensor*>calloc(max(n, 1), sizeof(Tensor))
        if self.tensors == NULL:
            raise MemoryError
        for i in range(n):
            self.ntensors = i + 1
            self.look_ahead(weights, grads, states, i)
            if (rows is None or rows[i] is None) and self.add_plain(
                    i, PyList_GET_ITEM(weights, i), PyList_GET_ITEM(grads, i), PyList_GET_ITEM(states, i)):
                continue
            if self.ranges == NULL:  # one for each array, and for a 16-bit weight beside its master
                self.ranges = <Range*>malloc((n - i) * (2 + self.nstates + (master >= 0)) * sizeof(Range))
                if self.ranges == NULL:
                    raise MemoryError
            self.tensors[i].ranged = True
            self.add(i, weights[i], grads[i], states[i], master, None if rows is None else rows[i])
        self.refuse_overlaps()

    def __dealloc__(self):
        cdef Py_ssize_t i
        cdef int a
        if self.tensors != NULL:
            for i in range(self.ntensors):
                if self.tensors[i].layout != NULL:
                    for a in range(SLOTS):
                        free(self.tensors[i].layout.strided[a])
                    free(self.tensors[i].layout)
            free(self.tensors)
        free(self.ranges)

    @property
    def by_rows(self):
        """Of each tensor, whether the rule visits the rows of its gradient alone; None: of none."""
        if not self.lazy or self.owners[3] is None:
            return None
        return [rows is not None for rows in self.owners[3]]

    @property
    def elements(self):
        """How many elements the rule visits."""
        return self.nelements

    cdef int take(self, object state, list found, Py_ssize_t i) except -1:
        # The arrays of a nested state, in order.
        if state is None:
            return 0
        if isinstance(state, cnp.ndarray):
            found.append(state)
        elif isinstance(state, (tuple, list)):
            for part in state:
                self.take(part, found, i)
        else:
            raise Refused("state", i, 2, type(state).__name__)
        return 0

    cdef list arrays_in(self, object state, Py_ssize_t i):
        cdef list found = []
        self.take(state, found, i)
        return found

    cdef int place(self, Py_ssize_t i, int slot, cnp.ndarray array, int role, bint written) except -1:
        # Note one array of tensor i. role: what to call it when it is refused.
        cdef Tensor* t = &self.tensors[i]
        cdef int dtype = dtype_of(array)
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
        if cnp.PyArray_SIZE(array) > 0:
            extent(array, &self.ranges[self.nranges].low, &self.ranges[self.nranges].high)
            self.ranges[self.nranges].origin = <int>(i * 16 + (role + 2) * 2 + written)
            self.nranges += 1
        return 0

    cdef inline void look_ahead(self, list weights, list grads, list states, Py_ssize_t i) noexcept:
        # Array objects and their shapes lie all over memory: ask for those to come, in the order in which
        # one leads to the next.
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
        # Most tensors: exact ndarrays of one dtype (float32 or float64), one shape, C order. Otherwise, or
        # where something is wrong, nothing is noted and `add` sees to it.
        cdef PyObject* arrays[MAX_ARRAYS]
        cdef Array* array
        cdef Array* w = <Array*>weight
        cdef Tensor* t = &self.tensors[i]
        cdef int a, d, ndim, need
        cdef Py_ssize_t size = 1
        arrays[WEIGHT], arrays[GRAD] = weight, grad
        if self.by_row or self.per_row or not is_exact_array(weight):
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
        self.total += round_up(size, LINE)
        self.nsum_blocks += (size + SUM_BLOCK - 1) // SUM_BLOCK
        self.nelements += size

    cdef int add(self, Py_ssize_t i, object weight, object grad, object state, int master, object rows) except -1:
        cdef Tensor* t = &self.tensors[i]
        cdef cnp.ndarray w, g, main, array
        cdef list found
        cdef Py_ssize_t nrows, k
        cdef int slot, a, d, ndim
        cdef bint sparse = rows is not None, all_c, all_f
        if not isinstance(weight, cnp.ndarray):
            raise Refused("array", i, 0, type(weight).__name__)
        if not isinstance(grad, cnp.ndarray):
            raise Refused("array", i, 1, type(grad).__name__)
        w = weight
        g = grad
        main = w
        self.place(i, WEIGHT, w, 0, True)
        ndim = cnp.PyArray_NDIM(w)
        if master >= 0 and (t.dtype[WEIGHT] == F16 or t.dtype[WEIGHT] == BF16):
            if not isinstance(state, (tuple, list)) or len(state) != 2 or not isinstance(state[master], cnp.ndarray):
                raise Refused("pair", i, 2)
            main = state[master]
            state = state[1 - master]
            t.data[MIRROR] = t.data[WEIGHT]
            t.dtype[MIRROR] = t.dtype[WEIGHT]
            self.place(i, WEIGHT, main, -1, True)
            if t.dtype[WEIGHT] != F32 and t.dtype[WEIGHT] != F64:
                raise Refused("dtype", i, -1, str(main.dtype))
            if not same_shape(main, w):
                raise Refused("shape", i, -1)
            self.mirrored = True
        t.compute = F64 if t.dtype[WEIGHT] == F64 else F32
        if t.data[MIRROR] != NULL and t.compute == F64:
            raise Refused("dtype", i, -1, "float64")

        # The gradient: the weight's shape, or the rows of it.
        if not self.alone:
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
            array = found[a]
            slot = 2 + a
            self.place(i, slot, array, slot, True)
            if STORES[t.compute][t.dtype[slot]] == NULL and t.dtype[slot] != t.compute:
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
            if not (self.per_row >> (2 + a)) & 1:
                all_c = all_c and cnp.PyArray_IS_C_CONTIGUOUS(found[a])
                all_f = all_f and cnp.PyArray_IS_F_CONTIGUOUS(found[a])
        all_f = all_f and not self.ordered
        t.plain = t.data[MIRROR] == NULL
        for a in range(self.narrays):
            t.plain = t.plain and t.dtype[a] == t.compute
        if sparse or self.by_row or not (all_c or all_f):
            t.layout = <Layout*>calloc(1, sizeof(Layout))
            if t.layout == NULL:
                raise MemoryError
            nrows = cnp.PyArray_DIM(w, 0) if ndim > 0 else 1
            t.layout.width = max(cnp.PyArray_SIZE(w) // max(nrows, 1), 1)
            if sparse:
                array = rows
                t.layout.rows = <const int64_t*>cnp.PyArray_DATA(array)
                t.layout.nrows = cnp.PyArray_DIM(array, 0)
                t.layout.lazy = self.lazy
            t.plain = t.plain and not sparse and all_c
            self.lay(i, WEIGHT, main, sparse and self.lazy)
            if t.data[MIRROR] != NULL:
                self.lay(i, MIRROR, w, sparse and self.lazy)
            if sparse and not self.lazy:
                t.kind[GRAD] = EXPAND
                if not cnp.PyArray_IS_C_CONTIGUOUS(g):
                    raise Refused("contiguous", i, 1)
            else:
                self.lay(i, GRAD, g, False)
            for a in range(self.nstates):
                if (self.per_row >> (2 + a)) & 1:
                    t.kind[2 + a] = PER_ROW
                else:
                    self.lay(i, 2 + a, found[a], sparse and self.lazy)
            t.layout.in_place = sparse and self.lazy and t.data[MIRROR] == NULL
            for a in range(self.narrays):
                t.layout.in_place = (t.layout.in_place and t.dtype[a] == t.compute
                                     and (t.kind[a] == FLAT or t.kind[a] == ROWS))
            if not t.plain and self.by_row:
                self.widest = max(self.widest, t.layout.width)
        self.staged = self.staged or not t.plain
        self.settle(t, cnp.PyArray_SIZE(g) if sparse and self.lazy else cnp.PyArray_SIZE(w))
        return 0

    cdef int check_rows(self, Py_ssize_t i, cnp.ndarray w, cnp.ndarray g, object rows) except -1:
        cdef cnp.ndarray array
        cdef const int64_t* at
        cdef Py_ssize_t k, n, limit = cnp.PyArray_DIM(w, 0)
        cdef int d
        if not isinstance(rows, cnp.ndarray) or cnp.PyArray_TYPE(rows) != cnp.NPY_INT64:
            raise Refused("rows", i, 1)
        array = rows
        if cnp.PyArray_NDIM(array) != 1 or not cnp.PyArray_ISCARRAY_RO(array):
            raise Refused("rows", i, 1)
        n = cnp.PyArray_DIM(array, 0)
        if cnp.PyArray_NDIM(g) != cnp.PyArray_NDIM(w) or cnp.PyArray_DIM(g, 0) != n:
            raise Refused("shape", i, 1)
        for d in range(1, cnp.PyArray_NDIM(w)):
            if cnp.PyArray_DIM(g, d) != cnp.PyArray_DIM(w, d):
                raise Refused("shape", i, 1)
        at = <const int64_t*>cnp.PyArray_DATA(array)
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
            if s.strides[d] == 0 and s.shape[d] > 1 and slot != GRAD:
                raise Refused("itself", i, slot)
        if mapped:
            s.shape[0] = t.layout.nrows
        self.any_strided = True
        return 0

    cdef Range range_of(self, Py_ssize_t k) noexcept:
        # Of array k % SLOTS of tensor k // SLOTS, or one of self.ranges, which are numbered after these.
        cdef Range found
        cdef Py_ssize_t i = k // SLOTS, a = k % SLOTS
        cdef Tensor* t = &self.tensors[i]
        if i >= self.ntensors:
            return self.ranges[k - self.ntensors * SLOTS]
        found.low = <uintptr_t>t.data[a]
        found.high = found.low + t.size * ITEMSIZE[t.compute]
        found.origin = <int>(i * 16 + (a + 2) * 2 + (a != GRAD))
        return found

    cdef Py_ssize_t number_ranges(self, Py_ssize_t* numbers) noexcept:
        # Count the ranges; write their numbers, where there is room for them.
        cdef Py_ssize_t n = 0, i
        cdef int a
        for i in range(self.ntensors):
            if self.tensors[i].ranged or self.tensors[i].size == 0:
                continue
            for a in range(1 if self.alone else 2 + self.nstates):
                if numbers != NULL:
                    numbers[n] = i * SLOTS + a
                n += 1
        for i in range(self.nranges):
            if numbers != NULL:
                numbers[n] = self.ntensors * SLOTS + i
            n += 1
        return n

    cdef int refuse_overlaps(self) except -1:
        # Two threads must never write the same element, and nothing that is written may be read as
        # another's input: sort all memory ranges and look for a written one that begins before another ends.
        cdef Py_ssize_t n = self.number_ranges(NULL), i, j
        cdef uintptr_t end = 0, written_end = 0
        cdef Py_ssize_t few[32]
        cdef Range ranges[32]
        cdef Range one
        cdef Py_ssize_t[::1] order
        if n <= 32:
            self.number_ranges(few)
            for i in range(n):  # insertion sort
                one = self.range_of(few[i])
                j = i
                while j > 0 and ranges[j - 1].low > one.low:
                    ranges[j] = ranges[j - 1]
                    j -= 1
                ranges[j] = one
        else:
            order = self.by_address(n)
        for i in range(n):
            one = ranges[i] if n <= 32 else self.range_of(order[i])
            if one.low < (end if one.origin & 1 else written_end):
                self.name_overlap(n)
                return 0
            end = max(end, one.high)
            if one.origin & 1:
                written_end = max(written_end, one.high)
        return 0

    cdef object by_address(self, Py_ssize_t n):
        # Numbers of the ranges, by where they begin. One word holds the place (even, as no dtype is smaller
        # than two bytes) above the number: sorting words is several times faster than argsort.
        cdef Py_ssize_t[::1] numbers
        cdef uint64_t[::1] words
        cdef uintptr_t first, last, low
        cdef Py_ssize_t i
        cdef int bits = 1
        found = np.empty(n, np.intp)
        numbers = found
        self.number_ranges(&numbers[0])
        first = last = self.range_of(numbers[0]).low
        for i in range(n):
            low = self.range_of(numbers[i]).low
            first, last = min(first, low), max(last, low)
        while numbers[n - 1] >> bits:  # the largest
            bits += 1
        if (last - first) >> (65 - bits):
            return found[np.argsort([self.range_of(k).low for k in found], kind="stable")]
        words = found.view(np.uint64)
        for i in range(n):
            words[i] = (<uint64_t>(self.range_of(numbers[i]).low - first) >> 1 << bits) | <uint64_t>numbers[i]
        found.view(np.uint64).sort()
        for i in range(n):
            words[i] &= (<uint64_t>1 << bits) - 1
        return found

    cdef int name_overlap(self, Py_ssize_t n) except -1:
        # Slow and exact: which two arrays share an element? Interleaved views may share none.
        cdef Py_ssize_t i, j
        cdef Py_ssize_t[::1] order = self.by_address(n)
        cdef Range a, b
        for i in range(n):
            a = self.range_of(order[i])
            for j in range(i + 1, n):
                b = self.range_of(order[j])
                if b.low >= a.high:
                    break
                if not ((a.origin | b.origin) & 1):
                    continue
                if self.any_strided and not np.shares_memory(self.array_of(a.origin), self.array_of(b.origin)):
                    continue
                first, second = sorted((a.origin, b.origin))
                raise Refused("overlap", first // 16, first % 16 // 2 - 2, second // 16, second % 16 // 2 - 2)
        return 0

    cdef object array_of(self, int origin):
        cdef int i = origin // 16, role = origin % 16 // 2 - 2
        if role == 0:
            return self.owners[0][i]
        if role == 1:
            return self.owners[1][i]
        pointer = <uintptr_t>self.tensors[i].data[WEIGHT if role == -1 else role]
        return next(a for a in self.arrays_in(self.owners[2][i], i) if a.ctypes.data == pointer)

    def finite(self):
        """Whether every element of every gradient is finite."""
        cdef Pass c
        cdef int threads = get_num_threads() if self.total >= SERIAL_BELOW else 1, spoilt = 0
        c.tensors, c.ntensors, c.spoilt = self.tensors, self.ntensors, &spoilt
        c.by_row, c.nsums, c.narrays = False, 0, 1
        with nogil:
            run_threads(&c, 0, self.total, threads, NULL, 0)
        return not spoilt

    def run(self, Rule rule not None, object scalars not None, const int[::1] rows=None, object singles=None,
            object draw=None):
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

        Returns
        -------
        sums : float64 array (number of tensors, rule.nsums) or None
        """
        cdef Pass c
        cdef Py_ssize_t i, chunk, nchunks, per_thread
        cdef int threads = 1
        cdef char* scratch = NULL
        cdef double[:, ::1] sums, added
        cdef const double[:, ::1] table, single
        cdef double few[2][MAX_SCALARS]
        cdef Py_ssize_t nrows = len(scalars), k, block
        cdef tuple only, only_single
        if len(rule.arrays) > self.narrays or rule.by_row != self.by_row or rule.per_row != self.per_row:
            raise ValueError(f"the plan was not made for {rule!r}")
        if nrows == 1 and isinstance(scalars, list) and len(scalars[0]) >= rule.nscalars:
            # The common call: one row for all tensors. Reading it here saves a microsecond.
            only = scalars[0]
            only_single = only if singles is None else singles[0]
            for k in range(rule.nscalars):
                few[0][k], few[1][k] = only_single[k], only[k]
            c.scalars[0], c.scalars[1] = few[0], few[1]
            c.nscalars = rule.nscalars
        else:
            table = np.ascontiguousarray(scalars, np.float64)
            single = table if singles is None else np.ascontiguousarray(singles, np.float64)
            if nrows < 1 or table.shape[1] < rule.nscalars or (
                    table.shape[0] != single.shape[0] or table.shape[1] != single.shape[1]):
                raise ValueError(f"{rule!r} takes rows of {rule.nscalars} scalars")
            c.scalars[0], c.scalars[1] = &single[0, 0], &table[0, 0]
            c.nscalars = table.shape[1]
        if rows is None:
            if self.rowed:
                for i in range(self.ntensors):
                    self.tensors[i].row = 0
            self.rowed = False
        else:
            if rows.shape[0] != self.ntensors:
                raise ValueError("rows must have one entry a tensor")
            for i in range(self.ntensors):
                if rows[i] < 0 or rows[i] >= nrows:
                    raise ValueError("rows must name rows of the scalars")
                self.tensors[i].row = rows[i]
            self.rowed = True
        c.spoilt = NULL
        c.far = self.nelements >= FAR_FROM
        c.rules[0], c.rules[1], c.rules[2] = rule.single, rule.double_, rule.on_master
        c.tensors, c.ntensors = self.tensors, self.ntensors
        c.nsums, c.narrays, c.sums = rule.nsums, len(rule.arrays), NULL
        c.sums_weight = rule.sums_weight
        c.uses, c.writes, c.by_row = rule.uses, rule.writes, self.by_row
        c.mirrored = self.mirrored and (rule.writes & 1)
        c.scratch_items = round_up(max(BLOCK, self.widest), LINE)
        if rule.nsums:
            partial = np.zeros((max(self.nsum_blocks, 1), rule.nsums))
            sums = partial
            c.sums = &sums[0, 0]
        if self.total * c.narrays >= SERIAL_BELOW:
            threads = get_num_threads()
        if self.staged:
            scratch = <char*>malloc(threads * (SLOTS + 1) * c.scratch_items * 8)
            if scratch == NULL:
                raise MemoryError
        per_thread = (SLOTS + 1) * c.scratch_items * 8
        try:
            if self.ndrawn:
                self.run_drawn(&c, draw, threads, scratch, per_thread)
            else:
                with nogil:
                    run_threads(&c, 0, self.total, threads, scratch, per_thread)
        finally:
            free(scratch)
        if not rule.nsums:
            return None
        # In block order, one after the other.
        result = np.zeros((self.ntensors, rule.nsums))
        added = result
        for i in range(self.ntensors):
            block = self.tensors[i].first_sum
            for block in range(block, block + (self.tensors[i].size + SUM_BLOCK - 1) // SUM_BLOCK):
                for k in range(rule.nsums):
                    added[i, k] += sums[block, k]
        return result

    cdef int run_drawn(self, const Pass* c, object draw, int threads, char* scratch, Py_ssize_t per_thread) except -1:
        # Block by block: the input is never there as a whole, and is the same for any list. It is drawn in one thread,
        # whose order is the input's.
        cdef Tensor* t
        cdef Py_ssize_t i = 0, k, last, count, begin
        cdef int slot = self.narrays - 1
        cdef cnp.ndarray block
        while i < self.ntensors:
            t = &self.tensors[i]
            count, last = 0, i
            while (last < self.ntensors and self.tensors[last].compute == t.compute
                    and count + self.tensors[last].size <= DRAWN_BLOCK):
                count += self.tensors[last].size
                last += 1
            if last > i:  # small tensors share a block
                block = np.empty(count, np.float64 if t.compute == F64 else np.float32)
                draw(block)
                count = 0
                for k in range(i, last):
                    self.tensors[k].data[slot] = <char*>cnp.PyArray_DATA(block) + count * ITEMSIZE[t.compute]
                    count += self.tensors[k].size
                with nogil:
                    run_threads(c, t.start, self.tensors[last - 1].start + self.tensors[last - 1].size, threads,
                                scratch, per_thread)
                i = last
                continue
            drawn = np.empty(DRAWN_BLOCK, np.float64 if t.compute == F64 else np.float32)
            for begin in range(0, t.size, DRAWN_BLOCK):
                count = min(DRAWN_BLOCK, t.size - begin)
                block = drawn[:count]
                draw(block)
                t.data[slot] = <char*>cnp.PyArray_DATA(block) - begin * ITEMSIZE[t.compute]
                with nogil:
                    run_threads(c, t.start + begin, t.start + begin + count, threads, scratch, per_thread)
            i += 1
        return 0


cdef void run_part(const Pass* c, Py_ssize_t begin, Py_ssize_t end, char* scratch) noexcept nogil:
    cdef mxopt_control control = mxopt_flush_denormals()
    run_line(c, begin, end, scratch)
    mxopt_restore(control)


cdef void run_threads(const Pass* c, Py_ssize_t begin, Py_ssize_t end, int threads, char* scratch,
                      Py_ssize_t per_thread) noexcept nogil:
    cdef Py_ssize_t k, chunk, nchunks
    if threads == 1 or (end - begin) * c.narrays < SERIAL_BELOW:
        run_part(c, begin, end, scratch)
        return
    chunk = round_up((end - begin + 8 * threads - 1) // (8 * threads), LINE)
    nchunks = (end - begin + chunk - 1) // chunk
    for k in prange(nchunks, schedule="static", num_threads=threads):
        run_part(c, begin + k * chunk, min(begin + (k + 1) * chunk, end), scratch + threadid() * per_thread)


cdef inline bint same_shape(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef int d, ndim = cnp.PyArray_NDIM(a)
    if ndim != cnp.PyArray_NDIM(b):
        return False
    for d in range(ndim):
        if cnp.PyArray_DIM(a, d) != cnp.PyArray_DIM(b, d):
            return False
    return True


def count_up(dict counts not None, indices, begin):
    """Add one to each index's update count, new ones starting at `begin`.

    Returns
    -------
    tuple
        (old counts by index as they were, None for new ones; the new count if it is the same for all, else None)
    """
    cdef list before = []
    cdef object same = None, new
    cdef bint uniform = True
    cdef PyObject* found
    try:
        for index in indices:
            found = PyDict_GetItemWithError(counts, index)
            if found == NULL:
                new = begin + 1
                PyDict_SetItem(counts, index, new)
                before.append(None)
            else:
                old = <object>found
                new = old + 1
                PyDict_SetItem(counts, index, new)
                before.append(old)
            if same is None:
                same = new
            elif uniform and new != same:
                uniform = False
    except BaseException:  # an index that cannot be a key
        for index, old in reversed(list(zip(indices, before))):
            if old is None:
                del counts[index]
            else:
                counts[index] = old
        raise
    return before, (same if uniform else None)
