"""The registry of the 1.x dialect."""

from ...registry import Registry

_registry = Registry()
opt_registry = _registry.classes
register = _registry.register
create = _registry.create
