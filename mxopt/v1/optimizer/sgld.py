"""Stochastic gradient Langevin dynamics as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import sgld
from .optimizer import Optimizer, register


@register
class SGLD(Optimizer, sgld.SGLD):
    """SGLD; see `mxopt.optimizer.sgld.SGLD`.

    Parameters
    ----------
    **kwargs
        As in 2.x; ``learning_rate`` defaults to 0.01.
    """

    def __init__(self, *, learning_rate: float | None = None, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
