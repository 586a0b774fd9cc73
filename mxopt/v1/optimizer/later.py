"""The optimizers published since MXNet: those of 2.x, on the base class of this dialect."""

from ...dialects import V2
from ...optimizer.describe import list_optimizers
from .optimizer import Optimizer, register

__all__ = []

for _name in list_optimizers(family="later"):
    _cls = V2.registry.classes[_name]
    _doc = _cls.__doc__.replace("import numpy as np, mxopt\n", "import numpy as np, mxopt.v1 as mxopt\n")
    globals()[_cls.__name__] = register(
        type(_cls.__name__, (Optimizer, _cls), {"__module__": __name__, "__doc__": _doc})
    )
    __all__.append(_cls.__name__)
