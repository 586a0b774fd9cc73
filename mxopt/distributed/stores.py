"""MXNet's distributed stores by name: gradients are summed over the ranks, in rank order.

Every rank holds all weights and, with an optimizer, makes the same updates, so there is no server and pulling
moves nothing. What MXNet would send to servers is compared instead: ranks that differ in keys, shapes or
optimizers get an error.
"""

from __future__ import annotations

import pickle

import numpy as np

from ..optimizer.updater import Updater
from ..sparse import RowSparseArray
from ..stores import KVStore, KVStoreBase, Stored, pairs_of, write
from . import compression, world
from .agreement import description
from .sums import in_order, sum_over


class DistStore(KVStore):
    """A store whose pushes are summed over all ranks of the job.

    Every rank must make the same calls of `init`, `push`, `pushpull`, `broadcast` and `barrier` in the same
    order; `pull` and `row_sparse_pull` may be called by one alone. These are sums, not means: use
    ``rescale_grad`` to divide.

    Parameters
    ----------
    kind : str
        The name; if it contains 'device', the arrays of one rank are added one by one.
    """

    def __init__(self, kind="dist_sync"):
        super().__init__(kind)
        self._ranks = world.world()
        self._given = None  # an optimizer that the other ranks may not know yet
        self._compression = None

    @property
    def rank(self):
        """The number of this rank."""
        return self._ranks.rank

    @property
    def num_workers(self):
        """How many ranks there are."""
        return self._ranks.size

    @property
    def _one_by_one(self):
        return "device" in self._kind

    @staticmethod
    def is_capable(capability):
        """Whether the store applies optimizers."""
        if capability.lower() != KVStoreBase.OPTIMIZER:
            raise ValueError(f"unknown capability {capability!r}; stores are asked for 'optimizer'")
        return True

    def barrier(self):
        """Wait for all ranks."""
        self._meet("barrier")

    _barrier = barrier

    def set_gradient_compression(self, compression_params):
        """Send two bits of every element of a pushed gradient, and keep the rest for the next one.

        Parameters
        ----------
        compression_params : dict
            ``{'type': '2bit', 'threshold': 0.5}``. Gradients must be dense and float32.
        """
        self._compression = compression.from_parameters(compression_params)

    # -- all ranks together ----------------------------------------------------------------------------

    def _meet(self, call, details=None, error=None):
        """Agree with the other ranks, and install an optimizer that some of them have been given."""
        told = dict(details or {})
        told["the compression"] = self._compression and self._compression.threshold
        updater = self._updater
        if isinstance(updater, Updater):
            told.update(description(updater.optimizer))
        elif updater is not None:
            told["the updater"] = "a function"
        given = self._ranks.agree(call, told, error, flag=self._given is not None)
        if any(given):
            self._install(given.index(1))

    def _install(self, giver):
        """Install the optimizer of the first rank that was given one; another rank's must be equal."""
        own, self._given = self._given, None
        error, data = None, b""
        if self.rank == giver:
            try:
                data = b"1" + pickle.dumps(own)
            except Exception as refused:
                data = b"0" + str(refused).encode()  # what the other ranks will say
        found = self._ranks.gather_bytes(data)[giver]
        if own is None:
            try:
                if found[:1] == b"0":
                    raise ValueError(found[1:].decode())
                own = pickle.loads(found[1:])
            except Exception as refused:
                error = ValueError(
                    f"the optimizer that rank {giver} was given cannot be sent ({refused}); call "
                    "set_optimizer on every rank"
                )
        self._ranks.agree("set_optimizer", None if error else description(own), error)
        super().set_optimizer(own)

    def init(self, key, value):
        """Give keys their first values: rank 0's, on all ranks."""
        error, pairs = None, []
        try:
            pairs = self._checked_init(key, value)
        except (TypeError, ValueError) as refused:
            error = refused
        self._meet(f"init of {_named(pairs)}", error=error)
        values = [array for _, array in pairs]
        for (one, _), array in zip(pairs, self._ranks.broadcast(values) if self._ranks.size > 1 else values):
            self._stored[one] = Stored(array)

    def _checked_init(self, key, value):
        pairs = super()._checked_init(key, value)
        kinds = {isinstance(one, str) for one, _ in pairs} | {isinstance(one, str) for one in self._stored}
        if len(kinds) > 1:
            raise ValueError("keys of one store must be all int or all str; mixed key types are not allowed")
        if self._compression is not None:
            for one, array in pairs:
                self._check_compressible(one, array)
        return pairs

    @staticmethod
    def _check_compressible(key, array):
        if isinstance(array, RowSparseArray):
            raise ValueError(
                f"key {key!r} is row_sparse, and compression is for dense gradients; leave compression out"
            )
        if array.dtype != np.float32:
            raise ValueError(
                f"gradient compression is only for float32, and key {key!r} is {array.dtype}; leave it out"
            )

    def broadcast(self, key, value, out, priority=0):
        """`init`, then `pull`: copies rank 0's values to `out` on all ranks."""
        self.init(key, value)
        self.pull(key, out, priority, ignore_sparse=False)

    def _summed(self, key, value):
        """The sums over all ranks, of each rank's own sums."""
        error, sums = None, {}
        try:
            sums = super()._summed(key, value)
            if self._compression is not None:
                for one, array in sums.items():
                    self._check_compressible(one, array)
        except (TypeError, ValueError, KeyError) as refused:
            error = refused
        details = {f"key {one!r}": _outline(array) for one, array in sums.items()}
        self._meet(f"push of {_named(sums.items())}", details, error)
        return {one: self._over_ranks(one, array) for one, array in sums.items()}

    def _over_ranks(self, key, array):
        if self._compression is not None:
            codes = self._compression.encode(key, array)
            parts = [self._compression.decode(np.frombuffer(came, np.uint8), array.shape)
                     for came in self._ranks.gather_bytes(codes)]  # fmt: skip
            return in_order(parts)
        return sum_over(self._ranks, array)

    # -- optimizers --------------------------------------------------------------------------------------

    def set_optimizer(self, optimizer):
        """Apply an optimizer to every sum from now on.

        One rank's call is enough: the others install the optimizer when all next meet. If ranks are given
        different ones, all of them raise.
        """
        before = self._updater  # keep using it until all ranks meet
        super().set_optimizer(optimizer)  # raises if it is not an optimizer
        self._updater, self._given = before, optimizer
        if self._ranks.size == 1:
            self._install(0)

    def save_optimizer_states(self, fname, dump_optimizer=False, **options):
        """Write the updater's states, which are equal on all ranks; rank 0 writes."""
        self._together("save_optimizer_states", fname, dump_optimizer, **options)

    def load_optimizer_states(self, fname, **options):
        """Load the updater's states from a file, on all ranks."""
        return self._together("load_optimizer_states", fname, **options)

    def _together(self, what, *arguments, **options):
        self._meet(what)
        result = error = None
        if what.startswith("load") or self.rank == 0:
            try:
                result = getattr(super(), what)(*arguments, **options)
            except Exception as refused:
                error = refused
        self._ranks.agree(f"the end of {what}", error=error)
        return result


class Horovod(DistStore):
    """A store that sums over the ranks and leaves updates to each of them: MXNet's ``horovod``."""

    keeps_values = False

    def __init__(self, kind="horovod"):
        super().__init__(kind)

    @staticmethod
    def is_capable(capability):
        """False: each rank applies its own optimizer."""
        DistStore.is_capable(capability)
        return False

    def broadcast(self, key, value, out, priority=0):
        """Copy rank 0's value to `out` on all ranks."""
        pairs = pairs_of(key, value)
        self._meet(f"broadcast of {_named(pairs)}")
        first = self._ranks.broadcast([arrays[0] for _, arrays in pairs])
        for (one, arrays), array in zip(pairs_of(key, out), first):
            for target in arrays:
                write(target, array, f"out for key {one!r}")

    def _shape(self, key, arrays):
        return arrays[0].shape  # nothing is stored

    def set_optimizer(self, optimizer):
        """Raises NotImplementedError: pass the optimizer to a Trainer."""
        raise NotImplementedError(
            "a horovod store applies no optimizer; hand it to Trainer(..., kvstore='horovod'), or use "
            "'dist_sync'"
        )


def make(kind, dialect):
    """A store of a dialect, by its name."""
    made = Horovod(kind) if kind == "horovod" else DistStore(kind)
    made.dialect = dialect
    return made


def _outline(array):
    stored = "row_sparse" if isinstance(array, RowSparseArray) else "dense"
    return f"{stored} {array.dtype} {array.shape}"


def _named(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) == 1:
        return f"key {keys[0]!r}"
    return f"{len(keys)} keys, {keys[0]!r} to {keys[-1]!r}" if keys else "keys"
