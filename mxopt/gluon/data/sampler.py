"""The order in which examples are taken."""

from __future__ import annotations

import numpy as np

__all__ = [
    "BatchSampler",
    "FilterSampler",
    "IntervalSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
]


class Sampler:
    """Base of all: iterating gives indices of examples, or lists of them."""

    def __iter__(self):
        raise NotImplementedError(f"{type(self).__name__} must override __iter__()")

    def __len__(self):
        raise NotImplementedError(f"{type(self).__name__} must override __len__()")


class SequentialSampler(Sampler):
    """Consecutive indices.

    Parameters
    ----------
    length : int
    start : int, default 0
    """

    def __init__(self, length, start=0):
        self._length, self._start = length, start

    def __iter__(self):
        return iter(range(self._start, self._start + self._length))

    def __len__(self):
        return self._length


class RandomSampler(Sampler):
    """Indices in a new order each time, drawn by ``numpy.random.shuffle`` as in MXNet.

    Parameters
    ----------
    length : int
    """

    def __init__(self, length):
        self._length = length

    def __iter__(self):
        order = np.arange(self._length)
        np.random.shuffle(order)
        return iter(order)

    def __len__(self):
        return self._length


class FilterSampler(Sampler):
    """The examples of a dataset for which a function is true.

    Parameters
    ----------
    fn : callable
        Called with an example.
    dataset : Dataset
    """

    def __init__(self, fn, dataset):
        self._indices = [i for i, example in enumerate(dataset) if fn(example)]

    def __iter__(self):
        return iter(self._indices)

    def __len__(self):
        return len(self._indices)


class IntervalSampler(Sampler):
    """Every `interval`-th example.

    Parameters
    ----------
    length : int
    interval : int
    rollover : bool, default True
        Begin again with the next example, until all have been taken.
    """

    def __init__(self, length, interval, rollover=True):
        if interval > length:
            raise ValueError(f"interval must be at most length, {length}, got {interval}")
        self._length, self._interval, self._rollover = length, interval, rollover

    def __iter__(self):
        for begin in range(self._interval if self._rollover else 1):
            yield from range(begin, self._length, self._interval)

    def __len__(self):
        return self._length


class BatchSampler(Sampler):
    """Lists of a sampler's indices.

    Parameters
    ----------
    sampler : Sampler
    batch_size : int
    last_batch : {'keep', 'discard', 'rollover'}
        What to do with indices that do not fill a batch; ``'rollover'`` begins the next round with them.
    """

    def __init__(self, sampler, batch_size, last_batch="keep"):
        if last_batch not in ("keep", "discard", "rollover"):
            raise ValueError(f"last_batch must be 'keep', 'discard' or 'rollover', got {last_batch!r}")
        self._sampler, self._batch_size, self._last_batch = sampler, batch_size, last_batch
        self._prev = []

    def __iter__(self):
        batch, self._prev = self._prev, []
        for index in self._sampler:
            batch.append(index)
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch and self._last_batch == "keep":
            yield batch
        elif self._last_batch == "rollover":
            self._prev = batch

    def __len__(self):
        more = {"keep": self._batch_size - 1, "discard": 0, "rollover": len(self._prev)}[self._last_batch]
        return (len(self._sampler) + more) // self._batch_size
