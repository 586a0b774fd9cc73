"""``mx.mod`` of the 1.x dialect."""

from .. import module
from ..namespace import stand_in
from . import model, optimizer

__all__ = ["ParameterModule"]


class ParameterModule(module.ParameterModule):
    __doc__ = module.ParameterModule.__doc__

    _optimizers = optimizer
    _model = model


stand_in(__name__, "mxopt.v1.mod")
