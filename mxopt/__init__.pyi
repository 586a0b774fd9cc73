# Written by tests/types/make_stubs.py.

from . import base as base
from . import callback as callback
from . import context as context
from . import context as device
from . import gluon as gluon
from . import initializer as init
from . import initializer as initializer
from . import io as io
from . import kvstore as kv
from . import kvstore as kvstore
from . import lr_scheduler as lr_scheduler
from . import metric as metric
from . import module as mod
from . import model as model
from . import module as module
from . import nd as nd
from . import nd as ndarray
from . import optimizer as optimizer
from . import random as random
from . import test_utils as test_utils
from . import util as util
from . import viz as viz
from .context import Context as Context
from .sparse import RowSparseArray as RowSparseArray
from .states.errors import StateFileError as StateFileError
from .clipping import clip_global_norm as clip_global_norm
from .context import cpu as cpu
from .context import cpu_pinned as cpu_pinned
from .context import current_context as current_context
from .config import get_num_threads as get_num_threads
from .context import gpu as gpu
from .context import num_gpus as num_gpus
from .config import num_threads as num_threads
from .config import set_num_threads as set_num_threads
from .config import show_config as show_config
from .optimizer import (
    ADOPT as ADOPT,
    AdEMAMix as AdEMAMix,
    AdaBelief as AdaBelief,
    AdaDelta as AdaDelta,
    AdaGrad as AdaGrad,
    Adafactor as Adafactor,
    Adam as Adam,
    AdamW as AdamW,
    Adamax as Adamax,
    Adan as Adan,
    DCASGD as DCASGD,
    FTML as FTML,
    Ftrl as Ftrl,
    GroupAdaGrad as GroupAdaGrad,
    Groups as Groups,
    LAMB as LAMB,
    LANS as LANS,
    LARS as LARS,
    LBSGD as LBSGD,
    LaProp as LaProp,
    Lion as Lion,
    MADGRAD as MADGRAD,
    Muon as Muon,
    NAG as NAG,
    Nadam as Nadam,
    NovoGrad as NovoGrad,
    Optimizer as Optimizer,
    Prodigy as Prodigy,
    RAdam as RAdam,
    RMSProp as RMSProp,
    SGD as SGD,
    SGLD as SGLD,
    ScheduleFreeAdamW as ScheduleFreeAdamW,
    ScheduleFreeSGD as ScheduleFreeSGD,
    Signum as Signum,
    Test as Test,
    Updater as Updater,
    ccSGD as ccSGD,
    create as create,
    describe as describe,
    get_updater as get_updater,
    list_optimizers as list_optimizers,
    opt_registry as opt_registry,
    register as register,
)

__all__ = [
    "ADOPT",
    "AdEMAMix",
    "AdaBelief",
    "AdaDelta",
    "AdaGrad",
    "Adafactor",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Context",
    "DCASGD",
    "FTML",
    "Ftrl",
    "GroupAdaGrad",
    "Groups",
    "LAMB",
    "LANS",
    "LARS",
    "LBSGD",
    "LaProp",
    "Lion",
    "MADGRAD",
    "Muon",
    "NAG",
    "Nadam",
    "NovoGrad",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSProp",
    "RowSparseArray",
    "SGD",
    "SGLD",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Signum",
    "StateFileError",
    "Test",
    "Updater",
    "ccSGD",
    "clip_global_norm",
    "cpu",
    "cpu_pinned",
    "create",
    "current_context",
    "describe",
    "get_num_threads",
    "get_updater",
    "gluon",
    "gpu",
    "kv",
    "list_optimizers",
    "lr_scheduler",
    "mod",
    "nd",
    "num_gpus",
    "num_threads",
    "opt_registry",
    "optimizer",
    "register",
    "set_num_threads",
    "show_config",
]
__version__: str
