"""Delay-compensated asynchronous SGD as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...optimizer import dcasgd
from .optimizer import Optimizer, register


@register
class DCASGD(Optimizer, dcasgd.DCASGD):
    """DCASGD, with weight decay outside the compensation; see `mxopt.optimizer.dcasgd.DCASGD`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        g = g + wd * weight + lamda * g**2 * (weight - previous)
        previous = weight
        weight = weight - learning_rate * g                      # momentum == 0

        mom = momentum * mom - learning_rate * g                 # momentum > 0
        weight = weight + mom

    Parameters
    ----------
    momentum, lamda, lazy_update
        As in 2.x. 1.9 itself fails with momentum.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

    Notes
    -----
    State: (mom, previous): None without momentum, else zeros; and a copy of the weight.

    References
    ----------
    .. [1] S. Zheng et al., "Asynchronous Stochastic Gradient Descent with Delay Compensation", ICML 2017,
       https://arxiv.org/abs/1609.08326.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("dcasgd", learning_rate=0.5, lamda=1.0)
    >>> weight, state = np.ones(1, np.float32), (None, np.zeros(1, np.float32))
    >>> opt.update(0, weight, np.ones(1, np.float32), state)
    >>> weight, state[1]
    (array([0.], dtype=float32), array([1.], dtype=float32))
    """

    rules = ("dcasgd_v1", "dcasgd_mom_v1")

    def __init__(
        self, momentum: float = 0.0, lamda: float = 0.04, *, learning_rate: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate=learning_rate, momentum=momentum, lamda=lamda, **kwargs)

    def _compensated(self, grad, ahead, weight, wd):
        grad = self._prepared(grad)
        return grad + wd * weight + self.lamda * np.square(grad) * ahead
