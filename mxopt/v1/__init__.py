"""MXNet 1.9.1's dialect: the surface of `mxopt` with 1.9.1's defaults, keywords, states and formulas.

>>> import mxopt.v1 as mx
>>> mx.optimizer.create("adam").lazy_update
True
"""

import mxopt

from .. import base, checks, context, lr_scheduler, namespace, random, test_utils
from .._version import __version__
from ..dialects import V1
from ..namespace import stand_in
from . import optimizer
from .optimizer import *  # noqa: F403  (its __all__ is made from the registry)

# One module under two names, so that `import mxopt.v1.nd.sparse` makes no second copy of it.
for _shared in (base, context, lr_scheduler, random, test_utils):
    namespace.alias(f"{__name__}.{_shared.__name__.rpartition('.')[2]}", _shared.__name__)
del _shared

_lazy = namespace.lazy(__name__)
_missing = namespace.missing_from(__name__, namespace.REST)
stand_in(__name__, root=V1.package)


def __getattr__(name):
    if name in namespace.MODULES:
        return _lazy(name)
    # Both dialects share whatever is not defined here; only 2.x's own optimizers do not exist in 1.9.
    if name.startswith("__") or name in mxopt.optimizer.__all__ or not hasattr(mxopt, name):
        _missing(name)
    return getattr(mxopt, name)


def __dir__():
    return sorted({*globals(), *dir(mxopt)} - {*mxopt.optimizer.__all__} | {*optimizer.__all__})
