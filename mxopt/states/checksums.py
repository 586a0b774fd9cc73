"""CRC-32 as zlib computes it, by ISA-L where it is installed, which is ten times as fast.

Other threads check blocks while the caller reads or writes. If no thread can be started, the caller computes
a checksum itself when it needs it.
"""

from __future__ import annotations

import _thread
import os
from contextlib import contextmanager
from queue import SimpleQueue

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

from mxopt.states.errors import DamagedStateFile
from mxopt.states.files import BLOCK

__all__ = ["WORTH_THREADS", "blocks", "checksums", "combined", "compare", "crc32", "is_checksum"]

#: smaller files are checked on the calling thread
WORTH_THREADS = 2 * BLOCK


def blocks(nbytes):
    """The spans with one checksum each, so that several threads can check one array."""
    return [(start, min(start + BLOCK, nbytes)) for start in range(0, nbytes, BLOCK)]


def is_checksum(text):
    """Whether a text is a checksum in the form that headers use."""
    return len(text) == 8 and set(text) <= set("0123456789abcdef")


def compare(tensor, start, stop, stored, result):
    """Raise if the checksum of an array's bytes, from `result`, is not the stored one."""
    if stored != result():
        raise DamagedStateFile(
            f"array {tensor.name!r}, bytes {tensor.offset + start} to {tensor.offset + stop - 1} of "
            "the file, does not match its checksum"
        )


@contextmanager
def checksums(parallel):
    """A function that starts the checksum of a block and returns a function to get it.

    Parameters
    ----------
    parallel : bool
        Whether the blocks are worth threads.
    """
    count = min(4, os.cpu_count() or 1) if parallel else 0
    if count < 2:
        yield _now
        return
    waiting = SimpleQueue()
    started = 0
    try:
        for _ in range(count):
            try:
                # not a Thread: its start() waits forever if the new thread has no memory to begin in
                _thread.start_new_thread(_work, (waiting,))
            except RuntimeError:
                break
            started += 1

        def start(block):
            task = _Task(block)
            waiting.put(task)
            return task.result

        yield start if started else _now
    finally:
        for _ in range(started):
            waiting.put(None)


def _now(block):
    value = crc32(block)
    return lambda: value


def _work(waiting):
    for task in iter(waiting.get, None):
        task.run()


class _Task:
    """One checksum, computed by whoever takes it first."""

    def __init__(self, block):
        self._block, self._value = block, None
        self._taken, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._done.acquire()

    def run(self):
        if self._taken.acquire(False):
            try:
                self._value = crc32(self._block)
            finally:
                self._block = None
                self._done.release()

    def result(self):
        self.run()
        with self._done:
            return self._value


#: The polynomial of CRC-32, its bits reversed.
_POLYNOMIAL = 0xEDB88320


def combined(first, second, length):
    """The checksum of two consecutive pieces, from the checksum of each.

    Parameters
    ----------
    first, second : int
        The checksums of the pieces.
    length : int
        How many bytes the second piece has.
    """
    # A zero byte multiplies the remainder so far by x**8, so `length` of them by x**(8 * length).
    factor, power, bits = 1 << 31, 1 << 30, 8 * length
    while bits:
        if bits & 1:
            factor = _product(factor, power)
        power = _product(power, power)
        bits >>= 1
    return _product(first, factor) ^ second


def _product(one, other):
    """The product of two polynomials over bits, modulo that of CRC-32; the highest bit is x**0."""
    result = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            result ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return result
