"""The trainer: an optimizer applied to parameters, as gluon scripts use it."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import checks, kernels, reprs
from ..arrays import mark_written, settle
from ..dialects import V2, is_built_in
from ..kvstore import KVStore, KVStoreBase, for_devices
from ..optimizer import Updater, multipliers
from ..sparse import RowSparseArray
from . import stale_gradients
from .parameter import Parameter

if TYPE_CHECKING:
    from ..optimizer.optimizer import Optimizer
    from ..optimizer.reports import Norms


class Trainer:
    """Applies an optimizer to a set of parameters.

    Parameters
    ----------
    params : dict or list of Parameter, dict of name to array, pairs of them, or torch module
        Indices are positions, in a list as given and in a dict by sorted keys, as in MXNet. Plain arrays
        become parameters; their gradients are passed to ``step(..., grads=...)``, or are the ``.grad`` of
        torch tensors. Pairs are (name, array), as from ``named_parameters()`` of a torch module; an array
        that is named twice is one parameter, and one that torch does not train is left alone.
    optimizer : str or Optimizer
    optimizer_params : dict, optional
        Arguments of the optimizer when it is given by name.
    kvstore : str, KVStore or None
        Matters only for parameters with several copies, over which the gradients are summed.
    update_on_kvstore : bool, optional
        Whether the store holds and updates the weights; only with several copies or processes.
    compression_params : dict, optional
        As in `KVStore.set_gradient_compression`.
    sharded : bool, default False
        Spread the states over the ranks of the job (`mxopt.get_updater` with ``comm=``): gradients are
        summed over the ranks, and each rank keeps and steps its part. All start with rank 0's weights.
    accumulate : int, optional
        How many micro-batches make a step; call `step` once for each, and the weights change at the last.
        With several ranks, each rank calls it for its share of them.
    loss_scale : float or 'dynamic', optional
        What losses are multiplied by before their gradients are computed, as for `mxopt.get_updater`; read
        the factor for the next loss from ``trainer.loss_scale``.
    clip_global_norm : float, optional
        Upper limit of the joint norm of a step's gradients, as for `mxopt.get_updater`.
    ema : float, optional
        The decay of running averages of the parameters, as for `mxopt.get_updater`; evaluate them within
        ``with trainer.average_parameters():``.
    report : bool or int, default False
        Measure every step, or every n-th, for ``trainer.report``, as for `mxopt.get_updater`.
    comm : mpi4py.MPI.Comm, optional
        The ranks, if not all of the job's.
    transport : {'windows', 'messages'}, optional
        As for `mxopt.get_updater`.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> weight = np.zeros(2, np.float32)
    >>> trainer = mx.gluon.Trainer({"w": weight}, "sgd", {"learning_rate": 0.5})
    >>> trainer.step(batch_size=1, grads={"w": np.ones(2, np.float32)})
    >>> weight
    array([-0.5, -0.5], dtype=float32)
    """

    dialect = V2
    _store = KVStore

    def __init__(
        self,
        params: Any,
        optimizer: str | Optimizer,
        optimizer_params: dict[str, Any] | None = None,
        kvstore: Any = "device",
        compression_params: dict[str, Any] | None = None,
        update_on_kvstore: bool | None = None,
        sharded: bool = False,
        accumulate: int | None = None,
        comm: Any = None,
        transport: str | None = None,
        loss_scale: float | str | None = None,
        clip_global_norm: float | None = None,
        ema: float | None = None,
        report: bool | int = False,
    ) -> None:
        self._params = _parameters(params)
        self._spread = {
            "comm": self._ranks_for(sharded, comm, kvstore),
            "accumulate": accumulate,
            "loss_scale": loss_scale,
            "clip_global_norm": clip_global_norm,
            "ema": ema,
            "report": report or None,
        }
        if transport is not None:
            self._spread["transport"] = transport
        for parameter in self._params:
            parameter._set_trainer(self)
        self._param2idx = {parameter.name: i for i, parameter in enumerate(self._params)}
        self._contexts = self._check_contexts()
        self._init_optimizer(optimizer, optimizer_params or {})
        self._scale = float(self._optimizer.rescale_grad)
        self._kvstore_params = {"kvstore": kvstore, "update_on_kvstore": update_on_kvstore}
        self._compression_params = compression_params
        self._reset_kvstore()
        self._of_torch = [parameter for parameter in self._params if parameter.tensors()]
        self._version = None  # of what `_trained` keeps
        self._gathered = None
        self._looked = None
        self._told: set[Any] = set()

    #: Set by ``amp.init_trainer``.
    _amp_loss_scaler: Any = None

    def _ranks_for(self, sharded, comm, kvstore):
        """The ranks over which the states are spread; None: this process has them all."""
        if not sharded and comm is None:
            return None
        if len(self._params[0].list_ctx()) > 1:
            raise ValueError("sharded=True needs one device a process; start a process for each")
        name = kvstore if isinstance(kvstore, str) else getattr(kvstore, "type", "")
        if "dist" in name or name == "horovod":
            raise ValueError(
                f"sharded=True sums the gradients over the ranks itself; leave kvstore={name!r} out"
            )
        from ..distributed import world

        return world.world() if comm is None else world.ranks_of(comm)

    def _check_contexts(self):
        contexts = self._params[0].list_ctx()
        for parameter in self._params[1:]:
            if len(parameter.list_ctx()) != len(contexts):
                raise ValueError(
                    f"parameter {parameter.name!r} must have as many copies as "
                    f"{self._params[0].name!r}, "
                    f"{len(contexts)}, got {len(parameter.list_ctx())}"
                )
        return contexts

    def _init_optimizer(self, optimizer, optimizer_params):
        if isinstance(optimizer, str):
            self._optimizer = self.dialect.registry.create(
                optimizer, param_dict=dict(enumerate(self._params)), **dict(optimizer_params)
            )
        elif optimizer_params:
            raise ValueError(
                "optimizer_params must be left out when optimizer is an instance, which has its own; got "
                f"{optimizer_params!r}"
            )
        else:
            checks.optimizer(optimizer)
            self._optimizer = optimizer
            self._optimizer.param_dict = dict(enumerate(self._params))
        self._updaters = [self.dialect.get_updater(self._optimizer, **self._spread) for _ in self._contexts]
        for updater in self._updaters[1:]:  # they share the optimizer's counts
            updater._lock = self._updaters[0]._lock

    def _reset_kvstore(self):
        self._kv_initialized = False
        self._kvstore = None
        self._distributed = False
        self._update_on_kvstore = None

    def _init_kvstore(self):
        asked = self._kvstore_params["update_on_kvstore"]
        weights = {parameter.name: parameter.data() for parameter in self._params}
        self._kvstore, self._update_on_kvstore = for_devices(
            self._kvstore_params["kvstore"], len(self._contexts), weights, self._store
        )
        if self._kvstore is not None:
            if asked is not None:
                if asked and not self._kvstore.is_capable(KVStoreBase.OPTIMIZER):
                    raise ValueError(
                        f"the store {self._kvstore.type!r} applies no optimizer; leave out "
                        "update_on_kvstore=True"
                    )
                self._update_on_kvstore = bool(asked)
            if self._compression_params:
                self._kvstore.set_gradient_compression(self._compression_params)
            if self._update_on_kvstore:
                self._refuse_in_a_store()
                self._kvstore.set_optimizer(self._optimizer)
            for i, parameter in enumerate(self._params):
                self._kvstore.broadcast(i, parameter.data(), parameter.list_data())
        self._share_weights()
        self._kv_initialized = True

    def _refuse_in_a_store(self):
        # The store has an updater of its own, which would leave these out in silence.
        for name, value in self._spread.items():
            if value is not None:
                self._not_on_kvstore(f"{name}={value!r}")

    def _share_weights(self):
        """Copy rank 0's weights to all ranks, if the states are spread over ranks."""
        ranks = self._spread["comm"]
        if ranks is None or ranks.size == 1:
            return
        weights = [np.asarray(parameter.data()) for parameter in self._params]
        built = {p.name: f"{w.dtype} {w.shape}" for p, w in zip(self._params, weights)}
        ranks.agree("the first step of a Trainer", built)
        for weight, first in zip(weights, ranks.broadcast(weights)):
            weight[...] = first

    #: Parameters that wait for their shape: there are none.
    _params_to_init = ()

    def _init_params(self):
        """Nothing to do; here for scripts that carry a copy of MXNet's `save_states`."""

    def _weight_was_set(self, parameter):
        # The store has a copy of the weight, and the next pull would bring the old values back. MXNet makes a
        # new store, and with it go the states of all parameters; update counts stay.
        if not self._update_on_kvstore:
            return
        if "dist" in self._kvstore.type:  # which MXNet refuses
            self._kvstore._stored[self._param2idx[parameter.name]].set(parameter.data())
        else:
            self._reset_kvstore()

    def _catch_up(self, parameter, rows):
        index = self._param2idx.get(parameter.name)
        for updater in self._updaters if index is not None else ():
            updater.catch_up(index, rows)

    def _ready(self):
        if not self._kv_initialized:
            self._init_kvstore()

    # -- what scripts read and set -------------------------------------------------------------------

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self._optimizer

    @property
    def update_on_kvstore(self) -> bool | None:
        """Whether the weights are updated by the store."""
        self._ready()
        return bool(self._update_on_kvstore)

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate now."""
        return self._optimizer.learning_rate

    @property
    def loss_scale(self) -> float | None:
        """What the next loss must be multiplied by; None without `loss_scale`."""
        return self._updaters[0].loss_scale

    @property
    def report(self) -> dict[str, Norms]:
        """The norms of gradient, weight and update at the last step that was measured, by parameter."""
        return self._updaters[0].report

    @property
    def amp_loss_scale(self) -> float:
        """As MXNet's: the scale of the scaler that ``amp.init_trainer`` gave this trainer."""
        return self._amp_loss_scaler.loss_scale

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate; refused with a scheduler, which determines it.

        Parameters
        ----------
        lr : float
            The new rate.
        """
        self._optimizer.set_learning_rate(lr)

    def set_lr_mult(self, args_lr_mult: dict[Any, float]) -> Any:
        """Set the ``lr_mult`` of parameters by name or pattern of names.

        Parameters
        ----------
        args_lr_mult : dict of str to float
            ``{"*_bias": 2}``. A name's own entry wins over patterns, the last matching pattern over others.

        Returns
        -------
        dict of str to list of str
            The names that each entry matches. An entry without a match gives a warning.
        """
        return self._set_multipliers("lr_mult", args_lr_mult)

    def set_wd_mult(self, args_wd_mult: dict[Any, float]) -> Any:
        """Set the ``wd_mult`` of parameters; as `set_lr_mult`.

        Parameters
        ----------
        args_wd_mult : dict of (int or str) to float
            By index, name, or pattern of names.
        """
        return self._set_multipliers("wd_mult", args_wd_mult)

    def _set_multipliers(self, which, given):
        values = multipliers.checked(given, which)
        matched = multipliers.matches(values, list(self._param2idx))
        for key, names in matched.items():
            if not names:
                hint = checks.nearest(key, self._param2idx)
                warnings.warn(
                    f"{which} is set for {key!r}, but no parameter has that name{hint}",
                    UserWarning,
                    stacklevel=3,
                )
        touched = {name for names in matched.values() for name in names}
        patterns = multipliers.Patterns(values)
        for parameter in self._params:
            if parameter.name in touched:
                key = parameter.name if parameter.name in values else patterns.of(parameter.name)
                setattr(parameter, which, values[key])
        return matched

    def __repr__(self):
        return reprs.trainer_text(self)

    def _repr_html_(self):
        return reprs.trainer_html(self)

    # -- steps ---------------------------------------------------------------------------------------

    def step(self, batch_size: float, ignore_stale_grad: bool = False, grads: Any = None) -> None:
        """Reduce the gradients over the copies and update the parameters.

        Parameters
        ----------
        batch_size : number
            Gradients are divided by it.
        ignore_stale_grad : bool
            Skip parameters without a new gradient. Otherwise they are an error, or a warning where the
            caller's own array still holds what the last step used.
        grads : dict of name to gradient, or list in the order of the parameters, optional
            The gradients of this step.

        Raises
        ------
        UserWarning
            For a parameter whose gradient is missing or has already been used (raised, as in MXNet). Nothing
            was updated.
        """
        self._ready()
        self._take(grads)
        with self._rescaled(batch_size):
            self._looked = None
            self._gathered = self._gather(ignore_stale_grad)
            self._allreduce_grads()
            if self._reduces_elsewhere:
                self._gathered = None
            self._update(ignore_stale_grad)

    def eval(self) -> None:
        """Move the parameters to the point at which a model is evaluated, as `Updater.eval` does."""
        self._move(True)

    def train(self) -> None:
        """Move the parameters back to the point at which they are trained, before the next step."""
        self._move(False)

    @contextlib.contextmanager
    def average_parameters(self) -> Iterator[None]:
        """A context in which the parameters are where a model is evaluated: `eval`, at its end `train`."""
        self.eval()
        try:
            yield
        finally:
            self.train()

    def _move(self, evaluating):
        if self._spread["ema"] is None and not getattr(self._optimizer, "has_two_points", False):
            return
        self._ready()
        self._not_on_kvstore("eval()" if evaluating else "train()")
        indices = list(range(len(self._params)))
        for device, updater in enumerate(self._updaters):
            weights = [parameter.list_data()[device] for parameter in self._params]
            (updater.eval if evaluating else updater.train)(indices, weights)
        tensors = [tensor for parameter in self._of_torch for tensor in parameter.tensors()]
        if tensors:
            mark_written(tensors)

    def allreduce_grads(self) -> None:
        """Sum the gradients over the copies, for scripts that change them before `update`."""
        self._ready()
        self._not_on_kvstore("allreduce_grads()")
        trained, gradients = self._trained(), self._gradients()
        # before the reduction or the script changes them
        self._looked = {trained[position] for position in self._watch.repeated(gradients)}
        self._allreduce_grads()

    def update(self, batch_size: float, ignore_stale_grad: bool = False, grads: Any = None) -> None:
        """As `step`, for gradients that `allreduce_grads` has reduced.

        Parameters
        ----------
        batch_size : float
            The summed gradients are divided by it.
        ignore_stale_grad : bool, default False
            Skip parameters whose gradient was not computed since the last step, without a warning.
        grads : list or dict of arrays, optional
            The gradients, in place of those that the parameters hold.
        """
        self._ready()
        self._not_on_kvstore("update()")
        self._take(grads)
        with self._rescaled(batch_size):
            self._update(ignore_stale_grad)

    def _not_on_kvstore(self, what):
        if self._kvstore is not None and self._update_on_kvstore:
            raise ValueError(
                f"{what} has no meaning when the store updates the weights; "
                "pass update_on_kvstore=False to Trainer"
            )

    def _rescaled(self, batch_size):
        # It may be an array, and may not be finite: that is how loss scaling tells AdamW to skip an update.
        batch_size = np.asarray(batch_size)
        if batch_size.size != 1 or batch_size.dtype.kind not in "iuf":
            raise TypeError(f"batch_size must be a number, got {batch_size.tolist()!r}")
        batch_size = batch_size.item()
        if batch_size == 0:
            raise ValueError("batch_size must not be 0: gradients are divided by it")
        return _Rescaled(self._optimizer, self._scale / batch_size)

    def _check_and_rescale_grad(self, scale):
        self._optimizer.rescale_grad = scale

    def _take(self, grads):
        if grads is None:
            return
        if isinstance(grads, dict):
            for name in grads.keys() - self._param2idx.keys():
                raise ValueError(
                    f"grads has {name!r}, but no parameter has that name"
                    f"{checks.nearest(name, self._param2idx)}"
                )
            pairs = [(self._params[self._param2idx[name]], grad) for name, grad in grads.items()]
        elif not isinstance(grads, (list, tuple)) or len(grads) != len(self._params):
            got = len(grads) if isinstance(grads, (list, tuple)) else type(grads).__name__
            raise ValueError(
                "grads must be a dict of names to gradients, or hold one gradient for each of the "
                f"{len(self._params)} parameters, got {got}"
            )
        else:
            pairs = [(parameter, grad) for parameter, grad in zip(self._params, grads) if grad is not None]
        checked = [parameter.checked_gradient(grad) for parameter, grad in pairs]
        for (parameter, _), given in zip(pairs, checked):
            parameter.take_over(given)

    # -- gradients: which there are, and which are new -----------------------------------------------

    def _trained(self):
        """The parameters that are not frozen; their indices and weights are kept beside them."""
        for parameter in self._of_torch:
            parameter.follow()
        version = len(self._params), sum([parameter.version for parameter in self._params])
        if version != self._version:
            pairs = [(i, p) for i, p in enumerate(self._params) if p.is_trained()]
            self._trained_params = [p for _, p in pairs]
            self._indices = [i for i, _ in pairs]
            self._weights = [list(column) for column in zip(*[p._held() for _, p in pairs])]
            self._watch = stale_gradients.Watch(self._trained_params)
            self._unsettled = [array for _, p in pairs for array in p.unsettled()]
            self._version = version
        return self._trained_params

    def _gradients(self):
        trained = self._trained()
        for array in self._unsettled:
            settle(array)
        return [parameter.take_gradients() for parameter in trained]

    def _gather(self, ignore_stale_grad):
        """The columns of the updaters' calls; stale gradients are refused, warned about or left out."""
        trained, gradients = self._trained(), self._gradients()
        if self._looked is None:
            repeated = self._watch.repeated(gradients)
        else:
            repeated = [i for i, parameter in enumerate(trained) if parameter in self._looked]
        repeated = [i for i in repeated if trained[i].fresh is None]
        indices, weights = self._indices, self._weights
        if ignore_stale_grad:
            for position in repeated:
                gradients[position] = None
        elif None in gradients:
            stale = [parameter.name for parameter, found in zip(trained, gradients) if found is None]
            raise UserWarning(
                f"no new gradient since the last step for {', '.join(map(repr, stale))}; hand it over "
                "(set_grad, or step(..., grads=...)), freeze the parameter with grad_req='null', or pass "
                "ignore_stale_grad=True to skip it"
            )
        elif repeated:
            self._warn_of_repeated([trained[position].name for position in repeated])
        if None in gradients:
            used = [position for position, found in enumerate(gradients) if found is not None]
            trained, indices, gradients, *weights = (
                [column[position] for position in used] for column in (trained, indices, gradients, *weights)
            )
        if len(weights) == 1:
            columns = [[found[0] for found in gradients]]
        else:
            columns = [list(column) for column in zip(*gradients)]
        return _Gathered(trained, indices, columns, weights)

    def _warn_of_repeated(self, names):
        new = [name for name in names if name not in self._told]
        if new:
            self._told.update(new)
            more = f" and {len(new) - 5} more" if len(new) > 5 else ""
            warnings.warn(
                f"{', '.join(map(repr, new[:5]))}{more}: the gradient is bit for bit that of the last step, "
                "and is used again; write the new one before each step, pass ignore_stale_grad=True to skip "
                "it, or set parameter.fresh = True if it is new",
                UserWarning,
                stacklevel=checks.outside(),
            )

    def _allreduce_grads(self):
        if self._kvstore is None:
            return
        found = [(i, p, p.take_gradients()) for i, p in zip(self._indices, self._trained())]
        found = [one for one in found if one[2] is not None]
        if self._steps_at_once:
            if found:
                keys, parameters, gradients = map(list, zip(*found))
                self._kvstore.pushpull(keys, gradients, out=[p._held() for p in parameters])
            return
        for i, parameter, gradients in found:
            if self._update_on_kvstore:
                self._kvstore.pushpull(i, gradients, out=parameter._held(), priority=-i)
            elif isinstance(gradients[0], RowSparseArray) and getattr(self._kvstore, "keeps_values", False):
                # pushpull leaves them as they are
                self._kvstore.push(i, gradients, priority=-i)
                self._kvstore.pull(i, gradients, priority=-i, ignore_sparse=False)
            else:
                self._kvstore.pushpull(i, gradients, priority=-i)

    @property
    def _steps_at_once(self):
        """Whether the store steps all parameters in one call, all or none, with the bits of single calls.

        Custom classes may count on single ones, and other stores on MXNet's order of calls.
        """
        store = self._kvstore
        return (
            self._update_on_kvstore
            and isinstance(store, KVStore)
            and type(store).pushpull is KVStore.pushpull
            and store.num_workers == 1
            and isinstance(store._updater, Updater)
            and is_built_in(store._updater.optimizer)
        )

    def _update(self, ignore_stale_grad=False):
        gathered, self._gathered = self._gathered or self._gather(ignore_stale_grad), None
        scaler = self._amp_loss_scaler
        if scaler is not None and scaler.has_overflow(self._params):
            self._looked = None
            return
        if not (self._kvstore is not None and self._update_on_kvstore) and gathered.indices:
            sparse = []
            if getattr(self._optimizer, "lazy_on_stored_rows", False):
                sparse = [parameter.stype == "row_sparse" for parameter in gathered.parameters]
            devices = list(zip(self._updaters, gathered.gradients, gathered.weights))
            stepped = []
            try:
                for device, (updater, gradients, weights) in enumerate(devices):
                    if len(devices) > 1:  # every copy counts its own updates
                        self._optimizer._set_current_context(device)
                        stepped.append(_Before(updater, gathered.indices, weights))
                    updater(gathered.indices, gradients, weights, updater.lazy_for(sparse))
            except BaseException:
                for before in reversed(stepped):
                    before.restore()
                raise
        for parameter in gathered.parameters:
            parameter.mark_used()
        if self._of_torch:
            tensors = [tensor for parameter in gathered.parameters for tensor in parameter.tensors()]
            if tensors:
                mark_written(tensors)
        # Where somebody else may have written to the gradients since they were inspected
        changed = self._looked is not None or self._reduces_elsewhere or self._kvstore is not None
        changed = changed or scaler is not None or not is_built_in(self._optimizer)
        self._watch.used(self._gradients() if changed else None)
        self._looked = None

    @property
    def _reduces_elsewhere(self):
        return type(self)._allreduce_grads is not Trainer._allreduce_grads

    def _row_sparse_pull(self, parameter, out, row_id, full_idx=False):
        rows = parameter.row_sparse_data(row_id)
        for target in out if isinstance(out, (list, tuple)) else [out]:
            rows.copyto(target)

    # -- files ---------------------------------------------------------------------------------------

    def save_states(self, fname: str | os.PathLike[str], **options: Any) -> None:
        """Write states, update counts, hyper-parameters and scheduler to a file.

        Parameters
        ----------
        fname : str or os.PathLike
        **options
            As in `mxopt.Updater.save_states`.
        """
        self._ready()
        if self._update_on_kvstore:
            return self._kvstore.save_optimizer_states(fname, dump_optimizer=True, **options)
        return self._updaters[0].save_states(fname, dump_optimizer=True, **options)

    def load_states(self, fname: str | os.PathLike[str], **options: Any) -> Any:
        """Load states and optimizer from a file; multipliers stay those of the trainer's parameters.

        Parameters
        ----------
        fname : str or os.PathLike
        **options
            As in `mxopt.Updater.load_states`, whose report is returned.
        """
        self._ready()
        before = type(self._optimizer)
        if self._update_on_kvstore:
            report = self._kvstore.load_optimizer_states(fname, **options)
            self._optimizer = self._kvstore._updater.optimizer
        else:
            report = self._updaters[0].load_states(fname, **options)
            self._optimizer = self._updaters[0].optimizer
            for updater in self._updaters[1:]:
                updater.load_states(fname, **options)
                updater.optimizer = self._optimizer
            for device, updater in enumerate(self._updaters):
                updater._follow_weights(
                    range(len(self._params)), [parameter.list_data()[device] for parameter in self._params]
                )
        self._optimizer.param_dict = dict(enumerate(self._params))
        if type(self._optimizer) is not before:
            warnings.warn(
                f"{fname} was saved with {type(self._optimizer).__name__}, which now replaces this trainer's "
                f"{before.__name__}",
                UserWarning,
                stacklevel=2,
            )
        return report


class _Gathered(NamedTuple):
    """What a step uses: parameters, indices, and for each device its gradients and weights."""

    parameters: list
    indices: list
    gradients: list
    weights: list


class _Rescaled:
    """Sets rescale_grad for a step, and restores it if the step fails."""

    def __init__(self, optimizer, rescale_grad):
        self.optimizer, self.rescale_grad = optimizer, rescale_grad

    def __enter__(self):
        self.before = self.optimizer.rescale_grad
        self.optimizer.rescale_grad = self.rescale_grad

    def __exit__(self, error, *_):
        if error is not None:
            self.optimizer.rescale_grad = self.before


class _Before:
    """A backup of one copy of the parameters, so that a step that fails at another copy changes none."""

    def __init__(self, updater, indices, weights):
        self.updater, self.optimizer = updater, updater.optimizer
        self.states = {index: updater.states[index] for index in indices if index in updater.states}
        self.new = [index for index in indices if index not in self.states]
        self.scaler = updater._scaler
        self.scale = None if self.scaler is None else dict(vars(self.scaler))
        self.averages = updater._averages and updater._averages.backup(indices)
        arrays = [*weights, *_arrays(list(self.states.values()))]
        self.kept = [(array, array.copy()) for array in arrays]
        self.counts = dict(self.optimizer._index_update_count)
        self.device_counts, self.num_update = self.optimizer._index_update_count, self.optimizer.num_update
        self.tables = updater._tables.backup(indices)
        self.schedule = getattr(self.optimizer.lr_scheduler, "__dict__", None)
        self.scheduled = dict(self.schedule or ())

    def restore(self):
        for array, values in self.kept:
            array[...] = values
        for index in self.new:
            self.updater.states.pop(index, None)
            self.updater.states_synced.pop(index, None)
        self.updater.states.update(self.states)
        if self.scaler is not None:
            vars(self.scaler).update(self.scale)
        if self.averages is not None:
            self.updater._averages.restore(self.averages)
        self.updater._tables.restore(self.tables)
        self.device_counts.clear()
        self.device_counts.update(self.counts)
        self.optimizer.num_update = self.num_update
        if self.schedule is not None:
            self.schedule.clear()
            self.schedule.update(self.scheduled)


def _arrays(state):
    if isinstance(state, (tuple, list)):
        return [array for part in state for array in _arrays(part)]
    if isinstance(state, kernels.Narrow):
        return list(state.arrays)
    if isinstance(state, kernels.Split):
        return [state.low]
    return [state] if isinstance(state, np.ndarray) else []


def _parameters(params):
    if hasattr(params, "named_parameters"):  # a torch module
        params = params.named_parameters()
    if isinstance(params, Iterator):
        params = list(params)
    if isinstance(params, dict):
        params = sorted(params.items(), key=lambda item: item[0])
    if isinstance(params, (list, tuple)) and all(map(_is_pair, params)):
        # A tensor that is named twice is one parameter, under its first name: modules may share weights.
        named = {}
        for name, value in params:
            named.setdefault(id(value), (name, value))
        params = [
            value if isinstance(value, Parameter) else Parameter(str(name), value)
            for name, value in named.values()
        ]
    if not isinstance(params, (list, tuple)) or not params:
        raise ValueError(
            "params must be a dict or list of mx.gluon.Parameter, a dict of names to arrays, or pairs of "
            f"both, and not be empty; got {type(params).__name__}"
        )
    seen = set()
    for parameter in params:
        if not isinstance(parameter, Parameter):
            raise ValueError(
                "a list of params must hold mx.gluon.Parameter objects, "
                f"got {type(parameter).__name__}; plain arrays need names: pass a dict, "
                "and of a torch module its named_parameters()"
            )
        if parameter.name in seen:
            raise ValueError(f"two parameters are named {parameter.name!r}; give each its own name")
        seen.add(parameter.name)
    return list(params)


def _is_pair(item):
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
