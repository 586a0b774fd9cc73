"""MXNet's optimizers, alive: created by name, stepping NumPy arrays in place through Cython kernels.

>>> import mxopt as mx
>>> opt = mx.optimizer.create("adam", learning_rate=1e-3)
>>> updater = mx.optimizer.get_updater(opt)
"""

from . import lr_scheduler, optimizer
from ._version import __version__
from .clipping import clip_global_norm
from .config import get_num_threads, num_threads, set_num_threads, show_config
from .context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus
from .namespace import complete, lazy, listing
from .optimizer import *  # noqa: F403  (its __all__ is made from the registry)
from .sparse import RowSparseArray
from .states import StateFileError

#: What ``from mxopt import *`` imports: no name that programs use for something else, such as np or io.
__all__ = [
    *optimizer.__all__,
    "Context", "RowSparseArray", "StateFileError", "clip_global_norm", "cpu", "cpu_pinned", "current_context",
    "get_num_threads", "gpu", "num_gpus", "num_threads", "set_num_threads", "show_config",
    "gluon", "kv", "lr_scheduler", "mod", "nd", "optimizer",
]  # fmt: skip

complete(__name__)
__getattr__ = lazy(__name__)  # nd, gluon, kv, mod, ... and stand-ins for sym, autograd, ...
__dir__ = listing(__name__)
