"""Follow the moving leader as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import ftml
from .optimizer import Optimizer, register


@register
class FTML(Optimizer, ftml.FTML):
    """FTML, with weight decay inside the clipping; see `mxopt.optimizer.ftml.FTML`.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        var = beta2 * var + (1 - beta2) * g**2
        d_t = (1 - beta1**t) / learning_rate * (sqrt(var / (1 - beta2**t)) + epsilon)
        z = beta1 * z + (1 - beta1) * g - (d_t - beta1 * d) * weight
        d = d_t
        weight = -z / d

    Parameters
    ----------
    beta1, beta2, epsilon, lazy_update
        As in 2.x.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

    Notes
    -----
    State: (d, var, z), zeros of the weight's shape and dtype; [1]_ calls `var` v.

    References
    ----------
    .. [1] S. Zheng and J. T. Kwok, "Follow the Moving Leader in Deep Learning", ICML 2017,
       http://proceedings.mlr.press/v70/zheng17a.html.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("ftml", learning_rate=0.25)
    >>> weight = np.ones(3, np.float64)
    >>> opt.update(0, weight, np.array([2.0, -2.0, 0.0]), opt.create_state(0, weight))
    >>> weight.round(6)
    array([0.75, 1.25, 1.  ])
    """

    rules = ("ftml_v1",)
    clips_decay = True

    def __init__(
        self,
        beta1: float = 0.6,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon, **kwargs)
