# What suits this machine is found by trial: every way of running a step gives the same bits, so a rule's first
# large calls alternate between two ways, and the faster one stays.
#
# Prefetching ahead of the processor is one such choice: Adam on 30 million float32 elements reaches 1.00 of the
# streaming limit with it on a Xeon with AVX-512 and 0.88 without; an EPYC (Zen 3) is 5 to 10% faster without, at a
# million elements 15%. Another is a second thread for a step of some ten thousand elements.

from libc.math cimport INFINITY

cdef extern from "clock.h" nogil:
    double mxopt_now()

cdef enum:
    TRIES = 4        # of each way, alternating; the first of each is not counted, since it may touch new memory
    CLASSES = 24     # of sizes: one for each power of two from CLASS_FROM elements of all arrays on
    CLASS_FROM = 14

cdef enum:  # how to choose
    TUNE_AUTO = 0
    TUNE_OFF = 1
    TUNE_AHEAD = 2
    TUNE_PLAIN = 3

cdef int tuning = TUNE_AUTO
cdef dict TUNING_WORDS = {"auto": TUNE_AUTO, "off": TUNE_OFF, "prefetch": TUNE_AHEAD, "plain": TUNE_PLAIN}

cdef struct Choice:
    int tried        # calls so far
    bint second      # the way that stays, once all are made
    double best[2]   # the shortest time an element of each way


cdef inline int size_class(Py_ssize_t elements) noexcept nogil:
    cdef int k = 0
    elements >>= CLASS_FROM
    while elements > 1 and k < CLASSES - 1:
        elements >>= 1
        k += 1
    return k


cdef inline bint second_way(const Choice* choice) noexcept nogil:
    # For a call that is about to run; the first way is the one that suits most machines.
    if tuning != TUNE_AUTO:
        return False
    if choice.tried >= 2 * TRIES:
        return choice.second
    return choice.tried & 1


cdef void note_time(Choice* choice, bint second, double time) noexcept nogil:
    if choice.tried < 2:
        choice.best[0] = choice.best[1] = INFINITY
    elif 0 < time < choice.best[second]:  # ignore a clock that went backwards
        choice.best[second] = time
    choice.tried += 1
    if choice.tried == 2 * TRIES:
        # A difference that noise could make decides nothing.
        choice.second = choice.best[1] < 0.97 * choice.best[0]


def set_tuning(str word):
    """How the engine chooses between ways that differ in nothing but speed: 'auto', 'off', 'prefetch' or 'plain'."""
    global tuning
    tuning = TUNING_WORDS[word]


def get_tuning():
    return next(word for word, value in TUNING_WORDS.items() if value == tuning)


def tuning_words():
    return tuple(TUNING_WORDS)
