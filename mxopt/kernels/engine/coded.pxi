# States in fewer bits: a code for each number, and where the code has them, scales that blocks of numbers share. A
# code is a kind of storage (storage.h): the engine decodes a block to scratch, runs the rule and encodes it again.


cdef inline uint64_t key_of(uint64_t seed, uint64_t update) noexcept nogil:
    # The key of the random bits of one update: a step of splitmix64.
    cdef uint64_t z = seed + (update + 1) * <uint64_t>0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


def quantisers():
    """The names of the ways to keep a `Narrow`, and whether each has scales."""
    return {STORAGE[kind].name.decode(): bool(STORAGE[kind].has_scales) for kind in range(BF16, SPLIT)}


cdef int kind_of(str quantiser) except -1:
    cdef int kind
    for kind in range(BF16, SPLIT):
        if STORAGE[kind].name.decode() == quantiser:
            return kind
    raise ValueError(f"unknown quantiser {quantiser!r}")


cdef class Narrow:
    """An array of a state that is kept in fewer bits than float32.

    Parameters
    ----------
    quantiser : {'bfloat16', 'bfloat16-stochastic', 'int8-square', 'uint8-fourth'}
        How a number becomes its code.
    q : ndarray
        The codes, in C order: bfloat16, int8 or uint8.
    scale : float32 array, optional
        The largest magnitude of each block of 256 numbers: of shape (blocks,), or (rows, blocks of a row) if blocks end
        where rows end. Not given: zeros, for codes that have one.
    seed : int, default 0
        Tells the random bits of ``bfloat16-stochastic``, together with an update's number and a number's place.
    by_rows : bool, default False
        Without a scale: whether blocks end where rows end, so that rows can be updated alone.

    Attributes
    ----------
    quantiser, q, scale, seed
        The arguments.
    """

    cdef readonly str quantiser
    cdef readonly cnp.ndarray q
    cdef readonly object scale
    cdef readonly uint64_t seed
    cdef int kind

    def __init__(self, str quantiser not None, cnp.ndarray q not None, scale=None, seed=0, bint by_rows=False):
        cdef tuple shape = (<object>q).shape
        self.kind = kind_of(quantiser)
        dtype = {1: "int8", 2: "uint8"}.get(self.kind - BF16_RANDOM, "bfloat16")
        if q.dtype.name != dtype or not q.flags.c_contiguous or <uintptr_t>cnp.PyArray_DATA(q) % 2:
            raise ValueError(f"the codes of {quantiser} must be {dtype} in C order, got {q.dtype}")
        if STORAGE[self.kind].has_scales:
            if scale is None:
                scale = np.zeros(blocks_of(shape, by_rows), np.float32)
            elif not isinstance(scale, np.ndarray) or scale.dtype != np.float32 or not scale.flags.carray:
                raise ValueError(f"the scale of {quantiser} must be a writeable float32 array in C order")
            elif scale.shape not in (blocks_of(shape, False), blocks_of(shape, True)):
                raise ValueError(f"a scale of shape {scale.shape} does not fit codes of shape {shape}")
        elif scale is not None:
            raise ValueError(f"{quantiser} has no scale")
        self.quantiser, self.q, self.scale, self.seed = quantiser, q, scale, seed

    @property
    def shape(self):
        """The shape of the array that it stands for."""
        return (<object>self.q).shape

    @property
    def ndim(self):
        """How many dimensions it has."""
        return cnp.PyArray_NDIM(self.q)

    @property
    def size(self):
        """How many numbers it holds."""
        return cnp.PyArray_SIZE(self.q)

    @property
    def dtype(self):
        """The dtype of the codes."""
        return (<object>self.q).dtype

    @property
    def nbytes(self):
        """Bytes of codes and scales."""
        return self.q.nbytes + (0 if self.scale is None else self.scale.nbytes)

    @property
    def arrays(self):
        """Codes and scales, a tuple of arrays."""
        return (self.q,) if self.scale is None else (self.q, self.scale)

    def widened(self):
        """The numbers as a new float32 array."""
        made = np.empty(self.shape, np.float32)
        self.convert(made, False, 0)
        return made

    def stored(self, values, update=0):
        """A new one of this kind that holds other numbers.

        Parameters
        ----------
        values : array of this shape
        update : int, default 0
            The number of the update that made them.
        """
        scale = None if self.scale is None else np.empty_like(self.scale)
        made = Narrow(self.quantiser, np.empty_like(self.q), scale, self.seed)
        made.convert(np.ascontiguousarray(values, np.float32).reshape(self.shape), True, update)
        return made

    cdef int convert(self, cnp.ndarray numbers, bint storing, uint64_t update) except -1:
        # Between these codes and float32 numbers in C order, row by row.
        cdef Coded coded
        cdef Tensor t
        cdef Py_ssize_t size = cnp.PyArray_SIZE(self.q), p = 0, n
        cdef char* at = <char*>cnp.PyArray_DATA(numbers)
        cdef mxopt_control control
        memset(&t, 0, sizeof(t))
        memset(&coded, 0, sizeof(coded))
        t.coded, t.compute, t.dtype[2], t.data[2] = &coded, F32, self.kind, <char*>cnp.PyArray_DATA(self.q)
        coded.keys[2] = key_of(self.seed, update)
        if self.scale is not None:
            coded.scales[2] = <float*>cnp.PyArray_DATA(self.scale)
            if self.scale.ndim == 2:
                coded.row = max(size // max(cnp.PyArray_DIM(self.q, 0), 1), 1)
        control = mxopt_take_control(True)
        while p < size:
            n = whole_blocks(&t, p, size - p)
            move(&t, 2, p, n, at + 4 * p, NULL, storing)
            p += n
        mxopt_give_back(control)
        return 0

    def __reduce__(self):
        return Narrow, (self.quantiser, self.q, self.scale, self.seed)

    def __deepcopy__(self, memo):
        return Narrow(self.quantiser, self.q.copy(), None if self.scale is None else self.scale.copy(), self.seed)

    def __repr__(self):
        return f"Narrow({self.quantiser!r}, shape={self.shape})"


cdef tuple blocks_of(shape, bint by_rows):
    # The shape of the scales of an array.
    cdef Py_ssize_t size = 1
    for n in (shape[1:] if by_rows else shape):
        size *= n
    blocks = (size + CODE_BLOCK - 1) // CODE_BLOCK
    return (shape[0] if shape else 1, blocks) if by_rows else (blocks,)


cdef class Split:
    """The float32 master of a bfloat16 weight, of which it keeps the low 16 bits: the upper ones are the weight.

    The weight is the master rounded to nearest, ties away from zero, and as a signed number ``low`` is what the weight's
    bits lack or have too much. So a weight that is written by hand is the master too, to within half of its last digit.

    Parameters
    ----------
    low : uint16 array
        Of the weight's shape.
    weight : bfloat16 array, optional
        The weight, if it is known already.

    Attributes
    ----------
    low
        The argument.
    weight : array or None
        The weight of the last step: what `widened` needs. Copies forget it.
    """

    cdef readonly cnp.ndarray low
    cdef public object weight

    def __init__(self, cnp.ndarray low not None, weight=None):
        if cnp.PyArray_TYPE(low) != cnp.NPY_UINT16 or not cnp.PyArray_ISNOTSWAPPED(low):
            raise ValueError(f"the low halves of a master must be a uint16 array, got {low.dtype}")
        self.low, self.weight = low, weight

    @property
    def shape(self):
        """The weight's shape."""
        return (<object>self.low).shape

    @property
    def ndim(self):
        """How many dimensions it has."""
        return cnp.PyArray_NDIM(self.low)

    @property
    def size(self):
        """How many numbers it holds."""
        return cnp.PyArray_SIZE(self.low)

    @property
    def dtype(self):
        """The dtype of the low halves."""
        return (<object>self.low).dtype

    @property
    def nbytes(self):
        """Bytes of the low halves."""
        return self.low.nbytes

    def of(self, weight):
        """The same low halves with a weight."""
        return Split(self.low, weight)

    def widened(self):
        """The masters as a new float32 array, in the weight's memory order."""
        if self.weight is None:
            raise ValueError("the upper halves of a master are its weight, which is not known before a step")
        return join_halves(self.weight, self.low)

    def halves_of(self, values):
        """What a weight and the low halves must hold for other masters: two new arrays.

        Parameters
        ----------
        values : array of this shape
        """
        upper, low = part_halves(np.asarray(values, np.float32))
        return upper.view(self.weight.dtype), low

    def __reduce__(self):
        return Split, (self.low,)

    def __deepcopy__(self, memo):
        return Split(self.low.copy(order="K"))

    def __repr__(self):
        return f"Split(shape={self.shape})"


def join_halves(weight, cnp.ndarray low not None):
    """The float32 masters of bfloat16 weights and their low halves; see `Split`."""
    if (<object>low).shape != weight.shape:
        raise ValueError(f"low halves of shape {(<object>low).shape} do not fit a weight of shape {weight.shape}")
    if weight.dtype.itemsize != 2:
        raise ValueError(f"low halves go with bfloat16 weights, got {weight.dtype}")
    turned = weight.flags.f_contiguous and not weight.flags.c_contiguous
    cdef cnp.ndarray upper = np.ascontiguousarray(weight.T if turned else weight).view(np.uint16)
    cdef cnp.ndarray under = np.ascontiguousarray(low.T if turned else low)
    cdef cnp.ndarray made = np.empty((<object>upper).shape, np.float32)
    STORAGE[SPLIT].join(cnp.PyArray_DATA(upper), cnp.PyArray_DATA(under), <float*>cnp.PyArray_DATA(made),
                        cnp.PyArray_SIZE(made))
    found = made.reshape(low.T.shape if turned else weight.shape)
    return found.T if turned else found


def part_halves(values):
    """The upper halves, rounded to nearest, and the low halves of float32 masters: two new uint16 arrays."""
    turned = values.flags.f_contiguous and not values.flags.c_contiguous
    shape = values.T.shape if turned else values.shape
    cdef cnp.ndarray source = np.ascontiguousarray(values.T if turned else values, np.float32)
    cdef cnp.ndarray upper = np.empty(shape, np.uint16), low = np.empty(shape, np.uint16)
    STORAGE[SPLIT].part(<float*>cnp.PyArray_DATA(source), cnp.PyArray_DATA(upper), cnp.PyArray_DATA(low),
                        cnp.PyArray_SIZE(source))
    return (upper.T, low.T) if turned else (upper, low)
