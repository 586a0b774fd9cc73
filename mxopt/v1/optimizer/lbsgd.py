"""Large-batch SGD as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import lbsgd
from .optimizer import Optimizer, register


@register
class LBSGD(Optimizer, lbsgd.LBSGD):
    """LBSGD, lazily; see `mxopt.optimizer.lbsgd.LBSGD`.

    Parameters
    ----------
    momentum, multi_precision, warmup_strategy, warmup_epochs, batch_scale, updates_per_epoch, begin_epoch
        As in 2.x, and so is num_epochs.
    lazy_update : bool, default True
    """

    def __init__(
        self,
        momentum: float = 0.0,
        multi_precision: bool = False,
        warmup_strategy: str = "linear",
        warmup_epochs: float = 5,
        batch_scale: float = 1,
        updates_per_epoch: float = 32,
        begin_epoch: float = 0,
        num_epochs: float = 60,
        lazy_update: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum, multi_precision, warmup_strategy, warmup_epochs, batch_scale,
                         updates_per_epoch, begin_epoch, num_epochs, **kwargs)  # fmt: skip
        self.lazy_update = bool(lazy_update)
