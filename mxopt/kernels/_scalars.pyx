# The numbers of a step: how MXNet's operators read their float parameters, and what changes beside the arrays.
#
# A number travels from Python to an MXNet operator as its shortest decimal text, which the operator reads
# with its own parser: digits before the point one by one in float32, up to 19 digits after it as a
# quotient of two doubles, a power of ten as float32 factors of 1e8 and 10. One number in eight is off by
# a unit in the last place, and a training run with it differs in the last bits.

from cpython.dict cimport PyDict_DelItem, PyDict_GetItemWithError, PyDict_SetItem, PyDict_Update
from cpython.list cimport PyList_SetSlice
from cpython.mem cimport PyMem_Free
from cpython.object cimport PyObject_Hash
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.float cimport FLT_MAX
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cimport cython

import numpy as np

cdef object infinity = float("inf")

cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object, object, object) except -1
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* kind) except NULL


cdef extern from "<math.h>":
    float powf(float, float)


cdef extern from "control.h" nogil:
    ctypedef unsigned long mxopt_control
    mxopt_control mxopt_take_control(bint flush)
    void mxopt_give_back(mxopt_control)
    bint mxopt_is_ours(mxopt_control)


cdef float read_text(const char* s) noexcept nogil:
    cdef float value = 0, scale = 1
    cdef double digits = 0, power = 1
    cdef unsigned long long whole = 0, ten = 1
    cdef int count = 0, exponent = 0
    cdef bint negative = s[0] == c"-", divide = False
    if negative:
        s += 1
    while c"0" <= s[0] <= c"9":
        value = <float>(<float>(value * <float>10) + <float>(s[0] - c"0"))
        s += 1
    if s[0] == c".":
        s += 1
        while c"0" <= s[0] <= c"9":
            if count < 19:
                whole = whole * 10 + (s[0] - c"0")
                ten *= 10
            count += 1
            s += 1
        digits, power = <double>whole, <double>ten
        value = <float>(value + <float>(digits / power))
    if s[0] == c"e":
        s += 1
        divide = s[0] == c"-"
        if s[0] == c"-" or s[0] == c"+":
            s += 1
        while c"0" <= s[0] <= c"9":
            exponent = exponent * 10 + (s[0] - c"0")
            s += 1
        while exponent >= 8:
            scale = <float>(scale * <float>1e8)
            exponent -= 8
        while exponent > 0:
            scale = <float>(scale * <float>10)
            exponent -= 1
        value = <float>(value / scale) if divide else <float>(value * scale)
    return -value if negative else value


cdef extern from "memo.h" nogil:
    # Most numbers stay the same from step to step, and formatting one costs as much as stepping a small tensor.
    int PLACES "MXOPT_PLACES"
    ctypedef struct mxopt_memo:
        double* value
        float* read
    mxopt_memo* mxopt_my_memo()


def as_read_by_mxnet(tuple row not None, tuple read not None):
    """A row of scalars as MXNet's float32 operators see them.

    Parameters
    ----------
    row : tuple of float
    read : tuple of bool
        Which of them reach the operator as text.

    Returns
    -------
    tuple of float
        `row` itself when every number is read as its nearest float32.
    """
    return read_as_text(row, read)


cdef tuple read_as_text(tuple row, tuple read):
    cdef double value
    cdef float nearest, text
    cdef char* spelled
    cdef list changed = None
    cdef Py_ssize_t i
    cdef mxopt_memo* last = mxopt_my_memo()
    if len(read) < len(row):
        raise ValueError(f"read must have an entry for each of the {len(row)} scalars, got {len(read)}")
    for i in range(len(row)):
        value = row[i]
        # Between these, and for whole powers of two and zero, the parser rounds correctly.
        if not read[i] or 1e-4 <= value < 1 or value == 0 or value != value or value - value != 0:
            continue
        nearest = <float>value
        if <double>nearest == value and 1 <= value < 16777216:
            continue
        if i < PLACES and last.value[i] == value:
            text = last.read[i]
        else:
            spelled = PyOS_double_to_string(value, c"r", 0, 0, NULL)
            text = read_text(spelled)
            PyMem_Free(spelled)
            if i < PLACES:
                last.value[i], last.read[i] = value, text
        if text != nearest:
            if changed is None:
                changed = list(row)
            changed[i] = <double>text
    return row if changed is None else tuple(changed)


def corrected(tuple row not None, tuple corrections not None, double t):
    """A row of scalars with the bias corrections as MXNet's float32 kernels compute them.

    Parameters
    ----------
    row : tuple of float
        For float32 arithmetic.
    corrections : tuple of (int, int)
        The positions of a correction and of its beta in the row.
    t : float
        The update count. A correction of exactly 1 is one that is switched off and stays.

    Returns
    -------
    tuple of float
        With 1 - powf(beta, t) at the corrections' places.
    """
    cdef list changed = list(row)
    cdef Py_ssize_t at, beta, n = len(row)
    for at, beta in corrections:
        if not (0 <= at < n and 0 <= beta < n):
            raise ValueError(f"corrections must name places of the {n} scalars, got {(at, beta)}")
        if row[at] != 1:
            changed[at] = <float>1 - powf(<float>row[beta], <float>t)
    return tuple(changed)


cdef enum:  # what a scalar may be; see `read_row`
    FINITE = 0
    LIMIT = 1
    ANYTHING = 2


def read_row(tuple row not None, tuple read not None, tuple corrections not None, double t, bytes may_be=None):
    """A row of scalars for float32 arithmetic: `as_read_by_mxnet`, then `corrected`.

    Parameters
    ----------
    may_be : bytes, optional
        What each scalar may be: 0 a number that float32 holds, 1 also infinity (no limit), 2 anything, infinity
        and nan included. Not given: all may be anything.

    Returns
    -------
    tuple of float or None
        `row` itself where nothing differs; None when a scalar is not what it may be.
    """
    return row_read(row, read, corrections, t, may_be)


cdef object row_read(tuple row, tuple read, tuple corrections, double t, bytes may_be):
    cdef mxopt_control control = mxopt_take_control(False)
    try:
        return row_read_to_nearest(row, read, corrections, t, may_be)
    finally:
        mxopt_give_back(control)


cdef object row_read_to_nearest(tuple row, tuple read, tuple corrections, double t, bytes may_be):
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(row)
    cdef const unsigned char* kinds
    cdef object scalar
    cdef double value
    if may_be is not None:
        if len(may_be) < n:
            raise ValueError(f"may_be must have an entry for each of the {n} scalars, got {len(may_be)}")
        kinds = may_be
    for i in range(n if may_be is not None else 0):
        scalar = row[i]
        if not isinstance(scalar, (float, int)):
            # What NumPy makes of a one-element array differs from version to version: a number, a warning, an error.
            raise TypeError(f"a scalar must be a float, got {type(scalar).__name__}")
        value = scalar
        if not -FLT_MAX <= value <= FLT_MAX and (
                value - value == 0 or kinds[i] == FINITE or (kinds[i] == LIMIT and not value > 0)):
            return None
    row = read_as_text(row, read)
    return corrected(row, corrections, t) if PyTuple_GET_SIZE(corrections) else row


def rescale_of(optimizer):
    """An optimizer's `rescale_grad` where it is a float, else what its `_converted_rescale` says."""
    cdef object rescale = optimizer.rescale_grad
    return rescale if type(rescale) is float else optimizer._converted_rescale()


def clip_of(optimizer):
    """An optimizer's `clip_gradient` where it is a bound, infinity for None, else what its `_checked_clip` says."""
    cdef object clip = optimizer.clip_gradient
    if clip is None:
        return infinity
    if type(clip) is float and <double>clip > 0:
        return clip
    return optimizer._checked_clip()


@cython.freelist(8)
cdef class Scalars:
    """The scalars of a call: rows of numbers, and which of them each tensor takes.

    Parameters
    ----------
    table : list of k tuples of float, or float64 array (k, m)
        The rows, for arithmetic in double.
    rows : int32 array (number of tensors,), optional
        Each tensor's row; all take the first when not given.
    singles : like `table`, optional
        What float32 arithmetic takes instead.
    """

    def __init__(self, table, rows=None, singles=None):
        self.table, self.rows, self.singles = table, rows, singles

    def each(self, Py_ssize_t n):
        """The same with a row of its own for each of `n` tensors, in arrays that may be written to."""
        # not int32: NumPy would widen it to index, and overlooks that there was no memory for that
        rows = np.zeros(n, np.intp) if self.rows is None else self.rows.astype(np.intp)
        table = np.array(self.table, np.float64)[rows]
        singles = table.copy() if self.singles is None else np.array(self.singles, np.float64)[rows]
        return Scalars(table, np.arange(n, dtype=np.int32), singles)

    def by_choice(self, chosen, singles):
        """The same with other `singles`, row by row, for the tensors that are `chosen` (list of bool)."""
        rows = np.zeros(len(chosen), np.int32) if self.rows is None else self.rows
        rows = rows + len(self.table) * np.array(chosen, np.int32)
        return Scalars([*self.table, *self.table], rows, [*(self.singles or self.table), *singles])


cdef object one_row(tuple row, tuple read, tuple corrections, double t, bytes may_be=None):
    """The scalars of a call whose tensors all take the same row; arguments, and None, as of `read_row`."""
    cdef object single = row_read(row, read, corrections, t, may_be)
    cdef Scalars made
    if single is None:
        return None
    made = Scalars.__new__(Scalars)
    made.table = [row]
    if single is not row:
        made.singles = [single]
    return made


# ---------------------------------------------------------------------------------------------------
# What a step changes besides the arrays


cdef enum:
    FEW = 64  # places of a table that needs no memory of its own


cdef bint has_twice(object indices, Py_ssize_t n) except -1:
    # Whether an index occurs twice. A table holds the hashes, cut to 32 bits; equal ones are compared in full.
    cdef uint32_t few[FEW]
    cdef uint32_t* table = few
    cdef Py_ssize_t size = FEW, at
    cdef uint32_t cut
    cdef bint met = False
    while size < 2 * n:
        size *= 2
    if size > FEW:
        table = <uint32_t*>malloc(size * sizeof(uint32_t))
        if table == NULL:
            raise MemoryError
    memset(table, 0, size * sizeof(uint32_t))
    try:
        for index in indices:
            cut = <uint32_t>(PyObject_Hash(index) + 1)
            if cut == 0:
                cut = 1
            at = cut & (size - 1)
            while table[at] != 0 and table[at] != cut:
                at = (at + 1) & (size - 1)
            if table[at] == cut:
                met = True
                break
            table[at] = cut
    finally:
        if table != few:
            free(table)
    return met and len(set(indices)) < n


@cython.freelist(8)
cdef class Ledger:
    """What a step will have changed beside the arrays: worked out first, written in one go.

    Parameters
    ----------
    counts : dict
        Update counts by index.
    indices : sequence
    begin : int
        Where new indices start.
    owner : object, optional
        The optimizer.

    Attributes
    ----------
    rate : float or None
        The learning rate without multipliers, for classes that ask for it; not written.
    t : int or None
        The new count, if it is the same for all.
    new : list of int or None
        The new count of each index, where they differ.
    fresh : list of int or None
        Which of the indices, by position, had no count.
    twice : bool
        Whether an index occurs twice; then `t` is None.
    number : int or None
        The new `num_update` of `owner`; None: it stays.
    attributes : dict or None
        Further new attributes of `owner`.
    schedule : list of (dict or list, its new content), or None
        As `put_back` returns it.
    added : list of (dict, dict), or ()
        What is added to which dicts.
    by_our_code : bool
        Whether the rates were worked out without a scheduler or an overridden method; not written.
    """

    @property
    def added(self):
        return self.more or ()

    @added.setter
    def added(self, value):
        self.more = value

    def __init__(self, dict counts not None, indices, begin, owner=None):
        self.foresee(counts, indices, begin, owner)

    cdef int foresee(self, dict counts, object indices, object begin, object owner) except -1:
        # Work out the new counts.
        cdef PyObject* found = NULL
        cdef PyObject* last = NULL
        cdef object one = None
        cdef Py_ssize_t k = 0
        self.counts, self.indices, self.owner = counts, indices, owner
        try:
            for index in indices:
                found = NULL
                found = PyDict_GetItemWithError(counts, index)
                if found == NULL:
                    one = begin + 1
                    if self.fresh is None:
                        self.fresh = []
                    self.fresh.append(k)
                elif found != last:
                    one = <object>found + 1
                last = found
                if k == 0:
                    self.t = one
                elif self.new is not None:
                    self.new.append(one)
                elif one is not self.t and one != self.t:
                    self.new = [self.t] * k
                    self.new.append(one)
                k += 1
        except TypeError:
            if found == NULL or isinstance(<object>found, (int, float)):
                raise
            raise TypeError(f"the update count of index {index!r} must be a number, got {<object>found!r}") from None
        if self.new is not None:
            self.t = None
        if k > 1 and has_twice(indices, k):
            self.twice, self.t = True, None
        return 0

    def count_of(self, Py_ssize_t position):
        """The new count of one index, by its position."""
        return self.t if self.new is None else self.new[position]

    cpdef compare(self):
        """Raise if a count is no longer what the new one was worked out from: the caller's code may have stepped."""
        cdef Py_ssize_t k = 0
        cdef PyObject* found
        cdef PyObject* last = NULL  # a call's counts are mostly one object
        cdef set fresh = None if self.fresh is None else set(self.fresh)
        cdef bint new, one_count = self.new is None
        for index in self.indices:
            found = PyDict_GetItemWithError(self.counts, index)
            new = fresh is not None and k in fresh
            if (found == NULL) != new or (
                    found != NULL and not (one_count and found == last) and <object>found + 1 != self.count_of(k)):
                raise RuntimeError(
                    f"index {index!r} was stepped while a step of it was being prepared, by the scheduler or another "
                    "function that the step calls; step it before or after, and nothing has changed by this one"
                )
            last = found
            k += 1

    cpdef write(self):
        """Change everything that the ledger holds; an error leaves all as it was.

        No Python code runs here as long as indices and attributes are ordinary ones, so that neither an
        interrupt nor another thread comes in between.
        """
        cdef Py_ssize_t k = 0
        cdef object one, number = None
        cdef list before = None, schedule = None
        cdef dict attributes = None
        if self.more is not None:
            before = []
            for target, values in self.more:
                before.append((target, {key: (<dict>target).get(key, Ledger) for key in values}))
        if self.schedule is not None:
            schedule = []
            for target, _ in self.schedule:
                schedule.append((target, copied(target)))
        if self.attributes:
            attributes = {name: getattr(self.owner, name) for name in self.attributes}
        if self.number is not None:
            number = self.owner.num_update
        try:
            for index in self.indices:
                one = self.t if self.new is None else self.new[k]
                PyDict_SetItem(self.counts, index, one)
                k += 1
            if before is not None:
                for target, values in self.more:
                    PyDict_Update(target, values)
            if schedule is not None:
                for target, content in self.schedule:
                    fill(target, content)
            if attributes is not None:
                for name, one in self.attributes.items():
                    setattr(self.owner, name, one)
            if self.number is not None:  # without the checks of `Optimizer.__setattr__`
                PyObject_GenericSetAttr(self.owner, "num_update", self.number)
        except BaseException:
            self.undo(k, before or [], schedule or [], attributes or {}, number)
            raise

    cdef undo(self, Py_ssize_t written, list before, list schedule, dict attributes, number):
        fresh = set(self.fresh or ())
        for k, index in enumerate(self.indices):
            if k >= written:
                break
            if k in fresh:
                del self.counts[index]
            else:
                self.counts[index] = self.count_of(k) - 1
        for target, values in before:
            for key, value in values.items():
                if value is not Ledger:
                    target[key] = value
                elif key in target:
                    del target[key]
        for target, content in schedule:
            fill(target, content)
        for name, value in attributes.items():
            setattr(self.owner, name, value)
        if number is not None:
            PyObject_GenericSetAttr(self.owner, "num_update", number)


cdef object copied(object container):
    return (<dict>container).copy() if isinstance(container, dict) else list(<list>container)


cdef int fill(object container, object content) except -1:
    # Give a dict or list the contents of another.
    if isinstance(container, dict):
        PyDict_Update(container, content)
        if len(<dict>container) != len(<dict>content):
            for key in (<dict>container).keys() - (<dict>content).keys():
                PyDict_DelItem(container, key)
    else:
        PyList_SetSlice(container, 0, len(<list>container), content)
    return 0


cpdef tuple ahead(optimizer, indices):
    """The numbers of a call: its new counts and each tensor's rates. Nothing is changed.

    A method of `Rates`. Tensors are counted one by one, each before its own rate is read, so that a list gives the
    same rates as single calls.

    Parameters
    ----------
    indices : list

    Returns
    -------
    rates : list of (t, lr, wd)
        One for each index, or a single one if they are all equal.
    ledger : Ledger
        The counts, `num_update` and the scheduler's position, to be written with the arrays.
    """
    cdef Ledger ledger
    cdef object t, lr, wd
    cdef bint apart = optimizer._rates_apart
    if apart and optimizer._own_rates:
        return optimizer._ahead_by_own_rates(indices)
    ledger = Ledger.__new__(Ledger)
    counts = optimizer._index_update_count
    if not isinstance(counts, dict):
        raise TypeError(f"_index_update_count must be a dict, got {type(counts).__name__}")
    ledger.foresee(<dict>counts, indices, optimizer.begin_num_update, optimizer)
    t = ledger.t
    ledger.by_our_code = optimizer.lr_scheduler is None
    if t is None or not ledger.by_our_code or optimizer.lr_mult or optimizer.wd_mult or optimizer.param_dict or (
            len(indices) > 1 and optimizer.scalars_differ):
        return optimizer._ahead_apart(indices, ledger), ledger
    if t > optimizer.num_update:
        ledger.number = t
    lr, wd = optimizer.lr, optimizer.wd
    if apart:  # they are checked, here for all tensors at once
        optimizer.check_rates(indices[0], lr, wd)
    return [(t, lr, wd)], ledger


cpdef Scalars scalars_of(optimizer, list rates, Ledger ledger):
    """The scalars of a call; other attributes that they advance go to the ledger.

    A method of `RuleScalars`.

    Parameters
    ----------
    rates : list of (t, lr, wd)
    ledger : Ledger
        As from `ahead`.

    Returns
    -------
    Scalars
    """
    cdef tuple row
    cdef Scalars made = None
    if len(rates) != 1:
        return optimizer._tabulated(rates, optimizer.scalars)
    t, lr, wd = rates[0]
    row = optimizer.scalars(t, lr, wd)
    try:
        made = one_row(row, optimizer._read_as_text, optimizer._corrections, t, optimizer._may_be)
    except TypeError:
        pass
    if made is None:  # where that is an error, `_row` words it
        row, single = optimizer._row(row, t)
        made = Scalars([row], None, None if single is row else [single])
    return made


def remember(scheduler):
    """What a learning-rate scheduler may change of itself and of schedulers that it wraps, to `put_back`.

    Returns
    -------
    list of (dict or list, copy of it)
    """
    cdef list found = []
    walk(scheduler, found, set())
    return found


cdef int walk(object holder, list found, set seen) except -1:
    cdef object own
    if id(holder) in seen or len(found) > 1000:
        return 0
    seen.add(id(holder))
    if isinstance(holder, (list, dict)):
        own = holder
    else:
        own = getattr(holder, "__dict__", None)
        if not isinstance(own, dict):
            return 0
    found.append((own, copied(own)))
    for value in (<dict>own).values() if isinstance(own, dict) else own:
        kind = type(value)
        if kind is float or kind is int or kind is bool or kind is str or value is None:
            continue
        if kind is list or kind is dict or (hasattr(value, "base_lr") and callable(value)):
            walk(value, found, seen)
    return 0


def put_back(list memory not None):
    """Make all that `remember` found as it was then.

    Returns
    -------
    list of (dict or list, copy of it) or None
        What it was just now; None where nothing had changed.
    """
    cdef list now
    cdef bint changed = False
    for container, content in memory:
        if not alike(container, content):
            changed = True
            break
    if not changed:
        return None
    now = []
    for container, _ in memory:
        now.append((container, copied(container)))
    for container, content in memory:
        fill(container, content)
    return now


cdef bint alike(object one, object other) except -1:
    # Whether two dicts or lists hold the very same objects.
    if len(one) != len(other):
        return False
    if isinstance(one, dict):
        for key, value in (<dict>one).items():
            if (<dict>other).get(key, Ledger) is not value:
                return False
        return True
    for value, held in zip(one, other):
        if value is not held:
            return False
    return True


def restore(dict target not None, dict values not None, missing):
    """Give keys of a dict the values that they had; those that were `missing` go."""
    for key, value in values.items():
        if value is not missing:
            PyDict_SetItem(target, key, value)
        elif key in target:
            PyDict_DelItem(target, key)


def take_control():
    """Round to nearest, trap nothing, keep denormals: for the arithmetic of scalars.

    Returns
    -------
    int or None
        The floating-point control word as it was, for `give_back`; None where it was so already.
    """
    cdef mxopt_control old = mxopt_take_control(False)
    if mxopt_is_ours(old):
        mxopt_give_back(old)
        return None
    return old


def give_back(mxopt_control control):
    """Restore a floating-point control word."""
    mxopt_give_back(control)
