"""The order in which the micro-batches of a step are summed, the same whichever process holds them.

The sum over M micro-batches is a tree over their numbers 0 ... M - 1. A node [begin, end) is the sum of
its two halves, split at the largest power of two below its length, so 12 is 8 + 4 and 8 is 4 + 4. The tree
depends on M alone. A process that holds a range of micro-batches sums the largest nodes within it;
the process that collects the nodes of all ranges finishes the tree, with the same additions in the same
order as one process that holds everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from . import checks, kernels
from .sparse import RowSparseArray


def middle(begin: int, end: int) -> int:
    """Where the node [begin, end) is split."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def whole_nodes(begin: int, end: int, count: int) -> list[tuple[int, int]]:
    """The largest nodes of the tree over `count` micro-batches that lie within [begin, end), in order."""

    def within(low: int, high: int) -> Iterator[tuple[int, int]]:
        if begin <= low and high <= end:
            yield low, high
        elif low < end and begin < high:
            cut = middle(low, high)
            yield from within(low, cut)
            yield from within(cut, high)

    return list(within(0, count)) if begin < end else []


def share(rank: int, size: int, count: int) -> tuple[int, int]:
    """The micro-batches [begin, end) of a rank."""
    return count * rank // size, count * (rank + 1) // size


class Stack:
    """Nodes of the tree, added from left to right; the two halves of a node are merged into it.

    Parameters
    ----------
    count : int
        How many micro-batches there are.
    begin : int
        The first one of this stack.
    merge : callable
        ``merge(left, right)`` gives the sum; it may write to `left`.
    """

    def __init__(self, count, begin=0, merge=None):
        self.count = count
        self.merge = merge
        self.nodes = []
        self._parents = _parents(count)
        self.end = begin

    def joins(self, end):
        """Whether a node that ends at `end` would be merged with the last one right away."""
        return bool(self.nodes) and self._parents.get((self.nodes[-1][0], end)) == self.end

    def add(self, value, end):
        """Add the node that begins where the last one ended."""
        begin, self.end = self.end, end
        while self.nodes and self._parents.get((self.nodes[-1][0], end)) == begin:
            begin, _, left = self.nodes.pop()
            value = self.merge(left, value)
        self.nodes.append((begin, end, value))


def _parents(count):
    """Where each inner node of the tree is split."""
    found, open_ = {}, [(0, count)]
    while open_:
        begin, end = open_.pop()
        if end - begin > 1:
            cut = found[begin, end] = middle(begin, end)
            open_ += [(begin, cut), (cut, end)]
    return found


#: Sums of at least so many bytes are added to by several threads, and their memory is used again: new memory
#: costs as much as a sum.
LARGE = 1 << 18


def _references_of_one_name():
    array = [object()].pop()
    return sys.getrefcount(array)


#: What `sys.getrefcount` says of an object that one local name holds; it depends on the Python.
_ALONE = _references_of_one_name()


class Window:
    """The micro-batches of a step in one process: sums gradients until the last one arrives.

    Parameters
    ----------
    count : int
        How many micro-batches make a step.
    """

    def __init__(self, count):
        self.count = checks.count("accumulate", count)
        self._open = {}
        self._spare = {}  # arrays of finished sums, by shape and dtype
        self._given = None  # the caller's gradients, while they are added

    def __getstate__(self):
        return {**vars(self), "_spare": {}}

    def __bool__(self):
        """Whether a step is under way: some of its micro-batches have arrived, but not all."""
        return bool(self._open)

    def add(self, key, gradients):
        """Add one micro-batch for the tensors `key`.

        Parameters
        ----------
        key : tuple
            The indices of a call.
        gradients : list of (ndarray or RowSparseArray)
            Copied if they must outlive the call.

        Returns
        -------
        list or None
            The sums after the last micro-batch, None before.
        """
        if self.count == 1:
            return gradients
        stack = self._open.get(key)
        if stack is None:
            for other in self._open:
                if not set(other).isdisjoint(key):
                    raise ValueError(
                        "all micro-batches of a step must be given in calls for the same indices: one has "
                        f"come for {_listed(other)}, now one for {_listed(key)}"
                    )
            stack = self._open[key] = Stack(self.count, merge=self._merge)
        for _, _, known in stack.nodes[:1]:
            for index, one, other in zip(key, known, gradients):
                check_alike(index, one, other)
        self._given = gradients if stack.joins(stack.end + 1) else None
        if self._given is None:
            gradients = [self._copied(gradient) for gradient in gradients]
        stack.add(gradients, stack.end + 1)
        if stack.end < self.count:
            return None
        del self._open[key]
        sums = stack.nodes[0][2]
        self._keep(sums)
        return sums

    def _copied(self, gradient):
        """As `copied`, into the memory of an earlier sum that nobody else holds, if there is one."""
        spare = None
        if isinstance(gradient, np.ndarray):
            spare = self._spare.get((gradient.shape, summed_dtype(gradient.dtype)))
        while spare:
            array = spare.pop()
            if sys.getrefcount(array) <= _ALONE:
                if not kernels.sum_into(array, gradient, False):
                    np.copyto(array, gradient)
                return array
        return copied(gradient)

    def _merge(self, left, right):
        merged = merge_lists(left, right)
        if right is not self._given:
            self._keep(right)
        self._given = None
        return merged

    def _keep(self, arrays):
        for array in arrays:
            if type(array) is np.ndarray and array.base is None and array.nbytes >= LARGE:
                self._spare.setdefault((array.shape, array.dtype), []).append(array)

    def refuse_within(self, what):
        """Raise if a step is under way, for what cannot be done between its micro-batches."""
        if self._open:
            key, stack = next(iter(self._open.items()))
            raise RuntimeError(
                f"{what} within a step: {stack.end} of the {self.count} micro-batches for {_listed(key)} "
                "have come, and their sum is no part of a file; do it after the step's last micro-batch, "
                "or drop the sum with updater.drop_micro_batches()"
            )

    def drop(self):
        """Forget what has been summed."""
        self._open.clear()
        self._spare.clear()


def check_alike(index, first, gradient):
    """Raise if a micro-batch's gradient differs in shape or storage from the first one's."""
    sparse = isinstance(first, RowSparseArray)
    if isinstance(gradient, RowSparseArray) is not sparse or gradient.shape != first.shape:
        raise ValueError(
            f"the gradients of index {index!r} must have one shape and storage in all micro-batches of a "
            f"step, got {_built(first)} and then {_built(gradient)}"
        )


def _built(gradient):
    return f"{'row_sparse' if isinstance(gradient, RowSparseArray) else 'dense'} {gradient.shape}"


def _listed(key):
    return f"{list(key[:3])}{' and more' if len(key) > 3 else ''}"


def summed_dtype(dtype):
    """The dtype in which gradients are summed: float32 for 16-bit ones, else their own."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def copied(gradient):
    """A copy that other gradients can be added to."""
    if isinstance(gradient, RowSparseArray):
        return gradient.astype(summed_dtype(gradient.dtype), copy=True)
    return np.array(gradient, summed_dtype(gradient.dtype), order="C", subok=False)


def merge_lists(left, right):
    """The sums of two lists of gradients; dense ones are written to `left`."""
    return [merge(one, other) for one, other in zip(left, right)]


def merge(left, right):
    """The sum of two gradients: a dense one in `left`, row-sparse ones by rows."""
    if isinstance(left, RowSparseArray):
        return _merged_rows(left, right)
    if left.nbytes >= LARGE and kernels.sum_into(left, right, True):
        return left
    return np.add(left, right, out=left, casting="same_kind")


def _merged_rows(left, right):
    rows = np.union1d(left.indices, right.indices)
    data = np.empty((len(rows), *left.shape[1:]), left.dtype)
    at_left, at_right = (np.searchsorted(rows, one.indices) for one in (left, right))
    data[at_right] = right.data
    # a row that only one side has is copied, not added to zero: that would turn -0.0 into 0.0
    both, mine, other = np.intersect1d(at_left, at_right, assume_unique=True, return_indices=True)
    data[at_left] = left.data
    data[both] = left.data[mine] + right.data[other]
    return RowSparseArray._trusted(data, rows, left.shape)
