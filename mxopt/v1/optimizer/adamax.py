"""Adamax as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...optimizer import adamax
from .optimizer import Optimizer, register


@register
class Adamax(Optimizer, adamax.Adamax):
    """Adamax, with weight decay inside the clipping and without epsilon; see `mxopt.optimizer.adamax.Adamax`.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        norm = max(beta2 * norm, abs(g))
        weight = weight - learning_rate / (1 - beta1**t) * mean / norm

    Parameters
    ----------
    learning_rate, beta1, beta2
        As in 2.x.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    An element that never had a gradient stays unchanged; 1.9.1 divides 0 by 0, and it is NaN from then on.

    State: (mean, norm), as in 2.x.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("adamax", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([1, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    rules = ("adamax_v1",)
    clips_decay = True

    def __init__(
        self, learning_rate: float | None = 0.002, beta1: float = 0.9, beta2: float = 0.999, **kwargs: Any
    ) -> None:
        if "epsilon" in kwargs:
            raise TypeError("Adamax has no epsilon in the 1.x dialect; leave it out, or use mxopt.Adamax")
        super().__init__(learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=0.0, **kwargs)

    def _move(self, lr, mean, norm):
        return lr * mean / np.where(norm == 0, norm.dtype.type(1), norm)
