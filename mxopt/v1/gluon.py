"""``mx.gluon`` of the 1.x dialect."""

from .. import namespace
from ..dialects import V1
from ..gluon import Constant, Parameter, ParameterDict, trainer, utils
from .kvstore import KVStore

__all__ = ["Constant", "Parameter", "ParameterDict", "Trainer", "utils"]


class Trainer(trainer.Trainer):
    __doc__ = trainer.Trainer.__doc__

    dialect = V1
    _store = KVStore


__path__: list = []  # MXNet has modules below it
__getattr__ = namespace.missing_from(__name__, namespace.REST)
