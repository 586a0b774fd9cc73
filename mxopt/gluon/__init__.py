"""``mx.gluon`` without the networks: parameters, the trainer, and utilities."""

from .. import checks, namespace
from . import utils
from .parameter import Constant, Parameter, ParameterDict
from .trainer import Trainer

__all__ = ["Constant", "Parameter", "ParameterDict", "Trainer", "utils"]

namespace.complete(__name__)
__getattr__ = namespace.missing_from(__name__, namespace.REST)
