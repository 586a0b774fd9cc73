"""LAMB as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ... import config
from ...optimizer import lamb
from ...slots import StateSlot
from .optimizer import Optimizer, register


@register
class LAMB(Optimizer, lamb.LAMB):
    """LAMB; see `mxopt.optimizer.lamb.LAMB`.

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

    Notes
    -----
    The formula is 2.x's; the compiled rules round the update's direction once, from double. Where
    `multi_precision` keeps a master, the weight's norm is that of the 16-bit weight.

    State: (mean, var), zeros of the weight's shape and dtype; with `multi_precision` the pair of the float32
    master and that.
    """

    rules = ("lamb_moments_v1", "lamb_v1")
    state_slots = (StateSlot("mean"), StateSlot("var"))

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
