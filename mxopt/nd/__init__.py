"""``mx.nd``: the array functions that MXNet's training scripts and custom optimizers use, over NumPy.

Not a tensor library: enough of MXNet's array namespace that an optimizer written for it runs unchanged.
"""

from mxopt.nd import ops, random, sparse
from mxopt.nd.ndarray import NDArray, RowSparseNDArray, view
from mxopt.nd.ops import *

__all__ = ["NDArray", "RowSparseNDArray", "random", "sparse", "view"]
__all__ += ops.__all__
