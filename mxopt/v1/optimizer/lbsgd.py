"""Large-batch SGD as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any, Literal

from ... import checks
from ...optimizer import lbsgd
from .optimizer import Optimizer, register


@register
class LBSGD(Optimizer, lbsgd.LBSGD):
    """LBSGD, lazily; see `mxopt.optimizer.lbsgd.LBSGD`.

    Call n of an index adds its gradient; every `batch_scale`-th one updates::

        total = total + grad
        if n % batch_scale == 0:
            g = clip(total / batch_scale * rescale_grad, clip_gradient)
            lr = learning_rate * multiplier(n)
            mom = momentum * mom - lr * wd * weight - lr * g
            weight = weight + mom
            total = 0

    Parameters
    ----------
    momentum, multi_precision, warmup_strategy, warmup_epochs, batch_scale, updates_per_epoch, begin_epoch
        As in 2.x.
    num_epochs : int, default 60
        Not used, as in MXNet.
    lazy_update : bool, default True
    **kwargs
        Arguments of `Optimizer`.

    Attributes
    ----------
    cumgrads : dict
        By index, the gradients gathered so far and the number of calls.

    Notes
    -----
    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
       https://arxiv.org/abs/1706.02677.
    .. [2] Y. You, I. Gitman and B. Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
       https://arxiv.org/abs/1708.03888.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("lbsgd", learning_rate=0.5, batch_scale=2, warmup_strategy="none")
    >>> weight = np.ones(2, np.float32)
    >>> for grad in ([1, 0], [1, 2]):
    ...     opt.update(0, weight, np.array(grad, np.float32), opt.create_state(0, weight))
    ...     print(weight)
    [1. 1.]
    [0.5 0.5]
    """

    def __init__(
        self,
        momentum: float = 0.0,
        multi_precision: bool | Literal["split"] = False,
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
        self.lazy_update = checks.lazy_update(self, lazy_update, strict=False)
