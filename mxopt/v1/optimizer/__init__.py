"""Optimizers by name, as MXNet 1.9.1 has them. Importing a module registers its class."""

from .adam import Adam
from .dcasgd import DCASGD
from .ftml import FTML
from .nag import NAG
from .optimizer import Optimizer
from .registry import create, opt_registry, register
from .sgd import SGD, ccSGD
from .sgld import SGLD
from .signum import Signum
from .test import Test
from .updater import Updater, get_updater

__all__ = ["Optimizer", "Updater", "create", "get_updater", "opt_registry", "register"]
__all__ += [cls.__name__ for cls in opt_registry.values()]
