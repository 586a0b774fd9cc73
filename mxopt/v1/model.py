"""``mx.model`` of the 1.x dialect: files in the form that 1.x reads, stores with its optimizers."""

import functools

from .. import model, namespace
from ..dialects import V1
from ..model import BatchEndParam, load_checkpoint, load_params, params_file, states_file
from . import kvstore

__all__ = ["BatchEndParam", "load_checkpoint", "load_params", "params_file", "save_checkpoint", "states_file"]

_create_kvstore = kvstore.for_devices


def _create_sparse_kvstore(store):
    return kvstore.for_devices(store, 2, {})[0], True


_initialize_kvstore = model._initialize_kvstore
_update_params = model._update_params
_update_params_on_kvstore = model._update_params_on_kvstore
save_checkpoint = functools.partial(model.save_checkpoint, format=V1.format)


namespace.complete(__name__)
