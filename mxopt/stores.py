"""A store of weights by key in this process, which sums gradients and applies an updater."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks
from .arrays import as_array
from .dialects import V2
from .nd import view
from .optimizer import Updater
from .sparse import RowSparseArray, as_gradient

if TYPE_CHECKING:
    from .optimizer.optimizer import Optimizer

LOCAL = ("local", "local_update_cpu", "local_allreduce_cpu")
DEVICE = ("device", "local_allreduce_device", "nccl")


class KVStoreBase:
    """What a store can be asked for its abilities."""

    OPTIMIZER = "optimizer"

    #: Classes of stores that were registered, by their names in lower case.
    kv_registry: dict = {}

    @staticmethod
    def is_capable(capability):
        """Whether the store applies optimizers."""
        return capability.lower() == KVStoreBase.OPTIMIZER

    @staticmethod
    def register(klass):
        """Enter a class of stores, so that ``create`` makes one by its name; for use as a decorator.

        It has ``broadcast``, ``pushpull``, ``is_capable``, ``type``, ``rank`` and ``num_workers``.
        """
        if not isinstance(klass, type):
            raise TypeError(f"register takes a class, got {klass!r}")
        name = klass.__name__.lower()
        if name in KVStoreBase.kv_registry:
            before = KVStoreBase.kv_registry[name]
            warnings.warn(
                f"store {klass.__module__}.{klass.__name__} replaces {before.__module__}.{before.__name__}",
                UserWarning,
                stacklevel=2,
            )
        KVStoreBase.kv_registry[name] = klass
        return klass


class KVStore(KVStoreBase):
    """Weights by key; gradients pushed to a key are summed and, with an updater, applied to its weight.

    Parameters
    ----------
    kind : {'local', 'device'}
        They differ in the order in which several gradients are added, as in MXNet: 'device' adds one after
        the other, 'local' adds the first to sums of up to four.
    """

    dialect = V2

    def __init__(self, kind: str = "local") -> None:
        self._kind = kind
        self._stored: dict[Any, Any] = {}
        self._updater: Any = None

    @property
    def type(self) -> str:
        """The kind it was created as."""
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
        """Whether the arrays of a key are added one after the other."""
        return self._kind in DEVICE

    def barrier(self) -> None:
        """Nothing to wait for."""

    def set_gradient_compression(self, compression_params: Any) -> None:
        """Refused: gradients do not leave the process."""
        raise NotImplementedError(
            "mxopt does not compress gradients, since they do not leave the process; "
            f"leave out compression_params, got {compression_params!r}"
        )

    # -- weights and gradients -----------------------------------------------------------------------

    def init(self, key: Any, value: Any) -> None:
        """Give keys their first values, which are copied.

        Parameters
        ----------
        key : int, str, or list of them
        value : array, or list of arrays
        """
        for one, array in self._checked_init(key, value):
            self._stored[one] = Stored(array)

    def _checked_init(self, key, value):
        checked = []
        for one, arrays in pairs_of(key, value):
            if one in self._stored:
                raise ValueError(f"key {one!r} is in the store already; push to it, or use another key")
            if len(arrays) > 1:
                raise ValueError(f"init takes one array for key {one!r}, got {len(arrays)}")
            checked.append((one, as_gradient(arrays[0], f"value of key {one!r}")))
        return checked

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        """Sum the values pushed to each key, and apply them.

        With an updater each sum is the gradient of the stored weight; without, it replaces the stored value.

        Parameters
        ----------
        key : int, str, or list of them
        value : array, list of arrays (one a worker), or for a list of keys a list of these
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
        if len(arrays) == 1:
            return arrays[0]
        if all(isinstance(array, RowSparseArray) for array in arrays):
            return RowSparseArray(
                np.concatenate([a.data for a in arrays]),
                np.concatenate([a.indices for a in arrays]),
                arrays[0].shape,
            )
        arrays = [np.asarray(a.todense() if isinstance(a, RowSparseArray) else a) for a in arrays]
        at_a_time = 1 if self._one_by_one else 4
        total = arrays[0].copy()
        for start in range(1, len(arrays), at_a_time):
            part = arrays[start]
            for more in arrays[start + 1 : start + at_a_time]:
                part = part + more
            total += part
        return total

    def _apply(self, sums):
        if self._updater is None:
            for key, value in sums.items():
                self._stored[key].set(value)
        elif isinstance(self._updater, Updater):
            keys = list(sums)
            stored = [self._stored[key] for key in keys]
            sparse = [weight.stype == "row_sparse" for weight in stored]
            update(self._updater, keys, list(sums.values()), [weight.array for weight in stored], sparse)
        else:
            for key, value in sums.items():
                self._updater(key, view(value), view(self._stored[key].array))

    def pull(self, key: Any, out: Any = None, priority: int = 0, ignore_sparse: bool = True) -> None:
        """Copy stored values to arrays.

        Parameters
        ----------
        key : int, str, or list of them
        out : array, list of arrays, or for a list of keys a list of these
        ignore_sparse : bool
            Leave out row-sparse weights, which `row_sparse_pull` fetches.
        """
        if out is None:
            raise ValueError("pull needs out, the arrays to copy to")
        for one, arrays in pairs_of(key, out):
            stored = self._find(one)
            if stored.stype == "row_sparse" and ignore_sparse:
                continue
            for array in arrays:
                stored.copy_to(array, f"out for key {one!r}")

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """`push`, then `pull` to `out`, or back to `value`."""
        sums = self._summed(key, value)
        out = value if out is None else out
        if self._updater is None:
            for one, arrays in pairs_of(key, out):
                for array in arrays:
                    write(array, sums[one], f"out for key {one!r}")
            return
        self._apply(sums)
        self.pull(key, out, priority, ignore_sparse=False)

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:
        """`init`, then `pull`."""
        self.init(key, value)
        self.pull(key, out, priority, ignore_sparse=False)

    def row_sparse_pull(self, key: Any, out: Any = None, priority: int = 0, row_ids: Any = None) -> None:
        """Copy some rows of stored weights.

        Parameters
        ----------
        key : int, str, or list of them
        out : row-sparse array, or list of them
            Gets the rows that `row_ids` names and no others. An ordinary array gets those rows written.
        row_ids : integer array, or list of them, one for each of `out`
        """
        if out is None or row_ids is None:
            raise ValueError("row_sparse_pull needs out and row_ids")
        pairs = pairs_of(key, out)
        targets = [(one, array) for one, arrays in pairs for array in arrays]
        ids = row_ids if isinstance(row_ids, (list, tuple)) else [row_ids] * len(targets)
        if len(ids) == 1:
            ids = list(ids) * len(targets)
        if len(ids) != len(targets):
            raise ValueError(
                f"row_ids must come once for each of the {len(targets)} arrays of out, got {len(ids)}"
            )
        for (one, array), rows in zip(targets, ids):
            self._find(one).rows_to(array, rows, f"out for key {one!r}")

    def _find(self, key):
        stored = self._stored.get(key)
        if stored is None:
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
        """Write the updater's states to a file; options as in `mxopt.Updater.save_states`."""
        self._own_updater("save_optimizer_states").save_states(fname, dump_optimizer, **options)

    def load_optimizer_states(self, fname: str | os.PathLike[str], **options: Any) -> Any:
        """Take the updater's states from a file; options and report as in `mxopt.Updater.load_states`."""
        return self._own_updater("load_optimizer_states").load_states(fname, **options)

    def _own_updater(self, what):
        if not isinstance(self._updater, Updater):
            raise RuntimeError(f"{what} needs an optimizer in the store; call set_optimizer first")
        return self._updater


def update(updater, keys, grads, weights, sparse):
    """Call an updater for weights of which some count as row-sparse.

    All in one call, so that if one gradient is wrong no weight has changed; but an optimizer that is lazy for
    row-sparse weights only gets these by themselves.

    Parameters
    ----------
    updater : Updater
    keys, grads, weights : list
    sparse : list of bool
        Which; empty: none.
    """
    optimizer = updater.optimizer
    chooses = getattr(optimizer, "lazy_on_stored_rows", False) and optimizer.use_fused_step
    if not chooses or optimizer.lazy_update or not any(sparse):
        updater(keys, grads, weights)
        return
    for lazy in (False, True):
        columns = [
            [x for x, rows in zip(column, sparse) if rows is lazy] for column in (keys, grads, weights)
        ]
        optimizer.lazy_update = lazy
        try:
            updater(*columns)
        finally:
            optimizer.lazy_update = False


class Stored:
    """A stored weight: a dense array that may be called row-sparse, as MXNet's stores every row."""

    def __init__(self, value):
        self.stype = "row_sparse" if isinstance(value, RowSparseArray) else "default"
        self.array = np.array(value.todense() if self.stype == "row_sparse" else value, subok=False)

    def set(self, value):
        write(self.array, value, "the stored value")

    def copy_to(self, out, name):
        write(out, self.array, name)

    def rows_to(self, out, rows, name):
        rows = np.asarray(rows)
        if rows.dtype.kind == "f" and (rows == np.floor(rows)).all():
            rows = rows.astype(np.int64)  # MXNet's own are float32 when they come from nd.array
        wanted = RowSparseArray(
            np.zeros((rows.size, 0), np.float32), rows.reshape(-1), (len(self.array), 0)
        ).indices
        if isinstance(out, RowSparseArray):
            write(out, RowSparseArray(self.array[wanted], wanted, self.array.shape), name)
        else:
            as_array(out, name)[wanted] = self.array[wanted]


def write(out, value, name):
    """Copy a value into an array of the caller's, or into the store."""
    if isinstance(out, RowSparseArray):
        if out.shape != value.shape:
            raise ValueError(f"{name} must have shape {value.shape}, got {out.shape}")
        rows = value if isinstance(value, RowSparseArray) else view(value).tostype("row_sparse")
        like = view if type(out) is not RowSparseArray else np.asarray
        out.data, out.indices = like(np.array(rows.data, out.dtype)), like(np.array(rows.indices))
        return
    target = as_array(out, name)
    if target.shape != value.shape:
        raise ValueError(f"{name} must have shape {value.shape}, got {target.shape}")
    target[...] = value.todense() if isinstance(value, RowSparseArray) else value


def pairs_of(key, value):
    """[(key, [arrays])] of one key with one or several arrays, or of lists of keys."""
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
