"""MXNet's optimizers, alive: created by name, stepping NumPy arrays in place through Cython kernels.

>>> import mxopt as mx
>>> opt = mx.optimizer.create("adam", learning_rate=1e-3)
>>> updater = mx.optimizer.get_updater(opt)
"""

from . import lr_scheduler, nd, optimizer
from ._version import __version__
from .config import get_num_threads, num_threads, set_num_threads, show_config
from .optimizer import *  # noqa: F403  (its __all__ is made from the registry)
from .sparse import RowSparseArray
