"""``mx.kv`` of the 1.x dialect."""

import functools

from .. import kvstore
from ..kvstore import KVStoreBase
from . import optimizer

__all__ = ["KVStore", "KVStoreBase", "create"]


class KVStore(kvstore.KVStore):
    __doc__ = kvstore.KVStore.__doc__

    _optimizers = optimizer


create = functools.partial(kvstore.create, store=KVStore)
for_devices = functools.partial(kvstore.for_devices, create=create)
