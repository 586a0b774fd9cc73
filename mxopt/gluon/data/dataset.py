"""Datasets: examples by index."""

from __future__ import annotations

from .sampler import FilterSampler, Sampler, SequentialSampler

__all__ = ["ArrayDataset", "Dataset", "SimpleDataset"]


class Dataset:
    """Base of all; a custom one overrides ``__getitem__`` and ``__len__``."""

    def __getitem__(self, idx):
        raise NotImplementedError(f"{type(self).__name__} must override __getitem__(idx)")

    def __len__(self):
        raise NotImplementedError(f"{type(self).__name__} must override __len__()")

    def filter(self, fn):
        """The examples for which a function is true."""
        return _SampledDataset(self, FilterSampler(fn, self))

    def shard(self, num_shards, index):
        """One of several parts of consecutive examples; if uneven, the first parts have one more.

        Parameters
        ----------
        num_shards : int
        index : int
            From 0.
        """
        if not 0 <= index < num_shards:
            raise ValueError(f"index must be between 0 and {num_shards - 1}, got {index}")
        size, rest = divmod(len(self), num_shards)
        begin = size * index + min(index, rest)
        return _SampledDataset(self, SequentialSampler(size + (index < rest), begin))

    def take(self, count):
        """The first `count` examples, or all with None."""
        return _SampledDataset(self, SequentialSampler(min(len(self), len(self) if count is None else count)))

    def sample(self, sampler):
        """The examples that a sampler names."""
        if not isinstance(sampler, Sampler):
            raise TypeError(f"sampler must be a gluon.data.Sampler, got {type(sampler).__name__}")
        return _SampledDataset(self, sampler)

    def transform(self, fn, lazy=True):
        """The examples, transformed by a function.

        Parameters
        ----------
        fn : callable
            Called with an example, or with the parts of a tuple.
        lazy : bool, default True
            Call it at each access; otherwise once for each example, now.
        """
        made = _TransformedDataset(self, fn)
        return made if lazy else SimpleDataset([made[i] for i in range(len(made))])

    def transform_first(self, fn, lazy=True):
        """The examples with the first part of each transformed; the rest, such as labels, is unchanged."""
        return self.transform(_First(fn), lazy)


class _First:
    def __init__(self, fn):
        self._fn = fn

    def __call__(self, first, *rest):
        return (self._fn(first), *rest) if rest else self._fn(first)


class SimpleDataset(Dataset):
    """The elements of a list or array.

    Parameters
    ----------
    data : list or array
    """

    def __init__(self, data):
        self._data = data

    def __len__(self):
        return len(self._data)

    def __getitem__(self, idx):
        return self._data[idx]


class _TransformedDataset(Dataset):
    def __init__(self, data, fn):
        self._data, self._fn = data, fn

    def __len__(self):
        return len(self._data)

    def __getitem__(self, idx):
        example = self._data[idx]
        return self._fn(*example) if isinstance(example, tuple) else self._fn(example)


class _SampledDataset(Dataset):
    def __init__(self, dataset, sampler):
        self._dataset, self._indices = dataset, list(sampler)

    def __len__(self):
        return len(self._indices)

    def __getitem__(self, idx):
        return self._dataset[self._indices[idx]]


class ArrayDataset(Dataset):
    """Examples of one array, or tuples of examples of several.

    Parameters
    ----------
    *args : array or Dataset
        Of equal length.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> data = mx.gluon.data.ArrayDataset(np.arange(6).reshape(3, 2), np.array([0, 1, 0]))
    >>> len(data), data[1][0].tolist()
    (3, [2, 3])
    """

    def __init__(self, *args):
        if not args:
            raise ValueError("ArrayDataset needs at least one array")
        self._length = len(args[0])
        for i, values in enumerate(args):
            if len(values) != self._length:
                raise ValueError(
                    f"all arrays must have {self._length} examples, as the first has; "
                    f"the one at {i} has {len(values)}"
                )
        # MXNet returns the elements of a vector as NumPy scalars.
        self._data = [x.asnumpy() if hasattr(x, "asnumpy") and len(x.shape) == 1 else x for x in args]

    def __getitem__(self, idx):
        found = tuple(values[idx] for values in self._data)
        return found[0] if len(found) == 1 else found

    def __len__(self):
        return self._length
