"""``mx.kv``: stores of weights by key, made by name, in this process or over the ranks of a job."""

from __future__ import annotations

import numpy as np

from . import checks, namespace
from .stores import DEVICE, LOCAL, KVStore, KVStoreBase, TestStore

__all__ = ["KVStore", "KVStoreBase", "TestStore", "create"]

#: Stores that MXNet has and mxopt lacks: why, and what to do instead.
_REFUSED = {
    "_async": "gradients are always summed over all workers before an update, so that runs repeat; use "
    "'dist_sync'",
    "p3": "it orders messages to servers, and there are none; use 'dist_sync'",
    "byteps": "it is a system of servers of its own; use 'dist_sync', or 'horovod' for sums without an "
    "update",
}


def create(name: str = "local", store: type[KVStore] = KVStore) -> KVStore:
    """Make a store.

    Parameters
    ----------
    name : {'local', 'device', 'dist_sync', 'dist_device_sync', 'horovod'}
        Or the name of a class registered with `KVStoreBase.register`. Every name with ``dist`` in it sums
        over the ranks of the job; in a process that was not started as one of several, the store has a
        single worker.
    """
    if not isinstance(name, str):
        raise TypeError(f"the kind of a store must be a string, got {type(name).__name__}")
    kind = name.lower()
    if kind in KVStoreBase.kv_registry:
        return KVStoreBase.kv_registry[kind]()
    if kind in LOCAL + DEVICE:
        return store(kind)
    for part, why in _REFUSED.items():
        if part == kind or (part in kind and "dist" in kind):
            raise NotImplementedError(f"mxopt has no store {name!r}: {why}")
    if "dist" in kind or kind == "horovod":
        from .distributed import stores

        return stores.make(kind, store.dialect)
    known = ("local", "device", "dist_sync", "dist_device_sync", "horovod", *KVStoreBase.kv_registry)
    raise ValueError(
        f"unknown kind of store {name!r}{checks.nearest(kind, known)}; use one of {', '.join(known)}"
    )


def for_devices(kvstore, num_device, arg_params, store=KVStore):
    """The store that a trainer or module needs, and whether it updates the weights.

    A single device needs none, unless the store spans several processes. A 'local' store leaves the update
    to the workers when a weight is very large.

    Returns
    -------
    tuple
        (KVStore or None, bool)
    """
    if isinstance(kvstore, str):
        one = kvstore.lower() in LOCAL + DEVICE
        if num_device == 1 and one:
            return None, False
        large = kvstore == "local" and any(np.size(x) > 1 << 24 for x in arg_params.values())
        kvstore = create(kvstore, store)
        return kvstore, not large and _updates(kvstore)
    if kvstore is not None and not hasattr(kvstore, "pushpull"):
        raise TypeError(f"kvstore must be a KVStore, a string or None, got {type(kvstore).__name__}")
    return kvstore, kvstore is not None and _updates(kvstore)


def _updates(store):
    return not hasattr(store, "is_capable") or bool(store.is_capable(KVStoreBase.OPTIMIZER))


__path__: list = []  # MXNet has modules below it
namespace.complete(__name__)
