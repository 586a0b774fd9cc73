# What the engine uses of _scalars.pyx, which describes it.

cdef class Scalars:
    cdef readonly object table, rows, singles


cdef class Ledger:
    cdef dict counts
    cdef object indices
    cdef list more
    cdef readonly object owner
    cdef readonly object t
    cdef readonly list new
    cdef readonly list fresh
    cdef readonly bint twice
    cdef readonly bint by_our_code
    cdef public object number
    cdef public object rate
    cdef public dict attributes
    cdef public object schedule
    cdef int foresee(self, dict counts, object indices, object begin, object owner) except -1
    cpdef compare(self)
    cpdef write(self)
    cdef undo(self, Py_ssize_t written, list before, list schedule, dict attributes, object number)


cpdef tuple ahead(optimizer, indices)
cpdef Scalars scalars_of(optimizer, list rates, Ledger ledger)
