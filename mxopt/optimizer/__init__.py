"""Optimizers by name. Importing a module registers its class; nothing else lists them."""

from ..dialects import V2
from . import contrib
from .adabelief import AdaBelief
from .adadelta import AdaDelta
from .adafactor import Adafactor
from .adagrad import AdaGrad
from .adam import Adam
from .adamax import Adamax
from .adamW import AdamW
from .adan import Adan
from .ademamix import AdEMAMix
from .adopt import ADOPT
from .contrib import GroupAdaGrad
from .dcasgd import DCASGD
from .describe import describe, list_optimizers
from .ftml import FTML
from .ftrl import Ftrl
from .groups import Groups
from .lamb import LAMB
from .lans import LANS
from .laprop import LaProp
from .lars import LARS
from .lbsgd import LBSGD
from .lion import Lion
from .madgrad import MADGRAD
from .muon import Muon
from .nadam import Nadam
from .nag import NAG
from .novograd import NovoGrad
from .optimizer import Optimizer
from .package import array_functions, finish
from .prodigy import Prodigy
from .radam import RAdam
from .rmsprop import RMSProp
from .schedulefree import ScheduleFreeAdamW, ScheduleFreeSGD
from .sgd import SGD, ccSGD
from .sgld import SGLD
from .signum import Signum
from .test import Test
from .updater import Updater

create, register = V2.registry.create, V2.registry.register
opt_registry = V2.registry.classes
get_updater = V2.get_updater

__all__ = [*finish(V2, Optimizer, Updater), "Groups"]
__getattr__ = array_functions(__name__)
