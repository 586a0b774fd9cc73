"""``mx.mod`` of the 1.x dialect."""

from .. import module
from ..dialects import V1
from ..namespace import stand_in
from .kvstore import KVStore

__all__ = ["ParameterModule"]


class ParameterModule(module.ParameterModule):
    __doc__ = module.ParameterModule.__doc__

    dialect = V1
    _store = KVStore


stand_in(__name__, "mxopt.v1.mod", V1.package)
