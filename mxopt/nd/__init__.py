"""``mx.nd``: the array functions that MXNet's training scripts and custom optimizers use, over NumPy.

Not a tensor library: enough of MXNet's array namespace that an optimizer written for it runs unchanged.
"""

from .. import namespace
from . import _internal, contrib, ops, random, sparse
from .files import load, load_frombuffer, save
from .ndarray import NDArray, RowSparseNDArray, stored_rows, view, view_state
from .ops import *  # noqa: F403
from .updates import operators

__all__ = [
    "NDArray",
    "RowSparseNDArray",
    "contrib",
    "load",
    "load_frombuffer",
    "random",
    "save",
    "sparse",
    "view",
]
normal = random_normal = random.normal
uniform = random_uniform = random.uniform
random_gamma, random_poisson, random_randint = random.gamma, random.poisson, random.randint
shuffle = random.shuffle
_random = [
    "normal", "random_gamma", "random_normal", "random_poisson", "random_randint", "random_uniform",
    "shuffle", "uniform",
]  # fmt: skip
_updates = operators()
globals().update(_updates)
sparse.__dict__.update({name: _updates[name] for name in sparse.UPDATES})
__all__ += [*_random, *ops.__all__, *_updates]

namespace.complete(__name__)
__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
