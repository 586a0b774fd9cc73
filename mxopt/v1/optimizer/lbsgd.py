"""Large-batch SGD as in MXNet 1.9.1."""

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

    def __init__(self, momentum=0.0, multi_precision=False, warmup_strategy="linear", warmup_epochs=5,
                 batch_scale=1, updates_per_epoch=32, begin_epoch=0, num_epochs=60, lazy_update=True,
                 **kwargs):  # fmt: skip
        super().__init__(momentum, multi_precision, warmup_strategy, warmup_epochs, batch_scale,
                         updates_per_epoch, begin_epoch, num_epochs, **kwargs)  # fmt: skip
        self.lazy_update = bool(lazy_update)
