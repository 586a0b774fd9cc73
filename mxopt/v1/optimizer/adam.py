"""Adam as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ... import checks
from ...optimizer import adam
from .optimizer import Optimizer, register


@register
class Adam(Optimizer, adam.Adam):
    """Adam, with weight decay inside the clipping; see `mxopt.optimizer.adam.Adam`.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        lr_t = learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t)
        weight = weight - lr_t * mean / (sqrt(var) + epsilon)

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon
        As in 2.x.
    lazy_update : bool or 'exact', default True
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("adam", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([1, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    rules = ("adam_v1",)
    clips_decay = True

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        lazy_update: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon, **kwargs)
        self.lazy_update = checks.lazy_update(self, lazy_update, strict=False)
