# Rules as the engine sees them, and the table of storage dtypes that comes with them.

ctypedef fused real:
    float
    double


def use_normals(tuple functions):
    """Take the functions that were built for the chosen instruction set."""
    for compute in range(2):
        NORMALS[compute] = <normals_fn>PyCapsule_GetPointer(functions[compute], "mxopt.normals")


def normals(uint64_t key, uint64_t place, real[::1] out not None):
    """Fill an array with the normal numbers of a stream from a place on.

    Parameters
    ----------
    key : int
        Which stream.
    place : int
        Of the first number. A number depends on key, place and type alone.
    out : float32 or float64 array (n,)
    """
    cdef Py_ssize_t n = out.shape[0]
    cdef mxopt_control control
    if n == 0:
        return
    with nogil:
        control = mxopt_take_control(False)
        NORMALS[0 if real is float else 1](key, place, &out[0], n)
        mxopt_give_back(control)


cdef class Stream:
    """Places in a stream of normal numbers, given out one after the other.

    Parameters
    ----------
    key : int
        Which stream, 0 to 2**64 - 1.
    place : int, default 0
        The next number's.
    """

    cdef readonly uint64_t key, place

    def __init__(self, uint64_t key, uint64_t place=0):
        self.key, self.place = key, place

    def take(self, Py_ssize_t n):
        """The (key, place) of the next `n` numbers, which no other call gets."""
        cdef uint64_t place = self.place
        self.place = place + <uint64_t>n
        return self.key, place


def use_fade(tuple functions):
    """Take the functions that fade states, built for the chosen instruction set."""
    for compute in range(2):
        FADE[compute] = <fade_fn>PyCapsule_GetPointer(functions[compute], "mxopt.fade")


def use_storage(table):
    """Take the table of storage dtypes that was built for the chosen instruction set.

    Returns
    -------
    dict
        Bytes an element of each, by name, in the order of their numbers.
    """
    global STORAGE
    STORAGE = <const Storage*>PyCapsule_GetPointer(table, "mxopt.storage")
    return {STORAGE[dtype].name.decode(): STORAGE[dtype].itemsize for dtype in range(DTYPES)}


cdef class Rule:
    """One registered rule: its loops for float and double and what they read and write."""

    cdef rule_fn single, double_, on_master
    cdef rule_fn narrow[2]
    cdef Choice choices[CLASSES]
    cdef unsigned int uses, writes, per_row, per_tensor
    cdef int number[MAX_ARRAYS]  # where a number of the tensor is among the scalars
    cdef int nscalars
    cdef readonly str name
    cdef readonly tuple arrays
    cdef readonly tuple scalars
    cdef readonly tuple sums
    cdef readonly int nsums
    cdef readonly bint sums_weight  # it is handed the weights as they are stored
    cdef readonly bint by_row
    cdef readonly bint drawn
    cdef rests_fn rests[2]
    cdef int fades[MAX_ARRAYS]  # of each array the scalar that it is multiplied by while its row rests, or -1
    cdef double zeros[MAX_ARRAYS]
    cdef readonly tuple still
    cdef readonly bint settles

    def __init__(self, str name, dict entry):
        self.name = name
        self.single = <rule_fn>PyCapsule_GetPointer(entry["float32"], "mxopt.rule")
        self.double_ = <rule_fn>PyCapsule_GetPointer(entry["float64"], "mxopt.rule")
        self.on_master = <rule_fn>PyCapsule_GetPointer(entry["on_master"], "mxopt.rule")
        for i, loop in enumerate(entry.get("narrow", ())):
            self.narrow[i] = <rule_fn>PyCapsule_GetPointer(loop, "mxopt.rule")
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
        self.still, self.settles = entry["still"], entry["settles"]
        if entry["rests"] is not None:
            *functions, fading = entry["rests"]
            for compute in range(2):
                self.rests[compute] = <rests_fn>PyCapsule_GetPointer(functions[compute], "mxopt.rests")
            for i in range(MAX_ARRAYS):
                self.fades[i] = -1
            for name, scalar, sign in fading:
                i = self.arrays.index(name)
                self.fades[i], self.zeros[i] = self.scalars.index(scalar), 0.0 if sign == "+" else -0.0
        self.drawn = entry["arrays"][len(self.arrays) - 1].endswith("/drawn")
        if self.drawn and (self.by_row or self.nsums):
            raise ValueError(f"{name}: a rule with a drawn input has neither rows nor sums")
        writes = entry["writes"]
        for i, array in enumerate(entry["arrays"]):
            if array.endswith("/tensor"):
                self.per_tensor |= 1u << i
                self.number[i] = self.scalars.index(self.arrays[i])
                continue
            if array != "-":
                self.uses |= 1u << i
            if array.endswith("/row"):
                self.per_row |= 1u << i
            if (i != GRAD and array != "-" and not array.endswith("/drawn")) if writes is None else (
                    self.arrays[i] in writes):
                self.writes |= 1u << i

    @property
    def can_rest(self):
        """Whether it is known when rows without a gradient rest."""
        return self.rests[0] != NULL

    @property
    def numbers(self):
        """The names of the states that are one number a tensor."""
        return tuple(name for i, name in enumerate(self.arrays) if (self.per_tensor >> i) & 1)

    @property
    def chosen(self):
        """What its large calls settled on, 'prefetch' or 'plain', by the smallest size (elements of all arrays)."""
        cdef int k
        found = {}
        for k in range(CLASSES):
            if self.choices[k].tried >= 2 * TRIES:
                found[1 << (k + CLASS_FROM)] = "plain" if self.choices[k].second else "prefetch"
        return found

    @property
    def only_reads(self):
        """Whether it writes to none of its arrays: it is run for its sums."""
        return self.writes == 0

    @property
    def streams(self):
        """What the rule does to each of its arrays: 'written' (and read before), 'read' or None."""
        cdef unsigned int reads = self.uses | self.sums_weight << WEIGHT
        return tuple("written" if (self.writes >> a) & 1 else ("read" if (reads >> a) & 1 else None)
                     for a in range(len(self.arrays)))

    def __repr__(self):
        return f"<rule {self.name}({', '.join(self.arrays)})>"
