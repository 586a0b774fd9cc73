"""``mx.mod`` without symbols: the part of Module that handles parameters, their optimizer and their files."""

from __future__ import annotations

import logging
import warnings

import numpy as np

from . import model, namespace
from .arrays import as_array, settle
from .dialects import V2
from .kvstore import KVStore, for_devices
from .nd import view
from .sparse import RowSparseArray, as_gradient

__all__ = ["ParameterModule"]


class ParameterModule:
    """The optimizer's half of ``mx.mod.Module``, over arrays by name.

    Parameters
    ----------
    arg_params : dict of str to array, or to list of arrays
        The weights, updated in place; a list holds one copy per device. The order gives the indices.
    grad_params : dict of str to gradient (or list of them), optional
        Gradient arrays, which the caller fills before each `update`. Without them, pass the gradients to
        `update`.
    batch_size : int
        Gradients are divided by it, unless ``optimizer_params`` says otherwise.
    fixed_param_names : list of str, optional
        Parameters that are never updated.
    aux_params : dict of str to array, optional
        Arrays that are only saved and loaded.
    symbol : object, optional
        Supplies multipliers through ``attr_dict()`` and ``list_arguments()``; saved by its own ``save``.
    logger : logging.Logger, optional
        Where warnings go.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> weight = np.zeros(2, np.float32)
    >>> module = mx.mod.ParameterModule({"fc_weight": weight}, batch_size=4)
    >>> module.init_optimizer(optimizer="sgd", optimizer_params={"learning_rate": 1.0})
    >>> module.update({"fc_weight": np.ones(2, np.float32)})
    >>> weight
    array([-0.25, -0.25], dtype=float32)
    """

    dialect = V2
    _store = KVStore

    def __init__(self, arg_params, grad_params=None, batch_size=1, fixed_param_names=None, aux_params=None,
                 symbol=None, logger=logging):  # fmt: skip
        if not arg_params:
            raise ValueError("arg_params must name at least one weight")
        fixed = set(fixed_param_names or ())
        unknown = sorted(fixed - set(arg_params))
        if unknown:
            raise ValueError(f"fixed_param_names has {unknown[0]!r}, but no parameter has that name")
        self._param_names = [name for name in arg_params if name not in fixed]
        self._fixed = {name: arg_params[name] for name in arg_params if name in fixed}
        self._arrays = {
            name: [_named(x, name) for x in _listed(arg_params[name])] for name in self._param_names
        }
        self._sources = [x for name in self._param_names for x in _listed(arg_params[name])]
        copies = {len(arrays) for arrays in self._arrays.values()}
        if len(copies) > 1:
            raise ValueError(
                f"all weights must have as many copies as there are devices, got {sorted(copies)}"
            )
        self._num_device = copies.pop() if copies else 1
        self._grads = dict(grad_params or {})
        self._aux_params = dict(aux_params or {})
        self.batch_size = batch_size
        self.symbol = symbol
        self.logger = logger
        self.optimizer_initialized = False
        self._optimizer = self._kvstore = self._updater = self._update_on_kvstore = None
        self._preload_opt_states = None

    # -- the optimizer -------------------------------------------------------------------------------

    def init_optimizer(self, kvstore="local", optimizer="sgd", optimizer_params=(("learning_rate", 0.01),),
                       force_init=False, param_idx2name=None):  # fmt: skip
        """Create the optimizer with the parameters' names and ``rescale_grad = 1 / batch_size``.

        Parameters
        ----------
        kvstore : str, KVStore or None
        optimizer : str or Optimizer
        optimizer_params : dict or tuple of pairs
            Arguments of the optimizer when it is given by name.
        param_idx2name : dict of int to str, optional
            Names of the indices; by default the weights' names, as Module gives them.
        force_init : bool
            Replace an optimizer that is already there; otherwise it stays, with a warning in the log.
        """
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring...")
            return
        weights = {name: arrays[0] for name, arrays in self._arrays.items()}
        store, on_store = for_devices(kvstore, self._num_device, weights, self._store)
        rescale_grad = 1.0 / self.batch_size
        devices = 1 if on_store else self._num_device
        names = param_idx2name or {
            i * devices + k: name for k in range(devices) for i, name in enumerate(self._param_names)
        }
        if isinstance(optimizer, str):
            arguments = {"rescale_grad": rescale_grad, **dict(optimizer_params)}
            optimizer = self.dialect.registry.create(
                optimizer, sym=self.symbol, param_idx2name=names, **arguments
            )
        else:
            if optimizer.rescale_grad != rescale_grad:
                warnings.warn(
                    f"the optimizer's rescale_grad is {optimizer.rescale_grad} and 1/batch_size is "
                    f"{rescale_grad}; gradients will not be averaged over the batch",
                    UserWarning,
                    stacklevel=2,
                )
            if not optimizer.idx2name:
                optimizer.idx2name = names
        self._optimizer, self._kvstore, self._update_on_kvstore = optimizer, store, on_store
        self._updater = None
        if store is not None:
            if on_store:
                store.set_optimizer(optimizer)
            model._initialize_kvstore(
                store, list(self._arrays.values()), weights, self._param_names, on_store
            )
        if not on_store:
            self._updater = self.dialect.get_updater(optimizer)
        self.optimizer_initialized = True
        if self._preload_opt_states is not None:
            self.load_optimizer_states(self._preload_opt_states)
            self._preload_opt_states = None

    def borrow_optimizer(self, shared_module):
        """Use another module's optimizer, store and updater.

        Parameters
        ----------
        shared_module : ParameterModule
            The module whose updater is used.
        """
        shared_module._needs_optimizer("borrow_optimizer")
        for name in ("_optimizer", "_kvstore", "_update_on_kvstore", "_updater"):
            setattr(self, name, getattr(shared_module, name))
        self.optimizer_initialized = True

    def _needs_optimizer(self, what):
        if not self.optimizer_initialized:
            raise RuntimeError(f"{what} needs an optimizer; call init_optimizer first")

    def update(self, grads=None):
        """Update the weights from their gradients.

        Parameters
        ----------
        grads : dict of str to gradient (or list of them, one per device), optional
            By default the arrays of ``grad_params``. A parameter without a gradient is an error; one whose
            gradient is None is left alone, like a frozen one in MXNet.
        """
        self._needs_optimizer("update")
        given = self._grads if grads is None else grads
        for name in self._param_names:
            if name not in given:
                raise ValueError(f"parameter {name!r} has no gradient; hand it to update(), pass None to "
                                 "leave the "
                                 "parameter alone, or name it in fixed_param_names")  # fmt: skip
        for name in given:
            if name not in self._arrays and name not in self._fixed:
                raise ValueError(f"there is a gradient for {name!r}, but no parameter has that name")
        for source in self._sources:
            settle(source)
        rows = [_gradients(given[name], name) for name in self._param_names]
        weights = list(self._arrays.values())
        if self._update_on_kvstore:
            model._update_params_on_kvstore(weights, rows, self._kvstore, self._param_names)
        else:
            model._update_params(
                weights, rows, self._updater, self._num_device, self._kvstore, self._param_names
            )

    # -- parameters and files ------------------------------------------------------------------------

    def get_params(self):
        """Copies of (arg_params, aux_params)."""
        weights = {name: np.array(arrays[0]) for name, arrays in self._arrays.items()}
        weights.update({name: np.array(_listed(value)[0]) for name, value in self._fixed.items()})
        return ({name: view(array) for name, array in weights.items()},
                {name: view(np.array(array)) for name, array in self._aux_params.items()})  # fmt: skip

    def set_params(self, arg_params, aux_params=None, allow_missing=False, allow_extra=False, **_options):
        """Copy values into the weights.

        Parameters
        ----------
        arg_params : dict of str to array
            The parameters by name.
        aux_params : dict of str to array, optional
            Auxiliary states of the network, by name; mxopt updates none.
        allow_missing : bool, default False
            Leave parameters that are not given as they are.
        allow_extra : bool, default False
            Ignore names that are not parameters.
        """
        targets = {
            **self._arrays,
            **{name: [as_array(x, name) for x in _listed(v)] for name, v in self._fixed.items()},
        }
        missing, extra = sorted(set(targets) - set(arg_params)), sorted(set(arg_params) - set(targets))
        if missing and not allow_missing:
            raise ValueError(f"arg_params lacks {missing[0]!r}; pass allow_missing=True to keep its values")
        if extra and not allow_extra:
            raise ValueError(f"arg_params has {extra[0]!r}, but no parameter has that name; pass "
                             "allow_extra=True "
                             "to ignore it")  # fmt: skip
        for name, arrays in targets.items():
            for array in arrays if name in arg_params else ():
                value = arg_params[name]
                value = np.asarray(value.todense() if isinstance(value, RowSparseArray) else value)
                if value.shape != array.shape:
                    raise ValueError(
                        f"parameter {name!r} has shape {array.shape}, got values of shape {value.shape}"
                    )
                array[...] = value
        for name, value in (aux_params or {}).items():
            if name in self._aux_params:
                as_array(self._aux_params[name], name)[...] = value

    def save_optimizer_states(self, fname, **options):
        """Write the updater's states to a file; options as in `mxopt.Updater.save_states`.

        Parameters
        ----------
        fname : str or os.PathLike
            The file.
        """
        self._needs_optimizer("save_optimizer_states")
        if self._update_on_kvstore:
            self._kvstore.save_optimizer_states(fname, **options)
        else:
            self._updater.save_states(fname, **options)

    def load_optimizer_states(self, fname, **options):
        """Load the updater's states from a file; options and report as in `mxopt.Updater.load_states`.

        Parameters
        ----------
        fname : str or os.PathLike
            The file.
        """
        self._needs_optimizer("load_optimizer_states")
        if self._update_on_kvstore:
            return self._kvstore.load_optimizer_states(fname, **options)
        return self._updater.load_states(fname, **options)

    def save_checkpoint(self, prefix, epoch, save_optimizer_states=False, **_options):
        """Write ``prefix-0001.params``, and ``prefix-0001.states`` if asked.

        Parameters
        ----------
        prefix : str
            What the names of the files begin with.
        epoch : int
            The number in the names of the files.
        save_optimizer_states : bool, default False
            Save the updater's states beside the parameters.
        """
        arg_params, aux_params = self.get_params()
        model.save_checkpoint(prefix, epoch, self.symbol, arg_params, aux_params, self.dialect.format)
        if save_optimizer_states:
            self.save_optimizer_states(model.states_file(prefix, epoch))

    def load_checkpoint(self, prefix, epoch, load_optimizer_states=False):
        """Copy a checkpoint into the weights; states are loaded now, or as soon as there is an optimizer.

        Parameters
        ----------
        prefix : str
            What the names of the files begin with.
        epoch : int
            The number in the names of the files.
        load_optimizer_states : bool, default False
            Load the updater's states at `init_optimizer`.
        """
        self.set_params(*model.load_params(prefix, epoch))
        if load_optimizer_states:
            if self.optimizer_initialized:
                self.load_optimizer_states(model.states_file(prefix, epoch))
            else:
                self._preload_opt_states = model.states_file(prefix, epoch)


def _listed(x):
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _named(x, name):
    return as_array(x, f"parameter {name!r}")


def _gradients(grads, name):
    return [g if g is None else as_gradient(g, f"gradient of parameter {name!r}") for g in _listed(grads)]


__path__: list = []  # MXNet has modules below it
namespace.complete(__name__)
