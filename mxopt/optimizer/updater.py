"""The updater: keeps states by index, made at first use; the function that MXNet's scripts call."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks, kernels, reprs
from ..arrays import as_array
from ..clipping import clip_global_norm, limited, planned, scaled, squares
from ..dialects import V2, is_built_in
from ..loss_scaling import LossScale
from ..microbatches import Window
from ..saving import narrow, rows
from ..saving.background import Saving
from ..sparse import RowSparseArray, all_finite, as_gradient
from .averages import Averages
from .exact import Tables, own
from .optimizer import NewStates
from .reports import Norms, Reports
from .turns import gradient

if TYPE_CHECKING:
    from ..saving.loading import LoadReport
    from ..typing import State
    from .optimizer import Optimizer


class Updater:
    """Keeps an optimizer's states by index, and steps weights.

    Parameters
    ----------
    optimizer : Optimizer
    accumulate : int, optional
        How many calls make a step; their gradients are summed.
    clip_global_norm : float, optional
        Scale the gradients of a step down to this joint norm, if theirs is larger.
    loss_scale : float or 'dynamic', optional
        What the loss was multiplied by; see `mxopt.get_updater`.
    ema : float, optional
        The decay of running averages of the weights; see `mxopt.get_updater`.
    report : bool or int, default False
        Whether to measure steps, or every which; see `mxopt.get_updater`.

    Attributes
    ----------
    optimizer : Optimizer
    states : dict of (int or str) to state
        None, an array, or a tuple of arrays, as MXNet's.
    aggregate_updates : bool
        Whether a custom class is handed several tensors at a time.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=0.5))
    >>> weight = np.zeros(2, np.float32)
    >>> updater(0, np.ones(2, np.float32), weight)
    >>> weight
    array([-0.5, -0.5], dtype=float32)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        accumulate: int | None = None,
        clip_global_norm: float | None = None,
        loss_scale: float | str | None = None,
        ema: float | None = None,
        report: bool | int = False,
    ) -> None:
        checks.optimizer(optimizer)
        self.optimizer = optimizer
        self.states: dict[Any, Any] = {}
        self.states_synced: dict[Any, bool] = {}
        self._undecided = {}
        self._loaded = frozenset()
        self._lock = threading.RLock()
        self._tables = Tables()
        if accumulate is not None and checks.count("accumulate", accumulate) > 1:
            self._window = Window(accumulate)
        if clip_global_norm is not None:
            self.max_norm = checks.number("clip_global_norm", clip_global_norm, 0)
            self._window = Window(1) if self._window is None else self._window
        joined = None  # each of these makes the step with the ones before
        if ema is not None:
            joined = self._averages = Averages(optimizer, ema)
        if report is not None and report is not False:
            joined = self._reports = Reports(report, joined)
        if loss_scale is not None:
            joined = LossScale(optimizer, loss_scale, joined)
        if joined is not None:
            self._stepping = joined

    #: How a call is made, with the updater and the call's arguments.
    _stepping: Any = staticmethod(kernels.step_of_updater)
    #: The keys of the store that the updater serves, by which it will be called.
    _store_keys: tuple = ()
    #: The averages of the weights, if they are kept.
    _averages: Averages | None = None
    #: The norms of the last step that was measured.
    _reports: Reports | None = None
    #: Upper limit of the joint norm of a step's gradients; longer ones are scaled down.
    max_norm: float | None = None
    #: Held during a step, and while states are copied, saved or loaded: none of these sees another half done.
    _lock = threading.RLock()
    #: The last background save.
    _saving: Saving | None = None
    #: The micro-batches of a step, if there are several.
    _window: Window | None = None
    #: The state arrays that were row-sparse in a file, and are written as such again.
    _row_sparse: dict = {}
    #: Where rows lag behind (`lazy_update="exact"`).
    _tables = Tables()
    #: Whether there are any: one lookup a step.
    _has_tables = False
    #: What a file left open about the states, until the weights decide it (`mxopt.saving.undecided`).
    _undecided: Any = {}

    @property
    def aggregate_updates(self) -> bool:
        return self.optimizer.aggregate_num > 1

    def __call__(self, index: Any, grad: Any, weight: Any, lazy: list[bool] | None = None) -> None:
        """Step one weight, or a list of weights in one fused call.

        Parameters
        ----------
        index : int, str, bytes, or list of them
            Bytes become str, as the keys of a KVStore do.
        grad : ndarray, RowSparseArray, or list of them
            Comes before the weight, as in MXNet.
        weight : ndarray or list of ndarray
            Written in place.
        lazy : list of bool, optional
            For each weight, whether a row-sparse gradient touches only its rows. Not given: the optimizer's
            ``lazy_update`` decides. Used by KVStore, which may store weights as row-sparse (`lazy_for`).
        """
        with self._lock:
            self._stepping(self, index, grad, weight, lazy)

    def eval(self, index: Any, weight: Any) -> None:
        """Move weights to the point at which a model is evaluated; `train` moves them back.

        With `ema` it is the averages of the weights; until `train` they can be neither stepped nor saved.
        Schedule-Free optimizers have such a point of their own, the average of their iterates, and files
        remember where the weights lie. With all others, and for weights that lie there already, nothing
        happens.

        Parameters
        ----------
        index : int, str, or list of them
        weight : ndarray or list of ndarray
            Written in place.
        """
        self._move(index, weight, True)

    def train(self, index: Any, weight: Any) -> None:
        """Move weights back to the point at which they are trained, before the next step; as `eval`.

        Parameters
        ----------
        index : int, str, or list of them
        weight : ndarray or list of ndarray
            Written in place.
        """
        self._move(index, weight, False)

    @contextlib.contextmanager
    def average_parameters(self, index: Any, weight: Any) -> Iterator[None]:
        """A context in which the weights are where a model is evaluated: `eval`, and at its end `train`.

        Parameters
        ----------
        index : int, str, or list of them
        weight : ndarray or list of ndarray
            Written in place, and written back at the end.
        """
        self.eval(index, weight)
        try:
            yield
        finally:
            self.train(index, weight)

    def _move(self, index, weight, evaluating):
        averages = self._averages
        if averages is None and not getattr(self.optimizer, "has_two_points", False):
            return
        indices, weights = (index, weight) if isinstance(index, (list, tuple)) else ([index], [weight])
        if len(indices) != len(weights):
            raise ValueError(
                f"index and weight must be lists of the same length, got {len(indices)} and {len(weights)}"
            )
        indices = [checks.key(i) for i in indices]
        with self._lock:
            self._within_a_step("weights cannot be moved")
            self.flush()
            self._ready_for(indices, weights)
            if averages is not None:
                averages.move(self.optimizer, self.states, indices, weights, evaluating)
                return
            changed = []
            for i, one in zip(indices, weights):
                who = f"weight of {checks.who(self.optimizer, i)}"
                array = as_array(one, who)
                if i in self.states:
                    changed += self.optimizer.move(i, array, self.states[i], evaluating)
            kernels.write_back([to for to, _ in changed], [new for _, new in changed])

    def _ready_for(self, indices, weights):
        """Let states that come from a file follow their weights, before they are used."""
        if self._undecided:
            self._undecided.before_step(self.states, indices, weights)
        if self._loaded:
            self._follow_weights(indices, weights)

    def lazy_for(self, sparse):
        """The argument `lazy` of a call, given which of its weights are stored as row-sparse.

        Parameters
        ----------
        sparse : list of bool

        Returns
        -------
        list of bool or None
            None if the storage does not matter: only Ftrl depends on it, as in MXNet.
        """
        optimizer = self.optimizer
        chooses = getattr(optimizer, "lazy_on_stored_rows", False) and optimizer.use_fused_step
        if not chooses or optimizer.lazy_update or not is_built_in(optimizer) or not any(sparse):
            return None
        return sparse

    def _summed(self, indices, grads, weights):
        """The sums over the micro-batches of a step after the last one, None before."""
        optimizer = self.optimizer
        if not len(indices) == len(grads) == len(weights):
            raise _lengths(indices, grads, weights)
        key = tuple(checks.key(index) for index in indices)
        grads = [as_gradient(g, f"gradient of {checks.who(optimizer, i)}") for g, i in zip(grads, key)]
        for index, grad, weight in zip(key, grads, weights):
            if grad.shape != np.shape(weight):
                raise checks.gradient_shape(optimizer, index, np.asarray(weight), grad)
        if self._averages is not None:
            self._averages.refuse_moved(optimizer, key, "a step cannot be made")
        sums = self._window.add(key, grads)
        if sums is None or self.max_norm is None or not sums:
            return sums
        scaler = self._scaler
        # an overflow is no surprise where the step is skipped
        limit = self.max_norm if scaler is None else self.max_norm * scaler.scale
        if self.accumulate > 1:
            clip_global_norm(sums, limit, check_isfinite=scaler is None)
            return sums
        return self._clipped(sums, weights, limit, scaler is None)

    def _clipped(self, grads, weights, limit, check_isfinite):
        """The caller's own gradients, which stay as they are, or what stands for them with a limited norm."""
        optimizer = self.optimizer
        plan = planned([g.data if isinstance(g, RowSparseArray) else g for g in grads])
        norm, factor = limited(squares(plan), limit, check_isfinite and not self._checks_finite)
        if not math.isfinite(norm) and self._checks_finite:
            return grads  # the step is skipped
        # The engine multiplies them on the way, 16-bit ones in float32, unless a cast would come before.
        alike = all((g.dtype == np.float64) == _is_double(w) for g, w in zip(grads, weights))
        usual = is_built_in(optimizer) and optimizer.use_fused_step and optimizer._usual_path
        by_engine = alike and usual and not isinstance(optimizer.lazy_update, str)
        if by_engine and math.isfinite(norm):
            return kernels.Clipped(grads, min(float(factor), 1.0))
        return grads if factor >= 1 else scaled(grads, factor)

    @property
    def _checks_finite(self):
        return self._scaler is not None or getattr(self.optimizer, "skip_nonfinite", False)

    @property
    def report(self) -> dict[str, Norms]:
        """The `Norms` of the last step that was measured, by name of the parameter; at first empty."""
        return {} if self._reports is None else self._reports.last

    @property
    def loss_scale(self) -> float | None:
        """What the loss of the next step must be multiplied by; None without `loss_scale`."""
        return None if self._scaler is None else self._scaler.scale

    @property
    def skipped(self) -> int:
        """How many steps `loss_scale` has skipped."""
        return 0 if self._scaler is None else self._scaler.skipped

    @property
    def _scaler(self):
        return self._stepping if isinstance(self._stepping, LossScale) else None

    @property
    def accumulate(self):
        """How many micro-batches make a step."""
        return 1 if self._window is None else self._window.count

    # -- exact rows: mxopt.optimizer.exact -----------------------------------------------------------

    def _step_exactly(self, indices, grads, weights, joined=None):
        """Step weights so that no row is touched before it has been caught up."""
        optimizer = self.optimizer
        checks.exact_rows(optimizer)  # what it depends on may have been set since
        if not len(indices) == len(grads) == len(weights):
            raise _lengths(indices, grads, weights)
        indices = [checks.key(i) for i in indices]
        grads = [own(gradient(g, optimizer, i)) for g, i in zip(grads, indices)]
        late = self._tables.late(optimizer, indices, grads)
        self._has_tables = True
        try:
            self._update_slowly(indices, grads, weights, late, joined)
        finally:
            late.settle()

    def catch_up(self, index: Any, rows: Any = None) -> None:
        """Catch up rows of a weight before they are read; for ``lazy_update="exact"``.

        Parameters
        ----------
        index : int or str
        rows : array, list, set or range of int, optional
            In any order, repeats allowed. Not given: all.
        """
        with self._lock:
            self._tables.catch_up(checks.key(index), rows)

    def flush(self) -> None:
        """Catch up all rows of all weights; for ``lazy_update="exact"``.

        Afterwards weights and states have the bits that standard updates would have given. Saving, loading
        and copying do it themselves.
        """
        with self._lock:
            self._tables.flush()

    def pending(self, index: Any) -> np.ndarray:
        """The rows of a weight that lag behind, in order; for ``lazy_update="exact"``.

        Parameters
        ----------
        index : int or str

        Returns
        -------
        int64 array
        """
        with self._lock:
            return self._tables.pending(checks.key(index))

    def drop_micro_batches(self):
        """Forget the micro-batches of an unfinished step."""
        if self._window is not None:
            self._window.drop()

    def _within_a_step(self, what):
        if self._window:
            self._window.refuse_within(what)

    def _refuse_now(self, what):
        """Raise for what a file could not hold: half a step, or weights that are away."""
        self._within_a_step(what)
        if self._averages is not None:
            self._averages.refuse_moved(self.optimizer, self._averages.kept, what)

    #: Indices whose states come from a file and have not been used yet.
    _loaded: frozenset = frozenset()

    #: The weights of indices stepped once, to compare with at the second step (`_look_again`).
    _young: dict = {}
    #: Whether a warning about a misspelt name has been given.
    _told_of_name = False

    def _look_again(self, indices, grads, weights):
        """At an index's second step: raise if gradient and weight are swapped, warn about wider weights."""
        try:
            second = self._young.keys() & indices
        except TypeError:  # not a key; reported later
            return
        for index, grad, weight in zip(indices, grads, weights) if second else ():
            if index in second:
                first = self._young[index]
                if kernels.same_memory(grad, first) and not kernels.same_memory(weight, first):
                    raise checks.swapped(self.optimizer, index)
        for index, weight in zip(indices, weights) if second else ():
            if self._young.pop(index, None) is not None:
                checks.narrow_states(self.optimizer, index, weight, self.states.get(index))

    def _follow_weights(self, indices, weights):
        """Make loaded states NDArrays if the weights are: scripts use them in the same way."""
        try:
            used = self._loaded.intersection(indices)
        except TypeError:  # not a key; reported later
            return
        followed = []
        for index, weight in zip(indices, weights):
            if index in used:
                checks.narrow_states(self.optimizer, index, weight, self.states[index])
                kind = getattr(weight, "array_type", None)
                who = f"the state of {checks.who(self.optimizer, index)}"
                state = rows.whole(self.states[index], who, np.shape(weight))
                state, write = narrow.follow(self.optimizer, index, state, weight)
                followed.append((index, state if kind is None else _viewed(state, kind), write))
        for index, state, write in followed:
            write()  # first: after an interrupt it is made again, from the state that is still the file's
            self.states[index] = state
        self._loaded -= used

    def sync_state_context(self, state: State, _context: Any) -> State:
        """Returns the state itself, as all memory is the CPU's. For scripts that set states by hand."""
        return state

    def _report(self, indices):
        for callback in self.optimizer.step_callbacks:
            callback(self.optimizer, tuple(indices))

    def _update_slowly(self, indices, grads, weights, lazy=None, joined=None):
        # New indices, bytes keys, custom classes.
        if not len(indices) == len(grads) == len(weights):
            raise _lengths(indices, grads, weights)
        if not indices:
            return
        optimizer = self.optimizer
        indices = [checks.key(i) for i in indices]
        built_in = is_built_in(optimizer)
        if not built_in and getattr(optimizer, "lazy_update", False) == "exact":
            raise checks.not_exact(optimizer, "it steps by methods of its own")
        if any(isinstance(w, RowSparseArray) for w in weights):
            from ..nd import stored_rows

            # a custom class gets the row-sparse weight itself
            weights = [stored_rows(w) if built_in and isinstance(w, RowSparseArray) else w for w in weights]
        weights = [
            w
            if isinstance(w, (np.ndarray, RowSparseArray))
            else as_array(w, f"weight of {checks.who(optimizer, i)}")
            for w, i in zip(weights, indices)
        ]
        if not built_in:
            if getattr(optimizer, "skip_nonfinite", False) and optimizer._skips(all_finite(grads)):
                return
            weights, grads = self._views(indices, weights, grads)
        made = {}
        for index, weight in zip(indices, weights):
            if index not in self.states and index not in made:
                checks.float_weight(optimizer, index, weight)
                if not self._told_of_name and checks.misspelt(optimizer, index, self.states, indices):
                    self._told_of_name = True
                made[index] = optimizer.create_state_multi_precision(index, weight)
        if built_in:
            states = [made[i] if i in made else self.states[i] for i in indices]
            if made:  # stored once the step is made
                synced, young = dict.fromkeys(made, True), vars(self).setdefault("_young", {})
                seen = {i: w for i, w in zip(indices, weights) if i in made}
                added = [(self.states, made), (self.states_synced, synced), (young, seen)]
                states = NewStates(states, added)
            if joined is not None:
                states = joined.step_of(optimizer, tuple(indices), weights, grads, states)
                kernels.step_joined(optimizer, indices, weights, grads, states, lazy)
            elif lazy is not None:
                optimizer._fused(indices, weights, grads, states, lazy)
            else:
                optimizer.update_multi_precision(indices, weights, grads, states)
        else:
            parts, skipped = (), getattr(optimizer, "skipped", 0)
            if joined is not None:
                states = [made[i] if i in made else self.states[i] for i in indices]
                states = joined.step_of(optimizer, tuple(indices), weights, grads, states)
                parts = [part for part in (states.averages, states.report) if part is not None]
            self._step_own_class(indices, weights, grads, made)
            for part in parts if getattr(optimizer, "skipped", 0) == skipped else ():
                part.finish()
        if getattr(optimizer, "step_callbacks", ()):
            self._report(indices)

    def _step_own_class(self, indices, weights, grads, made):
        # New states are stored before the call; what the class changed before an error stays changed.
        from ..nd import view_state

        optimizer, skipped = self.optimizer, getattr(self.optimizer, "skipped", 0)
        try:
            self.states.update(made)
            self.states_synced.update(dict.fromkeys(made, True))
            states = [view_state(self.states[i]) for i in indices]
            self.states.update(zip(indices, states))
            self._update_own_class(indices, weights, grads, states)
        except BaseException:
            self._forget(made)
            raise
        if getattr(optimizer, "skipped", 0) > skipped:
            self._forget(made)
        elif made:
            young = vars(self).setdefault("_young", {})
            young.update((i, w) for i, w in zip(indices, weights) if i in made)

    def _forget(self, indices):
        for index in indices:
            self.states.pop(index, None)
            self.states_synced.pop(index, None)

    def _views(self, indices, weights, grads):
        # A custom class works with MXNet's arrays: NDArrays over the caller's memory.
        from ..nd import view

        for weight, index in zip(weights, indices):
            if not (isinstance(weight, RowSparseArray) or weight.flags.writeable):
                as_array(weight, f"weight of {checks.who(self.optimizer, index)}")
        grads = [
            g if isinstance(g, np.ndarray) else as_gradient(g, f"gradient of {checks.who(self.optimizer, i)}")
            for g, i in zip(grads, indices)
        ]
        for weight, grad, index in zip(weights, grads, indices):
            if grad.shape != weight.shape:
                raise checks.gradient_shape(self.optimizer, index, weight, grad)
        return [view(w) for w in weights], [view(g) for g in grads]

    def _update_own_class(self, indices, weights, grads, states):
        # The call forms of both generations.
        optimizer = self.optimizer
        together = getattr(optimizer, "takes_lists", False)
        aggregates = getattr(optimizer, "aggregates", False)
        if not together or (aggregates and not optimizer.aggregate_num):
            for arguments in zip(indices, weights, grads, states):
                optimizer.update_multi_precision(*arguments)
            return
        size = max(int(min(optimizer.aggregate_num, len(indices))), 1) if optimizer.aggregate_num else 1
        groups = {}
        for position, weight in enumerate(weights):
            groups.setdefault(weight.dtype if size > 1 else position, []).append(position)
        for positions in groups.values():
            for start in range(0, len(positions), size):
                some = positions[start : start + size]
                columns = ([column[p] for p in some] for column in (indices, weights, grads, states))
                if aggregates:
                    *columns, part = columns
                    columns = (*map(tuple, columns), part)
                optimizer.update_multi_precision(*columns)

    def __repr__(self):
        return reprs.updater_text(self)

    def _repr_html_(self):
        return reprs.updater_html(self)

    # -- saving and loading: mxopt.saving ----------------------------------------------------

    def get_states(self, dump_optimizer: bool = False, **options: Any) -> bytes:
        """The states as bytes; see `mxopt.saving.writing.get_states`.

        Parameters
        ----------
        dump_optimizer : bool, default False
            Save the optimizer as well: hyper-parameters, multipliers, scheduler.
        """
        from ..saving import writing

        with self._lock:
            self._refuse_now("states cannot be saved")
            self.flush()
            return writing.get_states(self, dump_optimizer, **options)

    def set_states(self, states: bytes, **options: Any) -> LoadReport:
        """Take states from bytes; see `mxopt.saving.loading.set_states`."""
        from ..saving import loading

        with self._lock:
            self._refuse_now("states cannot be loaded")
            self.flush()
            return self._taken(loading.set_states(self, states, **options))

    def save_states(
        self, path: str | os.PathLike[str], dump_optimizer: bool = False, **options: Any
    ) -> Saving | None:
        """Write the states to a file, crash-safely; see `mxopt.saving.writing.save_states`.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        dump_optimizer : bool, default False
            Save the optimizer as well: hyper-parameters, multipliers, scheduler.
        """
        from ..saving import writing

        if self._saving is not None and not options.get("background"):
            self._saving.settle()  # files are written in call order
        with self._lock:
            self._refuse_now("states cannot be saved")
            self.flush()
            return writing.save_states(self, path, dump_optimizer, **options)

    def load_states(self, path: str | os.PathLike[str], **options: Any) -> LoadReport:
        """Take states from a file; see `mxopt.saving.loading.load_states`.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        """
        from ..saving import loading

        if self._saving is not None:
            self._saving.settle()
        with self._lock:
            self._refuse_now("states cannot be loaded")
            self.flush()
            return self._taken(loading.load_states(self, path, **options))

    def _taken(self, report):
        self._young, self._tables = {}, Tables()
        self._loaded = frozenset(self.states)
        return report

    # -- copies --------------------------------------------------------------------------------------

    def __copy__(self):
        with self._lock:
            self.flush()
            return self._with(vars(self))

    def __deepcopy__(self, memo):
        with self._lock:
            self.flush()
            return self._with({name: copy.deepcopy(vars(self)[name], memo) for name in self._copied()})

    def __getstate__(self):
        # The pickle is written after this returns, so copy: arrays and counts must be of the same moment.
        from ..saving import loading

        with self._lock:
            self.flush()
            state = {name: vars(self)[name] for name in self._copied()}
            memo = {id(self.optimizer): self.optimizer}
            for name in ("states", "_undecided", "_window", "_stepping", "_averages", "_reports"):
                if name in state:
                    state[name] = copy.deepcopy(state[name], memo)
            state["_counts"] = loading.counts_of(self.optimizer)
            return state

    def __setstate__(self, state):
        from ..saving import loading

        counts = state.pop("_counts", None)
        vars(self).update(state)
        self._lock, self._tables = threading.RLock(), Tables()
        loading.give_counts(self.optimizer, counts)

    def _copied(self):
        return [name for name in vars(self) if name not in ("_lock", "_saving", "_tables")]

    def _with(self, attributes):
        new = type(self).__new__(type(self))
        vars(new).update({name: value for name, value in attributes.items() if name != "_saving"})
        new._lock, new._tables = threading.RLock(), Tables()
        return new


def _lengths(*columns):
    return ValueError(
        "index, grad and weight must be lists of the same length, got {}, {} and {}".format(
            *map(len, columns)
        )
    )


def _is_double(weight):
    known = weight if isinstance(weight, (np.ndarray, RowSparseArray)) else np.asarray(weight)
    return known.dtype == np.float64


def _viewed(state, kind):
    if isinstance(state, np.ndarray):
        return state.view(kind)
    return tuple(_viewed(part, kind) for part in state) if type(state) is tuple else state


get_updater = V2.get_updater
