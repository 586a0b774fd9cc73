# What every rule shares: the two arithmetic types, clipping, the root, and the table of rules.
#
# A rule is one loop over a contiguous span: new weight and states from old ones, elementwise.
#
#     void rule(real** arrays, Py_ssize_t n, const double* scalars)
#
# arrays[0] is the weight, arrays[1] the gradient, then the states in MXNet's order. A rule knows nothing
# of threads, lists, rows or dtypes; the engine moves pointers and widens 16-bit blocks. The order of
# operations is MXNet's, each rounded to the working type, so the text of a rule is the specification.

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "<math.h>" nogil:
    float sqrtf(float)
    double sqrt(double)
    float fabsf(float)
    double fabs(double)
    float copysignf(float, float)
    double copysign(double, double)
    const float INFINITY
    const float NAN

ctypedef void (*rule_fn)(void** arrays, Py_ssize_t n, const double* scalars) noexcept nogil

cdef extern from "storage.h" nogil:
    enum:
        FLOAT16 "MXOPT_F16"
        BFLOAT16 "MXOPT_BF16"
    ctypedef void (*convert_fn "mxopt_convert")(const void* source, void* target, Py_ssize_t n) noexcept nogil
    ctypedef struct Storage "mxopt_storage":
        convert_fn load[2]
        convert_fn store[2]
    const Storage* mxopt_storage_table()
    void mxopt_narrow_span(rule_fn rule, int count, unsigned int uses, unsigned int writes, int dtype, int nscalars,
                           void** arrays, Py_ssize_t n, const double* scalars) noexcept nogil

cdef extern from "prefetch.h" nogil:
    void mxopt_prefetch(const void*)

ctypedef fused real:
    float
    double


cdef inline real root(real x) noexcept nogil:
    # sqrtf for float: `sqrt` alone would compute in double.
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline real magnitude(real x) noexcept nogil:
    if real is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline real larger(real x, real y) noexcept nogil:
    # NaN if either is, as NumPy and MXNet have it.
    return x if x > y else (x if x != x else y)


cdef inline real same_nan(real x) noexcept nogil:
    # What a rule writes. C leaves a NaN's sign and payload to the compiler, which orders operands as it likes, in one
    # instruction set and in the elements left over from its vectors otherwise than elsewhere.
    return x if x == x else <real>NAN


cdef struct Nans:
    # Whether there were any, in an integer of the numbers' width: vectors then need no conversion.
    int single
    int64_t double_


cdef inline Nans no_nans() noexcept nogil:
    cdef Nans none
    none.single = none.double_ = 0
    return none


cdef inline void watch(Nans* seen, real x) noexcept nogil:
    if real is float:
        seen.single |= 0 if x == x else -1
    else:
        # not `|=`, which GCC does not vectorise for SSE2
        seen.double_ = seen.double_ if x == x else <int64_t>-1


cdef inline void same_nans(real** arrays, int count, Py_ssize_t n, const Nans* seen) noexcept nogil:
    # `same_nan` for all that a rule has written, if a NaN was seen. Where one in a state makes one in the weight, a loop
    # need only watch the weight, which takes a third of the time.
    if seen.single or seen.double_:
        write_same_nans(arrays, count, n)


cdef void write_same_nans(real** arrays, int count, Py_ssize_t n) noexcept nogil:
    cdef real* array
    cdef Py_ssize_t i
    cdef int a = 0
    while a < count:
        if a != 1 and arrays[a] != NULL:
            array = arrays[a]
            for i in range(n):
                array[i] = same_nan(array[i])
        a += 1


cdef inline bint overflowed(real rescale) noexcept nogil:
    # With 0, NaN or infinity a loss scaler says not to use this step's gradients.
    return rescale == 0 or rescale - rescale != 0


cdef inline real clipped(real x, real bound) noexcept nogil:
    # Off is bound = inf. A NaN compares false twice and passes unchanged, as in MXNet.
    # One comparison after the other: each becomes a single instruction.
    x = bound if x > bound else x
    return -bound if x < -bound else x


cdef inline real decayed(real grad, real decay, real bound, bint clips_decay) noexcept nogil:
    # A rescaled gradient with weight decay: 2.x clips the gradient alone, 1.9 in many optimizers the sum.
    return clipped(grad + decay, bound) if clips_decay else clipped(grad, bound) + decay


cdef extern from "fma.h" nogil:
    float mxopt_fma(float x, float y, float z)


cdef inline real fused(real x, real y, real z) noexcept nogil:
    # x * y + z, rounded once for float, as libraries that use fused multiply-adds have it. For double it is rounded as
    # it is written.
    if real is float:
        return mxopt_fma(x, y, z)
    else:
        return x * y + z


cdef inline real interpolated(real x, real y, real share) noexcept nogil:
    # From the nearer end, as torch's lerp.
    return fused(share, y - x, x) if share < <real>0.5 else fused(share - <real>1, y - x, y)


# Division by what a whole loop shares. For float, x * (1 / divisor) in double lies within 2**-52 of the quotient, and
# no quotient of floats comes nearer than 2**-49 to where rounding to float tips: the same bits as x / divisor.
# Where 16 quotients are formed at a time this takes half as long; narrower division is as fast. It uses other
# units of the processor than division and roots do: a rule of several quotients is fastest with some of each.
cdef extern from *:
    """
    #if defined(__AVX512F__)
    #define MXOPT_OVER(x, divisor, inverse) ((float)((double)(x) * (inverse)))
    #else
    #define MXOPT_OVER(x, divisor, inverse) ((x) / (divisor))
    #endif
    """
    float MXOPT_OVER(float x, float divisor, double inverse) noexcept nogil


cdef inline double inverse_of(real divisor) noexcept nogil:
    return 1 / <double>divisor


cdef inline real over(real x, real divisor, double inverse) noexcept nogil:
    if real is float:
        return MXOPT_OVER(x, divisor, inverse)
    else:
        return x / divisor


RULES = {}


cdef register(str name, rule_fn single, rule_fn double_, size_t scalar_bytes, str arrays, str scalars,
              str writes=None, str sums="", rule_fn on_master=NULL):
    """Enter a rule in the table.

    arrays: its arrays by name, in order; "-" for one the pass neither reads nor writes; "name/row" for one with
        one element a row: then n is the length of a row, and one more array points to the number of rows
        (Py_ssize_t), which lie one after the other; "name/tensor" for a single number a tensor: the rule finds its new
        value among its scalars, by this name, and the engine stores it; "name/drawn", the last one, for an input
        without an array: the caller's function fills it block by block.
    scalars: the fields of its struct of scalars, in order.
    writes: the arrays it writes; all but the gradient when not given.
    sums: the partial sums it adds to, by name (see norms.pxi); the next pass finds them among its scalars.
    on_master: the float32 loop for master copies, where MXNet's kernel for them orders operations otherwise.
    """
    if scalar_bytes != len(scalars.split()) * sizeof(double):
        raise AssertionError(f"rule {name!r}: its struct of scalars and their names differ in number")
    if name in RULES:
        raise AssertionError(f"rule {name!r} is registered twice")
    RULES[name] = {
        "float32": PyCapsule_New(<void*>single, "mxopt.rule", NULL),
        "float64": PyCapsule_New(<void*>double_, "mxopt.rule", NULL),
        "on_master": PyCapsule_New(<void*>(on_master if on_master != NULL else single), "mxopt.rule", NULL),
        "arrays": tuple(arrays.split()),
        "scalars": tuple(scalars.split()),
        "writes": None if writes is None else tuple(writes.split()),
        "sums": tuple(sums.split()),
        "by_row": "/row" in arrays,
        "still": None,
        "rests": None,
        "settles": False,
    }


cdef keeps_still(str name, str scalars):
    """Say that with these scalars zero, a gradient of zeros changes no bit of what an earlier step has written."""
    RULES[name]["still"] = tuple(scalars.split())


cdef settles(str name):
    """Say that after one gradient of zeros, another with the same scalars changes nothing."""
    RULES[name]["settles"] = True


# Rows that rest. A row without gradients moves less with every step, until no step is as large as half the distance from a
# weight to the next number. From then on only the states change, each by a factor.

ctypedef bint (*rests_fn)(void** arrays, Py_ssize_t n, const double* scalars, double lr) noexcept nogil


cdef inline int moves(real weight, real step) noexcept nogil:
    # Whether a step of this size could change a weight: from half the distance to the next number on, 2**-25 of a float
    # or more. A step of zero makes +0 of -0, and an infinity makes NaN of a decay of zero.
    cdef real half = <real>(2.98023223876953125e-08 if real is float else 5.551115123125783e-17)
    # No branches, so that it vectorises.
    cdef real sign = copysignf(1, weight) if real is float else copysign(1, weight)
    cdef int stays = (step < magnitude(weight) * half) | ((step == 0) & ((weight != 0) | (sign > 0)))
    return 1 - (stays & (weight - weight == 0))


cdef rests(str name, rests_fn single, rests_fn double_, str fading):
    """Say when rows without a gradient rest.

    single, double_: whether no later gradient of zeros moves these weights, with these scalars but for a learning rate
        of at most lr.
    fading: the states, each with the scalar that it is multiplied by, and the sign of the zero that is added.
    """
    words = fading.split()
    RULES[name]["rests"] = (PyCapsule_New(<void*>single, "mxopt.rests", NULL),
                            PyCapsule_New(<void*>double_, "mxopt.rests", NULL),
                            tuple(zip(words[::3], words[1::3], words[2::3])))


cdef extern from "fade.h" nogil:
    void mxopt_fade_f32(void* x, Py_ssize_t n, double by, double zero, Py_ssize_t steps) noexcept nogil
    void mxopt_fade_f64(void* x, Py_ssize_t n, double by, double zero, Py_ssize_t steps) noexcept nogil

FADE = (PyCapsule_New(<void*>mxopt_fade_f32, "mxopt.fade", NULL),
        PyCapsule_New(<void*>mxopt_fade_f64, "mxopt.fade", NULL))


cdef register_narrow(str name, rule_fn f16, rule_fn bf16):
    """Enter a rule's loops over arrays that are all float16, and all bfloat16."""
    RULES[name]["narrow"] = (PyCapsule_New(<void*>f16, "mxopt.rule", NULL), PyCapsule_New(<void*>bf16, "mxopt.rule", NULL))


cdef extern from "noise.h" nogil:
    ctypedef void (*normals_fn "mxopt_normals")(uint64_t key, uint64_t place, void* target, Py_ssize_t n) noexcept nogil
    void mxopt_normals_f32(uint64_t key, uint64_t place, void* target, Py_ssize_t n) noexcept nogil
    void mxopt_normals_f64(uint64_t key, uint64_t place, void* target, Py_ssize_t n) noexcept nogil

# Normal numbers by their place in a stream, for float and for double.
NORMALS = (PyCapsule_New(<void*>mxopt_normals_f32, "mxopt.normals", NULL),
           PyCapsule_New(<void*>mxopt_normals_f64, "mxopt.normals", NULL))

cdef extern from "moves.h" nogil:
    const void* mxopt_moves_table()

# What cautious steps do to blocks.
MOVES = PyCapsule_New(<void*>mxopt_moves_table(), "mxopt.moves", NULL)

# The table of storage dtypes (see dtypes.h), built for this instruction set: one for the rules and the engine.
cdef const Storage* STORED_AS = mxopt_storage_table()
STORAGE = PyCapsule_New(<void*>STORED_AS, "mxopt.storage", NULL)
