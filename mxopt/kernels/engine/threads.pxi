# How many threads, and what the processor can run.

cdef extern from "threads.h" nogil:
    int MXOPT_OPENMP
    int mxopt_forked
    int mxopt_max_threads()
    void mxopt_watch_forks()
    ctypedef int mxopt_control
    mxopt_control mxopt_flush_denormals()
    void mxopt_restore(mxopt_control)
    int mxopt_cpu_has(int)

cdef int max_threads = 0     # 0: as many as OpenMP would use
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
    """Threads of the next call: what was set, else OpenMP's number; a lowered OpenMP limit holds."""
    cdef int openmp = mxopt_max_threads()
    if mxopt_forked:
        return 1
    if max_threads == 0:
        return openmp
    return min(max_threads, openmp) if openmp != openmp_at_start else max_threads
