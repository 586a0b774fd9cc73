"""Arrays that are spread over several processes, for writing and reading files."""

import os

import numpy as np

from .checksums import combined, crc32
from .files import BLOCK


class Spread(np.ndarray):
    """Stands in for an array of which this process has only a part, or has read nothing yet.

    It has the shape and dtype of the whole array but takes no memory. Do not use its elements.

    Attributes
    ----------
    begin : int
        The first element of the part, in C order.
    part : ndarray or None
        The elements of the part, flat; None if they have not been read yet.
    read : callable or None
        ``read(begin, end)`` reads some elements from a file.
    own : ndarray or None
        The array it was made from, if this process has one.
    """

    begin, part, read, own = 0, None, None, None

    @classmethod
    def made(cls, shape, dtype, begin=0, part=None, read=None):
        """A stand-in of the given shape and dtype."""
        self = np.broadcast_to(np.zeros((), dtype), shape).view(cls)
        self.begin, self.part, self.read = begin, part, read
        return self

    def elements(self, begin, end):
        """Some elements, from the part or from the file."""
        if self.part is not None:
            return self.part[begin - self.begin : end - self.begin]
        return self.read(begin, end)

    def astype(self, dtype, **options):
        """The same elements in another dtype, converted when they are read."""
        return Spread.made(
            self.shape, dtype, read=lambda *some: self.elements(*some).astype(dtype, **options)
        )

    def as_bytes(self):
        """The stand-in for its bytes in a list of what follows a header."""
        stands_for = np.broadcast_to(np.uint8(0), (self.nbytes,)).view(_Bytes)
        stands_for.spread = self
        return stands_for


class _Bytes(np.ndarray):
    spread = None


def pieces(flat, offset, rank, size):
    """What a process writes of an array: (offset in the file, bytes), split at checksum blocks.

    Parameters
    ----------
    flat : uint8 array
        The array's bytes, or the stand-in for those of a `Spread`.
    offset : int
        The array's offset in the file.
    rank, size : int
        This process's number, and how many there are. An array that all of them have is written by the first;
        one that nobody has read yet is written by all, in parts.
    """
    spread = getattr(flat, "spread", None)
    if spread is None:
        first, last = (0, flat.size) if rank == 0 else (0, 0)
        itemsize = 1
    elif spread.part is not None:
        itemsize = spread.itemsize
        first, last = spread.begin, spread.begin + spread.part.size
    else:
        itemsize = spread.itemsize
        first, last = (spread.size * r // size for r in (rank, rank + 1))
    while first < last:
        at = first * itemsize
        end = min(last, (at // BLOCK + 1) * BLOCK // itemsize)
        block = flat[first:end] if spread is None else spread.elements(first, end)
        yield offset + at, np.ascontiguousarray(block).reshape(-1).view(np.uint8)
        first = end


def write(descriptor, entries, length, rank, size):
    """Write this process's parts of all arrays behind a header of `length` bytes.

    Parameters
    ----------
    descriptor : int
    entries : list of uint8 arrays
        The bytes of the arrays in file order, or their stand-ins.

    Returns
    -------
    list of (int, int, int, int)
        (array, its first byte, number of bytes, checksum) of what was written.
    """
    done, start = [], 0
    for number, flat in enumerate(entries):
        for offset, data in pieces(flat, length + start, rank, size):
            view, at = memoryview(data), offset
            while len(view):
                count = os.pwrite(descriptor, view, at)
                view, at = view[count:], at + count
            done.append((number, offset - length - start, data.size, crc32(data)))
        start += flat.size
    return done


def checksums(written, entries):
    """The checksums of all blocks of all arrays, from what the processes have written.

    Parameters
    ----------
    written : list of (int, int, int, int)
        As from `write`, of all processes.
    entries : list of uint8 arrays

    Returns
    -------
    list of list of int
    """
    found = [[0] * -(-flat.size // BLOCK) for flat in entries]
    for number, begin, length, checksum in sorted(written):
        block = begin // BLOCK
        found[number][block] = combined(found[number][block], checksum, length) if begin % BLOCK else checksum
    return found
