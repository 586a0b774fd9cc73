"""``mx.io``: batches of arrays."""

from __future__ import annotations

import collections

import numpy as np

from . import namespace
from .base import mx_real_t
from .nd import array, concat

__all__ = ["DataBatch", "DataDesc", "DataIter", "NDArrayIter", "PrefetchingIter", "ResizeIter"]


class DataDesc(collections.namedtuple("DataDesc", ["name", "shape"])):
    """Name, shape, dtype and layout of an array in a batch.

    Parameters
    ----------
    name : str
    shape : tuple of int
    dtype : dtype, default float32
    layout : str, default 'NCHW'
        The meaning of the axes; ``N`` is the batch's.
    """

    def __new__(cls, name, shape, dtype=mx_real_t, layout="NCHW"):
        made = super().__new__(cls, name, shape)
        made.dtype, made.layout = dtype, layout
        return made

    def __repr__(self):
        return f"DataDesc[{self.name},{self.shape},{self.dtype},{self.layout}]"

    @staticmethod
    def get_batch_axis(layout):
        """The position of the batch's axis; 0 without a layout."""
        return 0 if layout is None else layout.find("N")

    @staticmethod
    def get_list(shapes, types):
        """Descriptions of pairs of name and shape, with dtypes from pairs of name and dtype."""
        dtypes = dict(types or ())
        return [DataDesc(name, shape, dtypes.get(name, mx_real_t)) for name, shape in shapes]


class DataBatch:
    """A batch.

    Parameters
    ----------
    data, label : list of array
    pad : int
        How many examples at the end are padding.
    index : array, optional
    bucket_key : int, optional
    provide_data, provide_label : list of DataDesc, optional
    """

    def __init__(self, data, label=None, pad=None, index=None, bucket_key=None, provide_data=None,
                 provide_label=None):  # fmt: skip
        for name, arrays in (("data", data), ("label", label)):
            if arrays is not None and not isinstance(arrays, (list, tuple)):
                raise TypeError(f"{name} must be a list of arrays, got {type(arrays).__name__}")
        self.data, self.label, self.pad, self.index = data, label, pad, index
        self.bucket_key, self.provide_data, self.provide_label = bucket_key, provide_data, provide_label

    def __str__(self):
        shapes = [x.shape for x in self.data]
        labels = [x.shape for x in self.label] if self.label else None
        return f"{type(self).__name__}: data shapes: {shapes} label shapes: {labels}"


class DataIter:
    """Base of all iterators over batches.

    A custom iterator overrides ``next()``, or ``iter_next``, ``getdata``, ``getlabel`` and ``getpad``.

    Parameters
    ----------
    batch_size : int, default 0
    """

    def __init__(self, batch_size=0):
        self.batch_size = batch_size

    def __iter__(self):
        return self

    def reset(self):
        """Start over."""

    def next(self):
        """The next batch.

        Raises
        ------
        StopIteration
            At the end.
        """
        if not self.iter_next():
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())

    def __next__(self):
        return self.next()

    def iter_next(self):
        """Go to the next batch; return whether there is one."""

    def getdata(self):
        """The current batch's data."""

    def getlabel(self):
        """The current batch's labels."""

    def getindex(self):
        """The current batch's indices."""

    def getpad(self):
        """How many examples at the end of the current batch are padding."""


def _by_name(arrays, default_name):
    """Pairs of name and array, in the order of the names."""
    if arrays is None:
        return []
    if hasattr(arrays, "shape"):
        arrays = [arrays]
    if isinstance(arrays, (list, tuple)):
        names = [default_name] if len(arrays) == 1 else [f"_{i}_{default_name}" for i in range(len(arrays))]
        arrays = dict(zip(names, arrays))
    if not isinstance(arrays, dict):
        raise TypeError(f"data must be an array, a list or a dict of arrays, got {type(arrays).__name__}")
    return sorted((name, array(value)) for name, value in arrays.items())


class NDArrayIter(DataIter):
    """Batches of arrays.

    Parameters
    ----------
    data, label : array, or list or dict of arrays
        Anything but an NDArray is converted to float32.
    batch_size : int, default 1
    shuffle : bool
        Draw a new order, by ``numpy.random.shuffle``, at every reset.
    last_batch_handle : {'pad', 'discard', 'roll_over'}
        What to do with examples that do not fill the last batch: pad it from the beginning, leave them out,
        or put them first after the reset.
    data_name, label_name : str
        Names for single arrays.
    layout : str, default 'NCHW'
        Where the batch's axis is.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> batches = mx.io.NDArrayIter(np.arange(5), batch_size=2)
    >>> [(batch.data[0].asnumpy().tolist(), batch.pad) for batch in batches]
    [([0.0, 1.0], 0), ([2.0, 3.0], 0), ([4.0, 0.0], 1)]
    """

    def __init__(self, data, label=None, batch_size=1, shuffle=False, last_batch_handle="pad",
                 data_name="data", label_name="softmax_label", layout="NCHW"):  # fmt: skip
        super().__init__(batch_size)
        if last_batch_handle not in ("pad", "discard", "roll_over"):
            raise ValueError(
                f"last_batch_handle must be 'pad', 'discard' or 'roll_over', got {last_batch_handle!r}"
            )
        self.data, self.label = _by_name(data, data_name), _by_name(label, label_name)
        if not self.data:
            raise ValueError("data must hold at least one array")
        self.layout, self._axis = layout, layout.find("N")
        self.num_data = self.data[0][1].shape[self._axis]
        for name, values in (*self.data, *self.label):
            if values.shape[self._axis] != self.num_data:
                raise ValueError(f"{name!r} has {values.shape[self._axis]} examples, others {self.num_data}")
        self.idx = np.arange(self.num_data)
        self.shuffle, self.last_batch_handle = shuffle, last_batch_handle
        self.cursor = -batch_size
        self._kept = None  # the examples that roll over, by name
        self.reset()

    @property
    def data_list(self):
        """All arrays, data first."""
        return [values for _, values in (*self.data, *self.label)]

    @property
    def num_source(self):
        """How many arrays there are."""
        return len(self.data_list)

    def _described(self, pairs):
        found = []
        for name, values in pairs:
            shape = list(values.shape)
            shape[self._axis] = self.batch_size
            found.append(DataDesc(name, tuple(shape), values.dtype.type, self.layout))
        return found

    @property
    def provide_data(self):
        """Descriptions of the data."""
        return self._described(self.data)

    @property
    def provide_label(self):
        """Descriptions of the labels."""
        return self._described(self.label)

    def hard_reset(self):
        """Start over, and drop the examples that would roll over."""
        self._shuffle()
        self.cursor, self._kept = -self.batch_size, None

    def reset(self):
        self._shuffle()
        left = self.num_data - self.cursor
        if self.last_batch_handle == "roll_over" and 0 < left < self.batch_size:
            self.cursor = -left - self.batch_size
        else:
            self.cursor, self._kept = -self.batch_size, None

    def _shuffle(self):
        if self.shuffle:
            np.random.shuffle(self.idx)  # as MXNet does, so that the same seed gives the same order
            self.data, self.label = (
                [(name, array(values.asnumpy().take(self.idx, axis=self._axis), dtype=values.dtype))
                 for name, values in pairs]
                for pairs in (self.data, self.label)
            )  # fmt: skip

    def iter_next(self):
        self.cursor += self.batch_size
        return self.cursor < self.num_data

    def next(self):
        if not self.iter_next():
            raise StopIteration
        if self.last_batch_handle != "pad" and self.cursor + self.batch_size > self.num_data:
            self._kept = {name: self._cut(x, self.cursor, None) for name, x in (*self.data, *self.label)}
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad())

    def _cut(self, values, begin, end):
        return values[(*(slice(None),) * self._axis, slice(begin, end))]

    def _batch(self, pairs):
        begin, end = self.cursor, self.cursor + self.batch_size
        if begin >= self.num_data:
            raise RuntimeError("the batches are at their end; call reset()")
        found = []
        for name, values in pairs:
            parts = [self._cut(values, max(begin, 0), min(end, self.num_data))]
            if begin < 0 and self._kept is not None:
                parts.insert(0, self._kept[name])
            missing = end - self.num_data if self.last_batch_handle == "pad" else 0
            while missing > 0:
                parts.append(self._cut(values, 0, min(missing, self.num_data)))
                missing -= self.num_data
            found.append(concat(*parts, dim=self._axis) if len(parts) > 1 else parts[0])
        return found

    def getdata(self):
        return self._batch(self.data)

    def getlabel(self):
        return self._batch(self.label)

    def getpad(self):
        if self.last_batch_handle == "pad":
            return max(0, self.cursor + self.batch_size - self.num_data)
        return max(0, -self.cursor) if self.last_batch_handle == "roll_over" else 0


class _Wrapped(DataIter):
    """An iterator that hands out whole batches."""

    current_batch = None

    def getdata(self):
        return self.current_batch.data

    def getlabel(self):
        return self.current_batch.label

    def getindex(self):
        return self.current_batch.index

    def getpad(self):
        return self.current_batch.pad


class ResizeIter(_Wrapped):
    """An iterator with another number of batches per epoch.

    Parameters
    ----------
    data_iter : DataIter
        Restarted when it ends too early.
    size : int
        Number of batches.
    reset_internal : bool, default True
        Whether a reset also resets `data_iter`.
    """

    def __init__(self, data_iter, size, reset_internal=True):
        super().__init__(data_iter.batch_size)
        self.data_iter, self.size, self.reset_internal, self.cur = data_iter, size, reset_internal, 0
        self.provide_data, self.provide_label = data_iter.provide_data, data_iter.provide_label

    def reset(self):
        self.cur = 0
        if self.reset_internal:
            self.data_iter.reset()

    def iter_next(self):
        if self.cur == self.size:
            return False
        try:
            self.current_batch = self.data_iter.next()
        except StopIteration:
            self.data_iter.reset()
            self.current_batch = self.data_iter.next()
        self.cur += 1
        return True


class PrefetchingIter(_Wrapped):
    """Several iterators as one; arrays are in memory already, so nothing is prefetched.

    Parameters
    ----------
    iters : DataIter or list of DataIter
    rename_data, rename_label : list of dict of str to str, optional
        New names, for each iterator.
    """

    def __init__(self, iters, rename_data=None, rename_label=None):
        self.iters = list(iters) if isinstance(iters, (list, tuple)) else [iters]
        if not self.iters:
            raise ValueError("iters must hold at least one iterator")
        self.n_iter, self.rename_data, self.rename_label = len(self.iters), rename_data, rename_label
        super().__init__(self.provide_data[0].shape[0])

    def _renamed(self, which, names):
        found = [getattr(source, which) for source in self.iters]
        if names is None:
            return [desc for descs in found for desc in descs]
        renamed = [(new[desc.name], desc) for new, descs in zip(names, found) for desc in descs]
        return [DataDesc(name, desc.shape, desc.dtype) for name, desc in renamed]

    @property
    def provide_data(self):
        """Descriptions of all data."""
        return self._renamed("provide_data", self.rename_data)

    @property
    def provide_label(self):
        """Descriptions of all labels."""
        return self._renamed("provide_label", self.rename_label)

    def reset(self):
        for source in self.iters:
            source.reset()

    def iter_next(self):
        batches = [next(source, None) for source in self.iters]
        ended = [batch is None for batch in batches]
        if all(ended):
            return False
        if any(ended) or len({batch.pad for batch in batches}) > 1:
            raise ValueError("the iterators must have equally many batches of equal padding")
        self.current_batch = DataBatch(
            [x for batch in batches for x in batch.data], [x for batch in batches for x in batch.label or ()],
            batches[0].pad, batches[0].index,
            provide_data=self.provide_data, provide_label=self.provide_label,
        )  # fmt: skip
        return True

    def next(self):
        if not self.iter_next():
            raise StopIteration
        return self.current_batch


__path__: list = []  # MXNet has modules below it
namespace.complete(__name__)
