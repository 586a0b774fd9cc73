"""Which elements of every tensor belong to which rank, and how parts are laid out in exchanged memory."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..kernels import WHOLE_SUM

#: Parts begin at multiples of this from the start of a tensor, so that the blocks for summing norms stay
#: whole; smaller tensors belong to one rank.
UNIT = WHOLE_SUM

_ALIGNED = 64


class Shards:
    """The ranges of elements (C order) of each rank, by index; every rank computes the same ones.

    A tensor is divided when it is first seen, so that the total of all tensors is shared as evenly among the
    ranks as whole units allow.

    Parameters
    ----------
    size : int
        How many ranks there are.
    """

    def __init__(self, size):
        self.size = size
        self._loads = [0] * size
        self._bounds = {}

    def __contains__(self, index):
        return index in self._bounds

    def bounds(self, index):
        """Where each rank's part of a tensor begins, then its size."""
        return self._bounds[index]

    def own(self, index, rank):
        """[begin, end) of a rank's part."""
        bounds = self._bounds[index]
        return bounds[rank], bounds[rank + 1]

    def add(self, index, length, unit):
        """Divide a tensor of `length` elements at multiples of `unit`."""
        units = -(-length // unit)
        level = (sum(self._loads) + length) / self.size
        if units <= 1:
            least = min(range(self.size), key=self._loads.__getitem__)
            needs = [float(rank == least) for rank in range(self.size)]
        else:
            needs = [max(level - load, 0.0) for load in self._loads]
        total, reached, bounds = sum(needs) or 1.0, 0.0, [0]
        for need in needs[:-1]:
            reached += need
            bounds.append(min(max(round(units * reached / total) * unit, bounds[-1]), length))
        bounds.append(length)
        for rank in range(self.size):
            self._loads[rank] += bounds[rank + 1] - bounds[rank]
        self._bounds[index] = tuple(bounds)

    def forget(self):
        """Divide all tensors afresh when they are next seen."""
        self._loads = [0] * self.size
        self._bounds = {}


def unit_of(shape, by_rows, sums):
    """The unit, in elements, for dividing a tensor.

    Parameters
    ----------
    shape : tuple of int
    by_rows : bool
        Whether its rows must stay whole: its gradient is row-sparse, or its state has one number per row.
    sums : bool
        Whether the blocks of norms must stay whole.
    """
    if not by_rows:
        return UNIT
    width = max(math.prod(shape[1:]), 1)
    return math.lcm(width, UNIT) if sums else width


class Part(NamedTuple):
    """The elements [begin, end) of tensor `tensor` of a call, at byte `offset` of its owner's share."""

    tensor: int
    begin: int
    end: int
    offset: int
    dtype: np.dtype

    def of(self, memory, start=0):
        """This part in a buffer."""
        nbytes = (self.end - self.begin) * self.dtype.itemsize
        return memory[start + self.offset : start + self.offset + nbytes].view(self.dtype)


class Layout:
    """How the tensors of one call are laid out in a buffer: owner by owner, then tensor by tensor.

    Parameters
    ----------
    bounds : list of tuple of int
        Those of each tensor.
    dtypes : list of dtype
    size : int
        How many ranks there are.

    Attributes
    ----------
    parts : list of list of Part
        By owner.
    lengths : list of int
        Bytes of each owner's share; the shares are contiguous.
    """

    def __init__(self, bounds, dtypes, size):
        self.parts, self.lengths = [], []
        for rank in range(size):
            offset, parts = 0, []
            for tensor, (cuts, dtype) in enumerate(zip(bounds, dtypes)):
                begin, end = cuts[rank], cuts[rank + 1]
                if begin < end:
                    parts.append(Part(tensor, begin, end, offset, np.dtype(dtype)))
                    offset += -(-(end - begin) * dtype.itemsize // _ALIGNED) * _ALIGNED
            self.parts.append(parts)
            self.lengths.append(offset)
        self.starts = [0, *np.cumsum(self.lengths).tolist()]
        self.nbytes = self.starts[-1]

    def views(self, memory):
        """All parts in a buffer, with their positions."""
        return [
            (part, part.of(memory, start)) for parts, start in zip(self.parts, self.starts) for part in parts
        ]
