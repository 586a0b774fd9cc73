"""AdaGrad as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checks
from ...optimizer import adagrad
from .optimizer import Optimizer, alias, register


@register
class AdaGrad(Optimizer, adagrad.AdaGrad):
    """AdaGrad, with decoupled decay and epsilon inside the root; see `mxopt.optimizer.adagrad.AdaGrad`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        history = history + g**2
        weight = weight - learning_rate * (g / sqrt(history + eps) + wd * weight)

    With a row-sparse gradient this happens only in the rows that the gradient holds.

    Parameters
    ----------
    eps : float, default 1e-7
        Keeps the division finite. 2.x's ``epsilon`` is accepted with a warning.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

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
    >>> opt = mxopt.create("adagrad", learning_rate=0.5)
    >>> weight = np.ones(3, np.float32)
    >>> history = opt.create_state(0, weight)
    >>> opt.update(0, weight, np.array([4, -2, 0], np.float32), history)
    >>> weight.round(4), history
    (array([0.5, 1.5, 1. ], dtype=float32), array([16.,  4.,  0.], dtype=float32))
    """

    rules = ("adagrad_v1",)
    epsilon = alias("float_stable_eps")

    def __init__(self, eps: float = 1e-7, *, learning_rate: float | None = None, **kwargs: Any) -> None:
        eps = checks.number("eps", checks.renamed(kwargs, "epsilon", "eps", eps), 0)
        super().__init__(learning_rate=learning_rate, epsilon=eps, **kwargs)

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd

    def step(self, indices, weights, grads, states):
        for weight, grad, history, _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)

            history += np.square(grad)
            weight -= lr * (grad / np.sqrt(history + self.epsilon) + wd * weight)
