"""``mx.kv`` of the 1.x dialect."""

import functools

from .. import kvstore, namespace
from ..dialects import V1
from ..kvstore import KVStoreBase, TestStore

__all__ = ["KVStore", "KVStoreBase", "TestStore", "create"]


class KVStore(kvstore.KVStore):
    __doc__ = kvstore.KVStore.__doc__

    dialect = V1


create = functools.partial(kvstore.create, store=KVStore)
for_devices = functools.partial(kvstore.for_devices, store=KVStore)


__path__: list = []  # MXNet has modules below it
namespace.complete(__name__)
