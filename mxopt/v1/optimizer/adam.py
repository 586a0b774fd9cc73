"""Adam as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import adam
from .optimizer import Optimizer, register


@register
class Adam(Optimizer, adam.Adam):
    """Adam, with weight decay inside the clipping; see `mxopt.optimizer.adam.Adam`.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        ...                                                       # and on as in 2.x

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon
        As in 2.x.
    lazy_update : bool, default True
    """

    rules = ("adam_v1",)
    clips_decay = True

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        lazy_update: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon, **kwargs)
        self.lazy_update = bool(lazy_update)
