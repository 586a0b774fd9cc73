"""Optimizers by name. Importing a module registers its class; nothing else lists them."""

from .adam import Adam
from .optimizer import Optimizer
from .registry import create, register
from .sgd import SGD
from .updater import Updater, get_updater

opt_registry = Optimizer.opt_registry

__all__ = ["Optimizer", "Updater", "create", "get_updater", "opt_registry", "register"]
__all__ += [cls.__name__ for cls in opt_registry.values()]
