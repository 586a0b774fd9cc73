"""Optimizers by name, as MXNet 1.9.1 has them. Importing a module registers its class."""

from ...dialects import V1
from ...optimizer.groups import Groups
from ...optimizer.package import array_functions, finish
from . import contrib, later
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
from .later import *
from .lbsgd import LBSGD
from .nadam import Nadam
from .nag import NAG
from .optimizer import Optimizer
from .rmsprop import RMSProp
from .sgd import SGD, ccSGD
from .sgld import SGLD
from .signum import Signum
from .test import Test
from .updater import Updater

create, register = V1.registry.create, V1.registry.register
opt_registry = V1.registry.classes
get_updater = V1.get_updater

__all__ = [*finish(V1, Optimizer, Updater), "Groups"]
__getattr__ = array_functions(__name__)
