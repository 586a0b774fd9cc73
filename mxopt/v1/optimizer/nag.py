"""Nesterov's accelerated gradient as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import nag
from .optimizer import Optimizer, register, update_impl


@register
class NAG(Optimizer, nag.NAG):
    """Nesterov's accelerated gradient; see `mxopt.optimizer.nag.NAG`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mom = momentum * mom
        weight = weight - mom + (momentum + 1) * (mom - learning_rate * (g + wd * weight))
        mom = mom - learning_rate * (g + wd * weight)            # the weight has moved already

        weight = (1 - learning_rate * wd) * weight - learning_rate * g    # momentum == 0

    Parameters
    ----------
    momentum : float, default 0.0
    lazy_update : bool or 'exact', optional
        As in 2.x.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

    Notes
    -----
    The momentum uses the decay of the weight that has already moved, an accident of 1.9's in-place operator;
    without `wd` the formula is 2.x's up to rounding.

    State: None without momentum, else ``mom``; with `multi_precision` the pair (that, float32 master),
    the reverse of 2.x's order.

    References
    ----------
    .. [1] Y. Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)",
       Soviet Mathematics Doklady 27, 1983.
    .. [2] Y. Bengio et al., "Advances in optimizing recurrent networks", ICASSP 2013,
       https://arxiv.org/abs/1212.0901.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("nag", learning_rate=0.5, momentum=0.5)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.25, 1.  ], dtype=float32)
    """

    _update_impl = update_impl
    rules = ("sgd_single_v1", "nag_v1")
    master_position = 1

    def __init__(self, momentum: float = 0.0, *, learning_rate: float | None = None, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, momentum=momentum, **kwargs)

    def step(self, indices, weights, grads, states):
        for weight, grad, mom, _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)
            if mom is None:
                weight *= 1.0 - lr * wd
                weight -= lr * grad
            else:
                mom *= self.momentum
                ahead = mom - lr * (grad + wd * weight)
                weight -= mom
                weight += (self.momentum + 1.0) * ahead
                mom -= lr * (grad + wd * weight)
