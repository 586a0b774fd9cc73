"""A store of weights by key in this process, which sums gradients and applies an updater."""

from __future__ import annotations

import functools
import os
import warnings
from collections import deque
from collections.abc import Callable
from itertools import chain, starmap
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, reprs
from .arrays import as_array
from .dialects import V2
from .nd import view
from .optimizer import Updater
from .sparse import RowSparseArray, as_gradient
from .sparse import row_ids as row_ids_of

if TYPE_CHECKING:
    from .optimizer.optimizer import Optimizer

LOCAL = ("local", "local_update_cpu", "local_allreduce_cpu")
DEVICE = ("device", "local_allreduce_device", "nccl")


class KVStoreBase:
    """The interface of every store, and the base of custom ones.

    Derive a class from this one and decorate it with `register`; ``create`` then makes it by name. A
    `gluon.Trainer` needs a store with `broadcast` and `pushpull`.
    """

    OPTIMIZER = "optimizer"

    #: The registered stores, by their names in lower case.
    kv_registry: dict[str, type] = {}

    @staticmethod
    def register(klass):
        """Register a store class under its name; usable as a decorator.

        Parameters
        ----------
        klass : type

        Returns
        -------
        type
            The class itself. It replaces a class that had the name before, with a warning.

        Examples
        --------
        >>> import mxopt as mx
        >>> @mx.kv.KVStoreBase.register
        ... class Quiet(mx.kv.KVStoreBase):
        ...     type = "quiet"
        >>> mx.kv.create("quiet").type
        'quiet'
        >>> del mx.kv.KVStoreBase.kv_registry["quiet"]
        """
        if not isinstance(klass, type):
            raise TypeError(f"register takes a class of stores, got {klass!r}")
        name = klass.__name__.lower()
        before = KVStoreBase.kv_registry.get(name)
        if before is not None and (before.__module__, before.__qualname__) != (
            klass.__module__,
            klass.__qualname__,
        ):
            warnings.warn(
                f"the store {name!r} is now {klass.__module__}.{klass.__name__}, and was "
                f"{before.__module__}.{before.__name__}",
                UserWarning,
                stacklevel=2,
            )
        KVStoreBase.kv_registry[name] = klass
        return klass

    def _lacks(self, what):
        raise NotImplementedError(f"the store {type(self).__name__} has no {what}")

    def broadcast(self, key, value, out, priority=0):
        """Copy the first worker's value to `out`; for the derived class to define.

        Parameters
        ----------
        key : int, str or list of them
            The key of each value.
        value : array or list of arrays
            The initial values.
        out : array or list of arrays
            Where the values are written.
        priority : int, default 0
            Accepted as in MXNet.
        """
        self._lacks("broadcast")

    def pushpull(self, key, value, out=None, priority=0):
        """Sum the workers' values into `out`, or back into `value`; for the derived class to define.

        Parameters
        ----------
        key : int, str or list of them
            The key of each value.
        value : array or list of arrays
            The values; several of one key are summed.
        out : array or list of arrays
            Where the values are written.
        priority : int, default 0
            Accepted as in MXNet.
        """
        self._lacks("pushpull")

    def set_optimizer(self, optimizer):
        """Apply an optimizer in the store; for the derived class to define, if it can."""
        self._lacks("set_optimizer")

    def is_capable(self, capability):
        """Whether the store has a capability; for the derived class to define.

        Parameters
        ----------
        capability : str
            So far only ``'optimizer'``: whether the store can apply one.
        """
        self._lacks("is_capable")

    def save_optimizer_states(self, fname, dump_optimizer=False):
        """Write the optimizer's states; for the derived class to define, if it applies one.

        Parameters
        ----------
        fname : str or os.PathLike
            The file.
        dump_optimizer : bool, default False
            Save the optimizer as well: hyper-parameters, multipliers, scheduler.
        """
        self._lacks("save_optimizer_states")

    def load_optimizer_states(self, fname):
        """Read the optimizer's states; for the derived class to define, if it applies one.

        Parameters
        ----------
        fname : str or os.PathLike
            The file.
        """
        self._lacks("load_optimizer_states")

    @property
    def type(self):
        """The kind of store, as passed to ``create``."""
        return self._lacks("type")

    @property
    def rank(self):
        """The number of this worker."""
        return self._lacks("rank")

    @property
    def num_workers(self):
        """How many workers there are."""
        return self._lacks("num_workers")


def _capable(capability, able):
    if not isinstance(capability, str) or capability.lower() != KVStoreBase.OPTIMIZER:
        raise ValueError(f"capability must be 'optimizer', the only one there is, got {capability!r}")
    return able


@KVStoreBase.register
class TestStore(KVStoreBase):
    """The smallest store: it keeps nothing, sums what is pushed, and applies no optimizer."""

    __test__ = False  # not a class of tests

    type = "teststore"
    rank = 0
    num_workers = 1

    def broadcast(self, key, value, out, priority=0):
        """Copy a value to `out`, an array or a list of them.

        Parameters
        ----------
        key : int, str or list of them
            The key of each value.
        value : array or list of arrays
            The initial values.
        out : array or list of arrays
            Where the values are written.
        priority : int, default 0
            Accepted as in MXNet.
        """
        _commit([_Write(array, _pushed(value, key), f"out for key {key!r}") for array in _listed(out)])

    def pushpull(self, key, value, out=None, priority=0):
        """Sum the values, an array or a list of them, into `out`, or back into them.

        Parameters
        ----------
        key : int, str or list of them
            The key of each value.
        value : array or list of arrays
            The values; several of one key are summed.
        out : array or list of arrays
            Where the values are written.
        priority : int, default 0
            Accepted as in MXNet.
        """
        values = [_pushed(array, key) for array in _listed(value)]
        total = values[0] if len(values) == 1 else _total(values, 1)
        targets = _listed(value if out is None else out)
        _commit([_Write(array, total, f"out for key {key!r}") for array in targets])

    @staticmethod
    def is_capable(capability):
        """False for ``'optimizer'``."""
        return _capable(capability, False)


class KVStore(KVStoreBase):
    """Weights by key; gradients pushed to a key are summed and, with an updater, applied to its weight.

    Parameters
    ----------
    kind : {'local', 'device'}
        They differ in the order in which several gradients are added, as in MXNet: 'device' adds them one
        by one, 'local' adds sums of up to four to the first.
    """

    dialect = V2

    #: Whether the store keeps a value for each key; if not, it only sums.
    keeps_values = True

    def __init__(self, kind: str = "local") -> None:
        self._kind = kind
        self._stored: dict[Any, Any] = {}
        self._updater: Any = None

    def __repr__(self):
        return reprs.store_text(self)

    def _repr_html_(self):
        return reprs.store_html(self)

    @property
    def type(self) -> str:
        """The kind of store, as passed to ``create``."""
        return self._kind

    @property
    def rank(self) -> int:
        """0: there is one worker, this process."""
        return 0

    @property
    def num_workers(self) -> int:
        """1."""
        return 1

    @property
    def _one_by_one(self):
        """Whether the arrays of a key are added one by one."""
        return self._kind in DEVICE

    def barrier(self) -> None:
        """Nothing to wait for."""

    def set_gradient_compression(self, compression_params: Any) -> None:
        """Raises NotImplementedError: gradients do not leave the process.

        Parameters
        ----------
        compression_params : dict
            The kind of compression under ``type``, and its settings.
        """
        raise NotImplementedError(
            "mxopt does not compress gradients, since they do not leave the process; "
            f"leave out compression_params, got {compression_params!r}"
        )

    @staticmethod
    def is_capable(capability):
        """True for ``'optimizer'``: the store can apply one."""
        return _capable(capability, True)

    # -- weights and gradients -----------------------------------------------------------------------
    #
    # Every call has two halves: first everything that can fail, which prepares what is to be written; then
    # `_commit` or a single `dict.update`, which neither an error nor a KeyboardInterrupt can cut short.

    def init(self, key: Any, value: Any) -> None:
        """Give keys their first values, which are copied.

        Parameters
        ----------
        key : int, str, or list of them
            All keys of a store are int, or all are str.
        value : array, or list of arrays
        """
        self._stored.update({one: Stored(array) for one, array in self._checked_init(key, value)})

    def _checked_init(self, key, value):
        checked = {}
        for one, arrays in pairs_of(key, value):
            if one in self._stored or one in checked:
                raise ValueError(f"key {one!r} is in the store already; push to it, or use another key")
            if len(arrays) > 1:
                raise ValueError(f"init takes one array for key {one!r}, got {len(arrays)}")
            self._check_kind(one, checked)
            checked[one] = as_gradient(arrays[0], f"value of key {one!r}")
        return list(checked.items())

    def _check_kind(self, key, new=()):
        other = next(iter(self._stored or new), key)
        if type(other) is not type(key):
            raise TypeError(
                f"the keys of this store are {type(other).__name__}, as {other!r}; "
                f"got {key!r}, a {type(key).__name__}"
            )

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        """Sum the values pushed to each key and apply the sums.

        With an updater each sum is the gradient of the stored weight; without one it replaces the stored
        value, storage type included.

        Parameters
        ----------
        key : int, str, or list of them
        value : array, list of arrays (one per worker), or for a list of keys a list of these
        priority : int, default 0
            Accepted as in MXNet.

        Notes
        -----
        Either all keys are updated or none. A built-in optimizer steps them in one call; a function set by
        `set_updater` works on copies, which replace the stored values once it has run for all keys.
        """
        self._apply(self._summed(key, value))

    def _summed(self, key, value):
        groups = {}
        for one, arrays in pairs_of(key, value):
            groups.setdefault(one, []).extend(as_gradient(x, f"value for key {one!r}") for x in arrays)
        return {one: self._sum(one, arrays) for one, arrays in groups.items()}

    def _shape(self, key, arrays):
        """The shape that the values for a key must have."""
        return self._find(key).array.shape

    def _sum(self, key, arrays):
        shape = self._shape(key, arrays)
        for array in arrays:
            if array.shape != shape:
                raise ValueError(
                    f"value for key {key!r} must have the stored shape {shape}, got {array.shape}"
                )
        return arrays[0] if len(arrays) == 1 else _total(arrays, 1 if self._one_by_one else 4)

    def _apply(self, sums):
        if isinstance(self._updater, Updater):
            keys = list(sums)
            stored = [self._stored[key] for key in keys]
            sparse = [weight.stype == "row_sparse" for weight in stored]
            lazy = self._updater.lazy_for(sparse)
            self._updater(keys, list(sums.values()), [weight.array for weight in stored], lazy)
            for weight in stored:
                weight.rows = None
        else:
            self._stored.update(self._replacing(sums))

    def _replacing(self, sums):
        """What replaces the stored values, without an optimizer."""
        if self._updater is None:
            return {key: Stored(value, self._stored[key].array.dtype) for key, value in sums.items()}
        new = {}
        for key, value in sums.items():
            given = self._stored[key].handed()
            self._updater(key, view(value), given)
            new[key] = Stored(given)
        return new

    def pull(self, key: Any, out: Any = None, priority: int = 0, ignore_sparse: bool = True) -> None:
        """Copy stored values to arrays.

        Parameters
        ----------
        key : int, str, or list of them
        out : array, list of arrays, or for a list of keys a list of these
        ignore_sparse : bool
            Leave row-sparse arrays of `out` as they are; `row_sparse_pull` fetches rows of a large weight.
        priority : int, default 0
            Accepted as in MXNet.
        """
        if out is None:
            raise ValueError("pull needs out, the arrays to copy to")
        _commit(self._writes(key, out, ignore_sparse))

    def _writes(self, key, out, ignore_sparse, values=None):
        """The copies that a pull to `out` makes, from `values` if given, else from the store."""
        writes = []
        for one, arrays in pairs_of(key, out):
            stored = self._current(one) if values is None else None
            for array in arrays:
                if ignore_sparse and getattr(array, "stype", "default") == "row_sparse":
                    continue
                value = values[one] if stored is None else stored.value_for(array)
                writes.append(_Write(array, value, f"out for key {one!r}"))
        return writes

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """`push`, then `pull` to `out`, or back to `value`.

        Row-sparse arrays of `out` stay as they are, as in MXNet: `push`, then fetch rows by
        `row_sparse_pull`.

        Parameters
        ----------
        key : int, str or list of them
            The key of each value.
        value : array or list of arrays
            The values; several of one key are summed.
        out : array or list of arrays
            Where the values are written.
        priority : int, default 0
            Accepted as in MXNet.

        Notes
        -----
        Everything is checked before anything changes. If a KeyboardInterrupt arrives after the step of an
        optimizer, `out` is unchanged; `pull` fills it.
        """
        sums = self._summed(key, value)
        out = value if out is None else out
        writes = self._writes(key, out, self.keeps_values, sums)
        if isinstance(self._updater, Updater) and self.keeps_values:
            self._apply(sums)
            _commit(self._writes(key, out, True))
            return
        new = self._replacing(sums) if self.keeps_values else {}
        if self._updater is not None:
            writes = self._writes(key, out, True, {one: stored.array for one, stored in new.items()})
        _commit(writes, self._stored, new)

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:
        """`init`, then `pull`.

        Parameters
        ----------
        key : int, str or list of them
            The key of each value.
        value : array or list of arrays
            The initial values.
        out : array or list of arrays
            Where the values are written.
        priority : int, default 0
            Accepted as in MXNet.
        """
        values = {}
        for one, arrays in pairs_of(key, value):
            values[one] = as_gradient(arrays[0], f"value of key {one!r}")
        writes = []
        for one, arrays in pairs_of(key, out):
            if one not in values:
                raise ValueError(f"broadcast has out for key {one!r} and no value")
            writes += [_Write(array, values[one], f"out for key {one!r}") for array in arrays]
        new = {one: Stored(array) for one, array in self._checked_init(key, value)}
        _commit(writes, self._stored, new)

    def row_sparse_pull(self, key: Any, out: Any = None, priority: int = 0, row_ids: Any = None) -> None:
        """Copy some rows of stored row-sparse weights.

        Parameters
        ----------
        key : int, str, or list of them
        out : row-sparse array, list of them, or for a list of keys a list of these
            Gets the rows that `row_ids` names and no others.
        row_ids : array of row numbers, or lists of them as `out` has
            In any order, repeats allowed. One array serves all of `out`. Floats, which MXNet scripts usually
            pass, are accepted as long as the dtype is exact for them (float32: below 2**24).
        priority : int, default 0
            Accepted as in MXNet.
        """
        if out is None or row_ids is None:
            raise ValueError("row_sparse_pull needs out and row_ids")
        targets = [(one, array) for one, arrays in pairs_of(key, out) for array in arrays]
        if isinstance(row_ids, (list, tuple)):
            ids = [x for _, arrays in pairs_of(key, list(row_ids)) for x in arrays]
        else:
            ids = [row_ids]
        if len(ids) == 1:
            ids *= len(targets)
        if len(ids) != len(targets):
            raise ValueError(
                f"row_ids must come once for each of the {len(targets)} arrays of out, got {len(ids)}"
            )
        writes = []
        for (one, array), rows in zip(targets, ids):
            stored, name = self._find(one), f"out for key {one!r}"
            if not isinstance(array, RowSparseArray):
                raise TypeError(f"{name} must be row-sparse, got {type(array).__name__}; use pull")
            if stored.stype != "row_sparse":
                raise TypeError(f"key {one!r} has a dense value, which has no rows to pull; use pull")
            some = stored.some(
                row_ids_of(rows, f"row_ids for key {one!r}"), functools.partial(self._current, one)
            )
            writes.append(_Write(array, some, name))
        _commit(writes)

    def _current(self, key, rows=None):
        """A stored value whose rows, or some of them, have been caught up (`lazy_update="exact"`)."""
        stored = self._find(key)
        if isinstance(self._updater, Updater):
            self._updater.catch_up(key, rows)
        return stored

    def _find(self, key):
        stored = self._stored.get(key)
        if stored is None:
            self._check_kind(key)
            known = checks.nearest(key, self._stored) if isinstance(key, str) else ""
            raise KeyError(f"key {key!r} is not in the store{known or '; init it first'}")
        return stored

    # -- the updater ---------------------------------------------------------------------------------

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """Apply an optimizer to every gradient pushed from now on."""
        self._updater = self.dialect.get_updater(optimizer)

    def set_updater(self, updater: Callable[[Any, Any, Any], None]) -> None:
        """Call ``updater(key, pushed, stored)`` for every push; it changes `stored` in place."""
        if not callable(updater):
            raise TypeError(f"updater must be callable as updater(key, pushed, stored), got {updater!r}")
        self._updater = updater

    _set_updater = set_updater

    def save_optimizer_states(
        self, fname: str | os.PathLike[str], dump_optimizer: bool = False, **options: Any
    ) -> None:
        """Write the updater's states to a file; options as in `mxopt.Updater.save_states`.

        Parameters
        ----------
        fname : str or os.PathLike
            The file.
        dump_optimizer : bool, default False
            Save the optimizer as well: hyper-parameters, multipliers, scheduler.
        """
        self._own_updater("save_optimizer_states").save_states(fname, dump_optimizer, **options)

    def load_optimizer_states(self, fname: str | os.PathLike[str], **options: Any) -> Any:
        """Take the updater's states from a file; options and report as in `mxopt.Updater.load_states`.

        Parameters
        ----------
        fname : str or os.PathLike
            The file.
        """
        updater = self._own_updater("load_optimizer_states")
        updater._store_keys = tuple(self._stored)
        return updater.load_states(fname, **options)

    def _own_updater(self, what):
        if not isinstance(self._updater, Updater):
            raise RuntimeError(f"{what} needs an optimizer in the store; call set_optimizer first")
        return self._updater


class Stored:
    """A stored value, always kept as a dense array, even if it counts as row-sparse.

    Attributes
    ----------
    array : ndarray
    stype : {'default', 'row_sparse'}
    rows : ndarray or None
        For a row-sparse value, the rows that MXNet would store. None: all.
    """

    def __init__(self, value, dtype=None):
        """Hold a copy of a value."""
        self.rows = None
        if isinstance(value, RowSparseArray):
            self.stype, self.rows = "row_sparse", np.array(value.indices)
            array = np.asarray(value.todense())
        else:
            self.stype, array = "default", np.array(value, subok=False)
        self.array = array if dtype is None else array.astype(dtype, copy=False)

    def handed(self):
        """A copy to pass to a function set by `set_updater`."""
        if self.stype == "default":
            return view(self.array.copy())
        rows = np.arange(len(self.array)) if self.rows is None else self.rows
        return view(RowSparseArray._trusted(self.array[rows], rows.copy(), self.array.shape))

    def set(self, value):
        """Overwrite with a value of the same shape."""
        _commit([_Write(self.array, as_gradient(value), "the stored value")])
        self.rows = None

    def value_for(self, out):
        """The value, with rows if `out` has rows."""
        if not isinstance(out, RowSparseArray):
            return self.array
        if self.stype == "default":
            return RowSparseArray.from_dense(self.array)
        return self.some(np.arange(len(self.array)) if self.rows is None else self.rows)

    def some(self, rows, before=None):
        """Rows of the value, in any order; `before` is called with them before they are read."""
        wanted = RowSparseArray(np.zeros((rows.size, 0), np.float32), rows, (len(self.array), 0)).indices
        if before is not None:
            before(wanted)
        return RowSparseArray._trusted(self.array[wanted], wanted, self.array.shape)


def write(out, value, name):
    """Copy a value into one of the caller's arrays or into the store."""
    _commit([_Write(out, value, name)])


class _Write:
    """A pending copy of a value to one of the caller's arrays or to the store."""

    __slots__ = ("rows", "target", "value")

    def __init__(self, target, value, name):
        shape = getattr(target, "shape", None)
        if isinstance(target, RowSparseArray):
            self.target = target
        else:
            self.target = as_array(target, name)
            shape = self.target.shape
        if tuple(shape) != value.shape:
            raise ValueError(f"{name} must have shape {value.shape}, got {tuple(shape)}")
        self.rows = None
        if isinstance(target, RowSparseArray):
            if not isinstance(value, RowSparseArray):
                value = RowSparseArray.from_dense(value)
            like = np.asarray if type(target) is RowSparseArray else view
            self.value = like(_cast(np.asarray(value.data), target.dtype, copy=True))
            self.rows = like(np.array(value.indices))
        else:
            dense = np.asarray(value.todense() if isinstance(value, RowSparseArray) else value)
            # cast to the target's dtype now, so that the write itself cannot fail
            self.value = _cast(dense, self.target.dtype)


def _cast(array, dtype, copy=False):
    """An array in another dtype; numbers too large for it become infinity without a warning, as in MXNet.

    NumPy 1.24 and later warns about them, or raises if the caller's ``np.errstate`` says so.
    """
    with np.errstate(all="ignore"):
        return array.astype(dtype, copy=copy)


def _commit(writes, stored=None, new=()):
    """Add new values to a store's, and make copies, in a single C call.

    None can fail, and no KeyboardInterrupt can come in between.
    """
    dense, rows = [], []
    for write in writes:
        if write.rows is None:
            dense.append((write.target, Ellipsis, write.value))
        else:
            rows += ((write.target, "data", write.value), (write.target, "indices", write.rows))
    added = starmap(dict.update, [(stored, new)] if new else [])
    deque(chain(added, starmap(np.ndarray.__setitem__, dense), starmap(setattr, rows)), maxlen=0)


def _pushed(value, key):
    return as_gradient(value, f"value for key {key!r}")


def _total(arrays, at_a_time):
    """The sum of several arrays: row-sparse if all are, else added to the first, `at_a_time` at a time."""
    for array in arrays[1:]:
        if array.shape != arrays[0].shape:
            raise ValueError(f"values must have one shape, got {arrays[0].shape} and {array.shape}")
    if all(isinstance(array, RowSparseArray) for array in arrays):
        return RowSparseArray(
            np.concatenate([a.data for a in arrays]),
            np.concatenate([a.indices for a in arrays]),
            arrays[0].shape,
        )
    arrays = [np.asarray(a.todense() if isinstance(a, RowSparseArray) else a) for a in arrays]
    total = arrays[0].copy()
    for start in range(1, len(arrays), at_a_time):
        part = arrays[start]
        for more in arrays[start + 1 : start + at_a_time]:
            part = part + more
        total += part
    return total


def _listed(x):
    return list(x) if isinstance(x, (list, tuple)) else [x]


def pairs_of(key, value):
    """[(key, [arrays])] from one key with one or several arrays, or from lists of keys."""
    if not isinstance(key, (list, tuple)):
        return [(checks.key(key), list(value) if isinstance(value, (list, tuple)) else [value])]
    if not isinstance(value, (list, tuple)) or len(value) % max(len(key), 1):
        raise ValueError(
            f"a list of {len(key)} keys needs a list of as many values, got "
            f"{len(value) if isinstance(value, (list, tuple)) else type(value).__name__}"
        )
    each = len(value) // max(len(key), 1)  # MXNet also takes all values in one flat list
    groups = [value[i * each : (i + 1) * each] for i in range(len(key))]
    return [
        (
            checks.key(one),
            list(group[0]) if each == 1 and isinstance(group[0], (list, tuple)) else list(group),
        )
        for one, group in zip(key, groups)
    ]
