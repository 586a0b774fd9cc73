"""MXNet 1.9.1's dialect: the surface of `mxopt` with 1.9.1's defaults, keywords, states and formulas.

>>> import mxopt.v1 as mx
>>> mx.optimizer.create("adam").lazy_update
True
"""

import mxopt

from .. import base, checks, context, lr_scheduler, namespace, random, test_utils
from .._version import __version__
from . import optimizer
from .optimizer import *  # noqa: F403  (its __all__ is made from the registry)

__all__ = [name for name in mxopt.__all__ if name not in mxopt.optimizer.__all__] + optimizer.__all__

namespace.complete(__name__)
_lazy = namespace.lazy(__name__)
_own_names = namespace.listing(__name__)


def __getattr__(name):
    # The dialects share whatever is not defined here, except the optimizers that 1.9 does not have, and
    # mx.amp, which in 1.9 is mx.contrib.amp only.
    if name.startswith("__") or name in namespace.LOADED_LATER or name in (*mxopt.optimizer.__all__, "amp"):
        return _lazy(name)
    shared = vars(mxopt).get(name)
    return _lazy(name) if shared is None or namespace.is_stand_in(shared) else shared


def __dir__():
    return sorted({*_own_names(), *dir(mxopt)} - {*mxopt.optimizer.__all__, "amp"} | {*optimizer.__all__})
