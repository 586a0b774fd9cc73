# How the engine describes arrays: their dtypes, where their elements are, and what a run needs.

cdef extern from "dtypes.h" nogil:
    enum:  # storage dtypes, by number; the first two are also the types of the arithmetic
        F32 "MXOPT_F32"
        F64 "MXOPT_F64"
        F16 "MXOPT_F16"
        BF16 "MXOPT_BF16"
        DTYPES "MXOPT_DTYPES"
        BF16_RANDOM "MXOPT_BF16_RANDOM"  # the first of the codes: see coded.pxi
        SPLIT "MXOPT_SPLIT"  # the last: low halves of masters
        CODE_BLOCK "MXOPT_CODE_BLOCK"
    ctypedef void (*convert_fn "mxopt_convert")(const void* source, void* target, Py_ssize_t n) noexcept nogil
    ctypedef int (*finite_fn "mxopt_finite")(const void* source, Py_ssize_t n) noexcept nogil
    ctypedef void (*normals_fn "mxopt_normals")(uint64_t key, uint64_t place, void* target, Py_ssize_t n) noexcept nogil
    ctypedef void (*decode_fn "mxopt_decode")(const void* codes, const float* scales, float* target, Py_ssize_t n) noexcept nogil
    ctypedef void (*encode_fn "mxopt_encode")(const float* source, void* codes, float* scales, Py_ssize_t n, uint64_t key,
                                              uint64_t place) noexcept nogil
    ctypedef struct Storage "mxopt_storage":
        const char* name
        Py_ssize_t itemsize
        convert_fn load[2]   # by type of the arithmetic; NULL: it is that type
        convert_fn store[2]  # NULL: it is that type, or is not stored from it
        finite_fn finite
        decode_fn decode
        encode_fn encode
        bint has_scales
        void (*join)(const void* uppers, const void* lows, float* target, Py_ssize_t n) noexcept nogil
        void (*part)(const float* source, void* uppers, void* lows, Py_ssize_t n) noexcept nogil

ctypedef bint (*rests_fn)(void** arrays, Py_ssize_t n, const double* scalars, double lr) noexcept nogil
ctypedef void (*fade_fn)(void* x, Py_ssize_t n, double by, double zero, Py_ssize_t steps) noexcept nogil
ctypedef void (*rule_fn)(void** arrays, Py_ssize_t n, const double* scalars) noexcept nogil
cdef enum:
    WEIGHT = 0
    GRAD = 1
    MAX_ARRAYS = 7  # weight, gradient and states, or fewer states and one more input
    MIRROR = 7      # the low-precision weight that is written from its float32 master
    AVERAGE = 8     # the running average of the weights: see averages.pxi
    BEFORE = 9      # no array, but scratch: a block of weights as it was
    SLOTS = 10
    MEASURES = 3    # sums of a report: of the squares of gradients, new weights and moves
    POINTERS = 11   # the arrays, and what rules with sums are given
    MAX_DIMS = 32
    MAX_SCALARS = 24
    MAX_THREADS = 1024
    FEW = 16        # up to this many tensors are compared before every run; for 10,000 that would take a tenth of the step
    MAX_PASSES = 4
    MAX_DEPTH = 16  # of tuples within tuples in a state

cdef enum:
    # Elements of one staged block.
    BLOCK = 512
    # Data from main memory is stepped part by part, and before each part an equal amount further on is prefetched:
    # the step never waits for memory, and never has more requests pending than memory can take. Adam on 30 million
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
    # Elements of a drawn input that are in memory at a time: 768 KB of doubles.
    DRAWN_BLOCK = 98304
    # How many arrays ahead in a list to prefetch their objects.
    LOOK_AHEAD = 6
    # The arrays of plans with at least this many elements come from main memory, and each thread prefetches each of
    # them some parts ahead, one line of each in turn: the processor's own prefetching stops at every page. The share of
    # the limit at 30 million elements, with parts of 128 four ahead / of 256 two ahead / without: Adam 1.00, 0.98,
    # 0.88, Ftrl 0.98, 0.87, 0.84 (two threads). Prefetching array by array instead of line by line gains nothing.
    FAR_FROM = 1 << 19
    FAR_AHEAD = 4
    # Random rows of a table: how many rows ahead, and how much of each, to prefetch. A lazy Adam step over 8192
    # fresh rows of 64 out of a million takes 0.58 ms with 8 (two threads; 3 to 24 are as good), 0.75 ms when the line
    # in which a row ends is left out; with rows of 16, 1.2 ms against 1.9. For rows of 1000, prefetching their first
    # 512 bytes is best: the processor itself goes on from there.
    ROWS_AHEAD = 8
    ROW_HEAD = 512
    # Below this many elements of all arrays together a second thread, which takes 2.2 us to start and join, costs
    # more than it gains: SGD's three streams break even at 23,000 elements each, Adam's four at 11,000.
    SERIAL_BELOW = 65536

cdef enum:  # where the elements of an array are
    FLAT = 0      # one after the other
    ROWS = 1      # in the rows that the gradient names
    STRIDED = 2   # anywhere
    EXPAND = 3    # a row-sparse gradient: its rows, and zeros between them
    PER_ROW = 4   # one element per row

cdef struct Strides:
    int ndim
    bint mapped  # the first index goes through the gradient's rows
    Py_ssize_t shape[MAX_DIMS]
    Py_ssize_t strides[MAX_DIMS]

cdef struct Layout:
    int64_t* rows        # its own copy; NULL: dense
    Py_ssize_t nrows
    Py_ssize_t width
    bint lazy            # the rule visits the named rows only
    bint in_place  # whole rows can be used where they are
    Strides* strided[SLOTS]

cdef struct Coded:
    # What the codes of a tensor's states need beside their own memory.
    float* scales[MAX_ARRAYS]
    uint64_t seeds[MAX_ARRAYS]
    uint64_t keys[MAX_ARRAYS]  # of this update
    Py_ssize_t row    # not 0: blocks end where the rows of so many elements end
    bint has_scales
    bint is_random

cdef struct Tensor:
    Py_ssize_t size       # elements that the rule visits
    Py_ssize_t start      # its place on the line
    Py_ssize_t first_sum  # its first partial sum
    Py_ssize_t before     # elements of the tensors before it
    char* data[SLOTS]
    Layout* layout        # NULL: everything is FLAT
    Coded* coded          # NULL: no state is in a code
    int row               # its row in the table of scalars
    unsigned char dtype[SLOTS]
    unsigned char kind[SLOTS]
    unsigned char compute
    unsigned char narrow  # 0, or which of Pass.narrow runs on its arrays as they are, plus one
    unsigned char plain   # every pointer can be used as it is
    unsigned char ranged  # its memory ranges are in Plan.ranges, not those of its data
    unsigned char lanes   # its sums are taken in lanes: it is larger than a block, or part of what is

cdef struct Range:
    uintptr_t low
    uintptr_t high
    Py_ssize_t tensor
    short role      # of the array, as in a refusal: 0 the weight, 1 the gradient, 2... the states, -1 the master
    bint written

cdef struct Cautious:  # see cautious.pxi
    const double* kept    # of each tensor, the share of its weight that decoupled decay leaves
    const double* scales  # and what its moves are multiplied by; NULL: count
    double sign           # of the gradients' scale

cdef struct Pass:
    rule_fn narrow[2]  # on float16, on bfloat16; NULL: there is none
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
    int noisy           # the array that is drawn here, by its elements' places in a stream; 0: there is none
    uint64_t key, place
    Py_ssize_t scratch_items
    bint far     # the arrays are larger than the caches
    const Cautious* cautious  # not NULL: only steps down the gradient count
    const double* average     # not NULL: how far averages go towards the new weights
    rule_fn blend[2]          # and what moves them, by type of the arithmetic
    const double* shrink      # not NULL: what gradients are multiplied by before the rule sees them
    rule_fn scale[2]
    unsigned int looks        # arrays that are needed beside those that the rule uses
    double* report            # not NULL: of each block of sums, what `measure` adds there
    rule_fn measure[2]
    int* spoilt  # not NULL: nothing is stepped, but set if a gradient is not finite

# The table of storage dtypes, by number: of the chosen instruction set (see storage.h).
cdef const Storage* STORAGE = NULL
cdef normals_fn NORMALS[2]
cdef fade_fn FADE[2]
cdef object float32 = np.dtype(np.float32), float64 = np.dtype(np.float64)
cdef int bfloat16_num = -1  # NumPy's number of it, once one was met
