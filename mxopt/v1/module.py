"""``mx.mod`` of the 1.x dialect."""

from .. import module, namespace
from ..dialects import V1
from .kvstore import KVStore

__all__ = ["ParameterModule"]


class ParameterModule(module.ParameterModule):
    __doc__ = module.ParameterModule.__doc__

    dialect = V1
    _store = KVStore


__path__: list = []  # MXNet has modules below it
namespace.complete(__name__)
