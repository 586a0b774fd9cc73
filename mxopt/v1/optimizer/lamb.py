"""LAMB as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ... import config
from ...optimizer import lamb
from ...slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register, update_impl


@register
class LAMB(Optimizer, lamb.LAMB):
    """LAMB; see `mxopt.optimizer.lamb.LAMB`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        mean_hat = mean / (1 - beta1**t)                         # bias_correction
        var_hat = var / (1 - beta2**t)                           # bias_correction
        update = mean_hat / (sqrt(var_hat) + epsilon) + wd * weight
        r1 = min(max(norm(weight), lower_bound), upper_bound)
        r2 = norm(update)
        ratio = r1 / r2 if r1 > 0 and r2 > 0 else 1
        weight = weight - learning_rate * ratio * update

    Parameters
    ----------
    learning_rate : float, default 0.001
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    beta1, beta2 : float, default 0.9 and 0.999
        Decays of the moments.
    epsilon : float, default 1e-6
        Keeps the division finite.
    lower_bound, upper_bound : float, optional
        Limits of the weight's norm in the ratio. None and 0: no limit.
    bias_correction : bool, default True
        Whether the moments are corrected for their start at zero.
    aggregate_num : int, default 4
        Accepted as in MXNet; a list is always one fused call.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The formula is 2.x's; the compiled rules round the update's direction once, from double. Where
    `multi_precision` keeps a master, the weight's norm is that of the 16-bit weight.

    State: (mean, var), zeros of the weight's shape and dtype; with `multi_precision` the pair (float32
    master, that).

    References
    ----------
    .. [1] Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
       ICLR 2020, https://arxiv.org/abs/1904.00962.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("lamb", learning_rate=0.1)
    >>> weight = np.full(4, 0.5, np.float32)
    >>> opt.update(0, weight, np.array([1, 1, -1, -1], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.45, 0.45, 0.55, 0.55], dtype=float32)
    """

    _update_impl = update_impl
    rules = ("lamb_moments_v1", "lamb_v1")
    aggregates = True
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", numbers=SQUARES))

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        bias_correction: bool = True,
        *,
        aggregate_num: float | None = None,
        **kwargs: Any,
    ) -> None:
        if aggregate_num is None:
            aggregate_num = config.aggregation_size(most=45, default=45)
        super().__init__(learning_rate, beta1, beta2, epsilon, lower_bound, upper_bound, bias_correction,
                         aggregate_num, **kwargs)  # fmt: skip
