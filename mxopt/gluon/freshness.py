"""Whether the caller has written to a gradient since a step used it.

MXNet's ``backward`` marks the gradients that it writes. An array of the caller's own can only be looked at:
when it holds, bit for bit, what the last step used, it was not written again (or with the same values, which
is possible in an exercise, but not in training). A look must cost little beside the step, so of a large array
only a few elements are remembered.
"""

from __future__ import annotations

import operator
import zlib

import numpy as np

from ..sparse import RowSparseArray

#: An array of up to this many elements is remembered whole.
WHOLE = 1024
_SAMPLES = 64
#: A sample with fewer different values (zero aside) may well repeat although the array was written: most of
#: a dense embedding's gradient is zero.
_TELLING = 8


class Sampled:
    """Some elements of a large array; once these say too little, a checksum of all."""

    __slots__ = ("checksum", "sample")

    def __init__(self, array, whole=False):
        array = np.asarray(array)
        elements = array.reshape(-1) if array.flags.c_contiguous else array.flat  # never a copy
        self.sample = elements[:: array.size // _SAMPLES].tobytes()
        self.checksum = zlib.crc32(np.ascontiguousarray(array).view(np.uint8)) if whole else None

    def tells(self, itemsize):
        """Whether equal samples mean equal arrays."""
        sample = np.frombuffer(self.sample, f"V{itemsize}").tolist()
        return len(set(sample) - {bytes(itemsize)}) >= _TELLING


class Watch:
    """Looks at the gradients that their owners write without mxopt's knowing.

    Parameters
    ----------
    parameters : list of Parameter
    """

    def __init__(self, parameters):
        watched = [(i, p) for i, p in enumerate(parameters) if p.owner_writes]
        small = [(i, p.small_gradient()) for i, p in watched]
        self._others = [i for i, array in small if array is None]
        self._small = [i for i, array in small if array is not None]
        self._arrays = [array for _, array in small if array is not None]
        self._before = self._now = [None] * len(self._small)
        self._contents = {}

    def repeated(self, gradients):
        """Positions of the gradients that hold, bit for bit, what the last step used.

        Parameters
        ----------
        gradients : list of list of arrays, or None
            Those of each parameter.
        """
        self._now = list(map(np.ndarray.tobytes, self._arrays))
        found = [i for i, same in zip(self._small, map(operator.eq, self._now, self._before)) if same]
        for i in self._others:
            if gradients[i] is not None:
                same, self._contents[i] = compare(self._contents.get(i), gradients[i])
                found += [i] * same
        return found

    def used(self, gradients=None):
        """A step has used them.

        Parameters
        ----------
        gradients : list of list of arrays, or None, optional
            Those that may have changed since `repeated` looked at them.
        """
        self._before = self._now
        if gradients is not None:
            self._before = list(map(np.ndarray.tobytes, self._arrays))
            self._contents = {i: remember(gradients[i]) for i in self._others if gradients[i] is not None}


def remember(gradients):
    """The contents of some gradients, to be compared with later."""
    return [array.tobytes() if array.size <= WHOLE else Sampled(array) for array in _arrays(gradients)]


def compare(before, gradients):
    """Whether gradients hold what they held, and what they hold.

    Parameters
    ----------
    before : result of `remember` or of this function, or None
    gradients : list of ndarray or RowSparseArray

    Returns
    -------
    tuple
        (bool, contents). For a large array whose sample says too little the first answer is False, and the
        next one is by its checksum.
    """
    now = remember(gradients)
    if before is None or len(before) != len(now):
        return False, now
    repeats = True
    for i, (old, new, array) in enumerate(zip(before, now, _arrays(gradients))):
        if type(new) is bytes:
            repeats = repeats and old == new
        elif type(old) is bytes or old.sample != new.sample:
            repeats = False
        elif not new.tells(array.itemsize):
            now[i] = Sampled(array, whole=True)
            repeats = repeats and old.checksum == now[i].checksum
    return repeats, now


def _arrays(gradients):
    for gradient in gradients:
        if isinstance(gradient, RowSparseArray):
            yield np.asarray(gradient.data)
            yield np.asarray(gradient.indices)
        else:
            yield gradient
