# The numbers of a step: update counts, and how MXNet's operators read their float parameters.
#
# A number travels from Python to an MXNet operator as its shortest decimal text, which the operator reads
# with a parser of its own: digits before the point one by one in float32, up to 19 digits after it as a
# quotient of two doubles, a power of ten as float32 factors of 1e8 and 10. One number in eight comes out
# a unit in the last place away from correct rounding, and a training run with it differs in the last bits.

from cpython.dict cimport PyDict_GetItemWithError, PyDict_SetItem
from cpython.mem cimport PyMem_Free
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.float cimport FLT_MAX

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* kind) except NULL


cdef extern from "<math.h>":
    float powf(float, float)


cdef extern from "control.h" nogil:
    ctypedef unsigned long mxopt_control
    mxopt_control mxopt_take_control(bint flush)
    void mxopt_give_back(mxopt_control)


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


# The last number that stood at each place of a row, and how it was read: most stay the same from step to
# step, and spelling one costs as much as stepping a small tensor.
cdef enum:
    PLACES = 24
cdef double[PLACES] last_value
cdef float[PLACES] last_read


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
    cdef double value
    cdef float nearest, text
    cdef char* spelled
    cdef list changed = None
    cdef Py_ssize_t i
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
        if i < PLACES and last_value[i] == value:
            text = last_read[i]
        else:
            spelled = PyOS_double_to_string(value, c"r", 0, 0, NULL)
            text = read_text(spelled)
            PyMem_Free(spelled)
            if i < PLACES:
                last_value[i], last_read[i] = value, text
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
        Where a correction stands in the row, and where its beta does.
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


def read_row(tuple row not None, tuple read not None, tuple corrections not None, double t, bint checked=False):
    """A row of scalars for float32 arithmetic: `as_read_by_mxnet`, then `corrected`.

    Returns
    -------
    tuple of float or None
        `row` itself where nothing differs. None when `checked` is false and float32 does not hold a scalar;
        rescale_grad and clip_gradient (its third and fourth) may be infinite or nan.
    """
    cdef mxopt_control control = mxopt_take_control(False)
    try:
        return _read_row(row, read, corrections, t, checked)
    finally:
        mxopt_give_back(control)


cdef object _read_row(tuple row, tuple read, tuple corrections, double t, bint checked):
    cdef Py_ssize_t i
    cdef double value
    if not checked:
        for i in range(PyTuple_GET_SIZE(row)):
            value = row[i]
            if not -FLT_MAX <= value <= FLT_MAX and (i != 2 and i != 3 or value - value == 0):
                return None
    row = as_read_by_mxnet(row, read)
    return corrected(row, corrections, t) if PyTuple_GET_SIZE(corrections) else row


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


def take_control():
    """Round to nearest, trap nothing, keep denormals: for the arithmetic of scalars.

    Returns
    -------
    int
        The floating-point control word as it was, for `give_back`.
    """
    return mxopt_take_control(False)


def give_back(mxopt_control control):
    """Restore a floating-point control word."""
    mxopt_give_back(control)
