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
        ...                                                       # and on as in 2.x

    Parameters
    ----------
    beta1, beta2, epsilon, lazy_update
        As in 2.x.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.
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
