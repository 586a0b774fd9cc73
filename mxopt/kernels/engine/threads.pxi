# How many threads, and what the processor can run.

cdef extern from "threads.h" nogil:
    int MXOPT_OPENMP
    int mxopt_forked
    int mxopt_max_threads()
    void mxopt_watch_forks()
    int mxopt_prove_threads(int)
    ctypedef struct mxopt_counter:
        pass
    Py_ssize_t mxopt_take(mxopt_counter*)
    int mxopt_cpu_has(int)

cdef extern from "control.h" nogil:
    ctypedef unsigned long mxopt_control
    mxopt_control mxopt_take_control(bint flush)
    void mxopt_give_back(mxopt_control)

cdef int max_threads = 0     # 0: as many as OpenMP would use
cdef bint warned_of_threads = False
cdef int openmp_at_start = mxopt_max_threads()

mxopt_watch_forks()


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
    """Threads of the next call: what was set, else OpenMP's number; a lowered OpenMP limit holds.

    One, with a warning, if the system gives no more.
    """
    global warned_of_threads
    cdef int openmp = mxopt_max_threads()
    cdef int threads = max_threads
    if mxopt_forked:
        return 1
    if threads == 0 or openmp != openmp_at_start:
        threads = openmp if threads == 0 else min(threads, openmp)
    if threads > 1 and not mxopt_prove_threads(threads):
        if not warned_of_threads:
            warned_of_threads = True
            warnings.warn(
                f"the system refuses a thread ({threads} were to be used): steps run in one thread; raise the limit "
                "(ulimit -u, ulimit -v, the container's) or lower OMP_STACKSIZE or MXOPT_NUM_THREADS",
                RuntimeWarning, stacklevel=2)
        return 1
    return threads


cdef inline bint other_threads() noexcept:
    # Whether Python code can run in another thread; the GIL keeps the list still.
    return PyThreadState_Next(PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(PyThreadState_Get()))) != NULL
