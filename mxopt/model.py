"""``mx.model``: how modules, and code modelled on them, set up a store, update parameters and name files."""

from __future__ import annotations

import collections

from . import namespace
from .dialects import V2
from .kvstore import for_devices
from .nd import load, save

__all__ = ["BatchEndParam", "load_checkpoint", "load_params", "save_checkpoint"]

#: what callbacks receive at the end of a batch
BatchEndParam = collections.namedtuple("BatchEndParam", ["epoch", "nbatch", "eval_metric", "locals"])

_create_kvstore = for_devices


def _create_sparse_kvstore(kvstore):
    """The store for row-sparse weights, which always updates them."""
    return for_devices(kvstore, 2, {})[0], True


def _initialize_kvstore(kvstore, param_arrays, arg_params, param_names, update_on_kvstore):
    """Put the weights in the store under their names; copy them to all devices if the store updates them."""
    for name, arrays in zip(param_names, param_arrays):
        if update_on_kvstore:
            kvstore.broadcast(name, arg_params[name], out=arrays)
        else:
            kvstore.init(name, arg_params[name])


def _update_params_on_kvstore(param_arrays, grad_arrays, kvstore, param_names):
    """Push gradients, pull weights; parameters without a gradient are left alone."""
    for i, (name, weights, grads) in enumerate(zip(param_names, param_arrays, grad_arrays)):
        if grads[0] is not None:
            kvstore.pushpull(name, grads, out=weights, priority=-i)


def _update_params(param_arrays, grad_arrays, updater, num_device, kvstore=None, param_names=None):
    """Update every device's weights; index = position * number of devices + device, as in MXNet."""
    calls = [([], [], []) for _ in range(num_device)]
    for i, (weights, grads) in enumerate(zip(param_arrays, grad_arrays)):
        if grads[0] is None:
            continue
        if kvstore:
            kvstore.pushpull(param_names[i], grads, priority=-i)
        for device, (weight, grad) in enumerate(zip(weights, grads)):
            for column, value in zip(calls[device], (i * num_device + device, grad, weight)):
                column.append(value)
    for columns in calls:
        if columns[0]:
            updater(*columns)


def save_checkpoint(prefix, epoch, symbol, arg_params, aux_params, format=V2.format, **_options):
    """Write ``prefix-0001.params``; a symbol that can save itself goes to ``prefix-symbol.json``.

    Parameters
    ----------
    prefix : str
        What the names of the files begin with.
    epoch : int
        The number in the names of the files.
    symbol : object, optional
        The network; written if it can save itself.
    arg_params : dict of str to array
        The parameters by name.
    aux_params : dict of str to array
        The auxiliary states by name.
    format : {'mxnet-1.x', 'mxnet-2.x'}
        Which MXNet the file is for.
    """
    if symbol is not None:
        symbol.save(f"{prefix}-symbol.json")
    arrays = {f"arg:{name}": array for name, array in arg_params.items()}
    arrays.update({f"aux:{name}": array for name, array in aux_params.items()})
    save(params_file(prefix, epoch), arrays, format)


def load_params(prefix, epoch):
    """The (arg_params, aux_params) of a checkpoint.

    Parameters
    ----------
    prefix : str
        What the names of the files begin with.
    epoch : int
        The number in the names of the files.
    """
    parts = {"arg": {}, "aux": {}}
    for name, array in load(params_file(prefix, epoch)).items():
        kind, _, rest = name.partition(":")
        if kind in parts:
            parts[kind][rest] = array
    return parts["arg"], parts["aux"]


def load_checkpoint(prefix, epoch):
    """The (symbol, arg_params, aux_params) of a checkpoint; the symbol is None, since mxopt has none.

    Parameters
    ----------
    prefix : str
        What the names of the files begin with.
    epoch : int
        The number in the names of the files.
    """
    return (None, *load_params(prefix, epoch))


def params_file(prefix, epoch):
    """``prefix-0001.params``"""
    return f"{prefix}-{epoch:04d}.params"


def states_file(prefix, epoch):
    """``prefix-0001.states``"""
    return f"{prefix}-{epoch:04d}.states"


namespace.complete(__name__)
