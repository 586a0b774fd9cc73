"""Optimizers by name, as MXNet 1.9.1 has them. Importing a module registers its class."""

from ...optimizer.docstrings import complete
from . import contrib
from .adadelta import AdaDelta
from .adagrad import AdaGrad
from .adam import Adam
from .adamax import Adamax
from .contrib import GroupAdaGrad
from .dcasgd import DCASGD
from .describe import describe, list_optimizers
from .ftml import FTML
from .ftrl import Ftrl
from .lamb import LAMB
from .lars import LARS
from .lbsgd import LBSGD
from .nadam import Nadam
from .nag import NAG
from .optimizer import Optimizer
from .registry import create, opt_registry, register
from .rmsprop import RMSProp
from .sgd import SGD, ccSGD
from .sgld import SGLD
from .signum import Signum
from .test import Test
from .updater import Updater, get_updater

__all__ = [
    "Optimizer", "Updater", "create", "describe", "get_updater",
    "list_optimizers", "opt_registry", "register",
]  # fmt: skip
for _cls in opt_registry.values():
    complete(_cls)

__all__ += [cls.__name__ for cls in opt_registry.values()]


def __getattr__(name):
    # Scripts take array functions and update operators from here, where MXNet's own optimizers imported them.
    if not name.startswith("_"):
        from .. import nd

        if name in nd.__all__:
            return getattr(nd, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
