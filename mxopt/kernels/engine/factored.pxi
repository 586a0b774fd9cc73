# Matrices with a factored second moment: their sums along both axes, and their steps.
#
# A matrix is cut into blocks of whole rows, whose sums are added in order: the same for any number of threads.

cdef extern from "factored.h" nogil:
    ctypedef struct Rows "mxopt_rows":
        void* weight
        const void* grad
        const void* row
        const void* column
        ptrdiff_t count, width
        double rescale_grad, clip_gradient, mean, least, kept, step
        double* row_sums
        double* column_sums
        double* squares
    ctypedef void (*rows_fn "mxopt_rows_fn")(const Rows*) noexcept nogil

cdef enum:
    SUMS = 0      # what is done with rows, each for float and for double: see rules/adafactor.pxi
    SQUARES = 2
    STEP = 4

cdef rows_fn FACTORED[6]


def use_factored(tuple functions):
    """Take the functions that were built for the chosen instruction set."""
    for i in range(6):
        FACTORED[i] = <rows_fn>PyCapsule_GetPointer(functions[i], "mxopt.rows")


cdef class Factored:
    """One call's work on a stack of matrices; the arrays are checked here, and kept.

    Parameters
    ----------
    grad : array (..., m, n)
        float32 or float64, in C order.
    rescale_grad, clip_gradient : float
    """

    cdef object grad, weight, row, column, means
    cdef Py_ssize_t count, rows, width, block, nblocks
    cdef int compute
    cdef Rows common

    def __init__(self, cnp.ndarray grad not None, double rescale_grad, double clip_gradient):
        cdef int ndim = cnp.PyArray_NDIM(grad)
        self.compute = self.checked(grad, cnp.PyArray_SIZE(grad), False)
        if ndim < 2:
            raise ValueError("a factored moment needs two dimensions or more")
        self.grad = grad
        self.rows, self.width = cnp.PyArray_DIM(grad, ndim - 2), cnp.PyArray_DIM(grad, ndim - 1)
        self.count = cnp.PyArray_SIZE(grad) // max(self.rows * self.width, 1)
        self.block = max(SUM_BLOCK // max(self.width, 1), 1)
        self.nblocks = (self.rows + self.block - 1) // self.block
        self.common.rescale_grad, self.common.clip_gradient = rescale_grad, clip_gradient

    cdef int checked(self, cnp.ndarray array, Py_ssize_t size, bint written) except -1:
        # The type of the arithmetic that an array is of.
        cdef int dtype = dtype_of(array)
        if dtype != F32 and dtype != F64 or not cnp.PyArray_IS_C_CONTIGUOUS(array) or not cnp.PyArray_ISALIGNED(array) or (
                cnp.PyArray_SIZE(array) != size or written and not cnp.PyArray_ISWRITEABLE(array)):
            raise ValueError(f"a factored step cannot use an array {array.dtype} {(<object>array).shape}")
        return dtype

    def sums(self):
        """Of squared gradients along the last axis and along the one before it.

        Returns
        -------
        (float64 array (..., m, 1), float64 array (..., 1, n))
        """
        cdef tuple stack = self.grad.shape[: self.grad.ndim - 2]  # negative indices do not wrap here
        found = np.empty((*stack, self.rows, 1))
        partial = np.zeros((self.count, self.nblocks, self.width))
        self.common.row_sums = <double*>cnp.PyArray_DATA(found)
        self.common.column_sums = <double*>cnp.PyArray_DATA(partial)
        self.run(SUMS)
        columns = np.zeros((self.count, self.width))
        for block in range(self.nblocks):
            columns += partial[:, block]
        return found, columns.reshape(*stack, 1, self.width)

    def with_moment(self, cnp.ndarray row not None, cnp.ndarray column not None, cnp.ndarray means not None, double least):
        """Take the moment's factors: its means over each row and each column, and the mean of the former."""
        cdef Py_ssize_t rows = self.count * self.rows
        if (self.checked(row, rows, False) != self.compute or self.checked(means, self.count, False) != F64
                or self.checked(column, self.count * self.width, False) != self.compute):
            raise ValueError("a factored moment has the type of its gradient")
        self.row, self.column, self.means, self.common.least = row, column, means, least

    def squares(self):
        """The sum of squares of all elements of the update."""
        partial = np.zeros((self.count, self.nblocks))
        self.common.squares = <double*>cnp.PyArray_DATA(partial)
        self.run(SQUARES)
        return float(partial.sum(axis=1).sum())

    def stepping(self, cnp.ndarray weight not None, double kept, double step):
        """Take the weight, which `take` will step."""
        if self.checked(weight, cnp.PyArray_SIZE(self.grad), True) != self.compute:
            raise ValueError("a factored step needs a weight of its gradient's type")
        self.weight, self.common.kept, self.common.step = weight, kept, step
        return self

    cpdef take(self):
        """Step the weight."""
        self.run(STEP)

    cdef int run(self, int what) except -1:
        cdef rows_fn function = FACTORED[what + self.compute]
        cdef Py_ssize_t total = self.count * self.nblocks, k
        cdef int threads = 1
        cdef char* weight = NULL
        cdef char* grad = <char*>cnp.PyArray_DATA(self.grad)
        cdef char* row = NULL
        cdef char* column = NULL
        cdef const double* means = NULL
        if total == 0 or self.width == 0:
            return 0
        if cnp.PyArray_SIZE(self.grad) >= SERIAL_BELOW // 2:
            threads = get_num_threads()
        if what != SUMS:
            row, column = <char*>cnp.PyArray_DATA(self.row), <char*>cnp.PyArray_DATA(self.column)
            means = <const double*>cnp.PyArray_DATA(self.means)
        if what == STEP:
            weight = <char*>cnp.PyArray_DATA(self.weight)
        with nogil:
            if threads == 1 or mxopt_forked:
                for k in range(total):
                    self.run_block(function, what, k, weight, grad, row, column, means)
            else:
                for k in prange(total, schedule="static", num_threads=threads):
                    self.run_block(function, what, k, weight, grad, row, column, means)
        return 0

    cdef void run_block(self, rows_fn function, int what, Py_ssize_t k, char* weight, char* grad, char* row, char* column,
                        const double* means) noexcept nogil:
        cdef Rows r = self.common
        cdef Py_ssize_t matrix = k // self.nblocks, first = k % self.nblocks * self.block, at, itemsize
        cdef mxopt_control control = mxopt_take_control(True)
        itemsize = STORAGE[self.compute].itemsize
        at = matrix * self.rows + first
        r.count, r.width = min(self.block, self.rows - first), self.width
        r.grad = grad + at * self.width * itemsize
        if what == SUMS:
            r.row_sums += at
            r.column_sums += k * self.width
        else:
            r.row, r.column, r.mean = row + at * itemsize, column + matrix * self.width * itemsize, means[matrix]
            if what == STEP:
                r.weight = weight + at * self.width * itemsize
            else:
                r.squares += k
        function(&r)
        mxopt_give_back(control)
