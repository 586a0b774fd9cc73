"""GroupAdaGrad as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checks
from ...optimizer import contrib
from .optimizer import Optimizer, alias, register


def compensated_sum_of_rows(array):
    """The sum of each row by Kahan's compensated summation.

    Parameters
    ----------
    array : ndarray of two dimensions
    """
    total = np.zeros((len(array), 1), array.dtype)
    lost = np.zeros_like(total)
    for k in range(array.shape[1]):
        term = array[:, k : k + 1] - lost
        after = total + term
        lost = (after - total) - term
        total = after
    return total


@register
class GroupAdaGrad(Optimizer, contrib.GroupAdaGrad):
    """GroupAdaGrad, with epsilon inside the root; see `mxopt.optimizer.contrib.GroupAdaGrad`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        history = history + mean(g**2, axis=1, keepdims=True)
        weight = weight - learning_rate * g / sqrt(history + eps)

    Parameters
    ----------
    eps : float, default 1e-5
        Keeps the division finite. 2.x's ``epsilon`` is accepted with a warning.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01, ``wd`` must be 0.

    Notes
    -----
    State: history, as in 2.x.

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
       Optimization", JMLR 12, 2011, http://www.jmlr.org/papers/volume12/duchi11a/duchi11a.pdf.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("groupadagrad", learning_rate=0.5)
    >>> weight = np.ones((3, 2), np.float32)
    >>> grad = mxopt.RowSparseArray(np.array([[1, 7]], np.float32), [1], (3, 2))
    >>> opt.update(0, weight, grad, opt.create_state(0, weight))
    >>> weight.round(4)
    array([[1. , 1. ],
           [0.9, 0.3],
           [1. , 1. ]], dtype=float32)
    """

    rules = ("groupadagrad_v1",)
    _sum_of_rows = staticmethod(compensated_sum_of_rows)
    epsilon = alias("float_stable_eps")

    def __init__(self, eps: float = 1e-5, *, learning_rate: float | None = None, **kwargs: Any) -> None:
        eps = checks.number("eps", checks.renamed(kwargs, "epsilon", "eps", eps), 0)
        super().__init__(learning_rate=learning_rate, epsilon=eps, **kwargs)

    def _descent(self, lr, grad, history):
        return lr * grad / np.sqrt(history + self.epsilon)
