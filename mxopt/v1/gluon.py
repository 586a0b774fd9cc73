"""``mx.gluon`` of the 1.x dialect."""

import sys

from .. import namespace
from ..dialects import V1
from ..gluon import Constant, Parameter, ParameterDict, trainer, utils
from ..namespace import alias, stand_in
from .kvstore import KVStore

__all__ = ["Constant", "Parameter", "ParameterDict", "Trainer", "utils"]


class Trainer(trainer.Trainer):
    __doc__ = trainer.Trainer.__doc__

    dialect = V1
    _store = KVStore


alias(f"{__name__}.utils", utils.__name__)
alias(f"{__name__}.parameter", Parameter.__module__)
sys.modules[f"{__name__}.trainer"] = sys.modules[__name__]  # whose Trainer it is
stand_in(__name__, root=V1.package)

__getattr__ = namespace.missing_from(__name__, namespace.REST)
