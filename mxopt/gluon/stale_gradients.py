"""Whether the caller has written to a gradient since a step used it.

MXNet's ``backward`` marks the gradients that it writes. The caller's own array can only be inspected: if it
still holds, bit for bit, what the last step used, then it was not written again (or with the same values,
which happens in exercises but not in training). Inspection must cost little beside the step, so only a few
elements of a large array are remembered.
"""

from __future__ import annotations

import operator
import zlib

import numpy as np

from ..sparse import RowSparseArray

#: An array of up to this many elements is remembered whole.
WHOLE = 256
_SAMPLES = 64
#: A sample with fewer distinct values (besides zero) may well repeat even though the array was written: most
#: of a dense embedding's gradient is zero.
_TELLING = 8


class Watch:
    """Inspects gradients that their owners write without mxopt's knowledge.

    Parameters
    ----------
    parameters : list of Parameter
    """

    def __init__(self, parameters):
        watched = [(i, p.single_gradient()) for i, p in enumerate(parameters) if p.owner_writes]
        self._singles = [(i, array) for i, array in watched if array is not None]
        self._seen = [_sample(array) for _, array in self._singles]  # views, so a look costs one copy of each
        self._others = [i for i, array in watched if array is None]
        self._before = self._now = [None] * len(self._singles)
        self._checksums = {}
        self._contents = {}  # what the last step used of the others
        self._looked = {}  # what they held when last inspected, whether or not a step followed

    def repeated(self, gradients):
        """Positions of the gradients that hold, bit for bit, what the last step used.

        Parameters
        ----------
        gradients : list of list of arrays, or None
            Those of each parameter.

        Notes
        -----
        When the sample of a large array repeats and has too few distinct values to tell, a checksum decides
        from the next time on.
        """
        self._now = list(map(np.ndarray.tobytes, self._seen))
        checksums, found = {}, []
        for k, same in enumerate(map(operator.eq, self._now, self._before)):
            if same:
                i, array = self._singles[k]
                if not _tells(self._now[k], array):
                    checksums[k] = _checksum(array)
                    same = self._checksums.get(k) == checksums[k]
                found += [i] * same
        self._checksums, self._looked = checksums, {}
        for i in self._others:
            if gradients[i] is not None:
                same, self._looked[i] = compare(self._contents.get(i), gradients[i])
                found += [i] * same
        return found

    def used(self, gradients=None):
        """Note that a step has used the gradients.

        Parameters
        ----------
        gradients : list of list of arrays, or None, optional
            Those that may have changed since `repeated` looked at them.
        """
        self._before = self._now
        self._contents.update(self._looked)
        if gradients is not None:
            self._before = list(map(np.ndarray.tobytes, self._seen))
            self._checksums = {k: _checksum(self._singles[k][1]) for k in self._checksums}
            for i in self._others:
                if gradients[i] is not None and i in self._contents:
                    self._contents[i] = _again(self._contents[i], gradients[i])


def compare(before, gradients):
    """Whether gradients still hold what they held before, and what they hold now.

    Parameters
    ----------
    before : the second value that this function returned earlier, or None
    gradients : list of ndarray or RowSparseArray

    Returns
    -------
    tuple
        (bool, list of (sample, checksum or None) for each array)
    """
    arrays = list(_arrays(gradients))
    if before is None or len(before) != len(arrays):
        before = [(None, None)] * len(arrays)
    now = []
    for array, (old, _) in zip(arrays, before):
        sample = _sample(array).tobytes()
        now.append((sample, _checksum(array) if sample == old and not _tells(sample, array) else None))
    same = [
        sample == old and (_tells(sample, array) or checksum == old_checksum)
        for array, (sample, checksum), (old, old_checksum) in zip(arrays, now, before)
    ]
    return all(same), now


def _again(contents, gradients):
    """The contents of gradients that may have changed, with checksums where there were checksums before."""
    return [
        (_sample(array).tobytes(), None if checksum is None else _checksum(array))
        for array, (_, checksum) in zip(_arrays(gradients), contents)
    ]


def _sample(array):
    """All of a small array, some elements of a larger one; a view where possible."""
    if array.size <= WHOLE:
        return array
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    return flat[:: array.size // _SAMPLES]


def _tells(sample, array):
    """Whether equal samples mean equal arrays."""
    if array.size <= WHOLE:
        return True
    values = set(np.frombuffer(sample, f"V{array.itemsize}").tolist())
    return len(values - {bytes(array.itemsize)}) >= _TELLING


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8))


def _arrays(gradients):
    for gradient in gradients:
        parts = (gradient.data, gradient.indices) if isinstance(gradient, RowSparseArray) else (gradient,)
        yield from map(np.asarray, parts)
