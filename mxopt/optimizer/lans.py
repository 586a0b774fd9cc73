"""LANS."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, WIDE, StateSlot
from .norms import norm, trust_ratio
from .optimizer import Optimizer, register


@register
class LANS(Optimizer):
    """LANS: LAMB on normalised gradients, with Nesterov's look-ahead as a second part of the step.

    Updates are applied by::

        g = clip(grad * rescale_grad / norm(grad * rescale_grad), clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        divisor = sqrt(var / (1 - beta2**t)) + epsilon
        part_m = mean / (1 - beta1**t) / divisor + wd * weight
        part_g = g / divisor + wd * weight
        r1 = min(max(norm(weight), lower_bound), upper_bound)
        ratio_m = r1 / norm(part_m)                              # 1 where a norm is 0
        ratio_g = r1 / norm(part_g)                              # 1 where a norm is 0
        weight = weight - learning_rate * (beta1 * ratio_m * part_m + (1 - beta1) * ratio_g * part_g)

    Parameters
    ----------
    learning_rate : float, default 0.001
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    beta1 : float, default 0.9
        Decay of the first moment, and the weight of its part in the step.
    beta2 : float, default 0.999
        Decay of the second moment.
    epsilon : float, default 1e-6
        Keeps the division finite.
    lower_bound, upper_bound : float, optional
        Limits of the weight's norm in the ratios. None and 0: no limit.
    aggregate_num : int, default 4
        Accepted as in MXNet; a list is always one fused call.
    use_fused_step : bool, default True
        Run the compiled rules rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The gradient is divided by its norm before it is clipped, so a useful ``clip_gradient`` is below 1.
    MXNet's `step` applies the first part before it forms the second from the new weight, and so does ours;
    the compiled rules, like MXNet's kernel, use the old weight for both.

    A gradient of zeros just decays the moments. (MXNet divides 0 by 0, and the whole tensor is NaN from then
    on.) The norms are of the whole tensor, so a row-sparse gradient counts as a dense one whose other rows
    are zero. Where `multi_precision` keeps a master, the fused norm of the weight is that of the 16-bit
    weight, as in MXNet.

    State: (mean, var), zeros of the weight's shape; float32, or float64 for float64 weights.

    References
    ----------
    .. [1] S. Zheng et al., "Accelerated Large Batch Optimization of BERT Pretraining in 54 minutes", 2020,
       https://arxiv.org/abs/2006.13484.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("lans", learning_rate=0.1)
    >>> weight = np.full(4, 0.5, np.float32)
    >>> opt.update(0, weight, np.array([2, 2, -2, -2], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.45, 0.45, 0.55, 0.55], dtype=float32)
    """

    states_have_rows = True
    rules = ("lans_grad", "lans_moments", "lans")
    state_slots = (StateSlot("mean", WIDE, numbers=MEAN), StateSlot("var", WIDE, numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon", "lower_bound",
                    "upper_bound", "correct1", "correct2", "grad_squares", "weight_squares", "mean_squares",
                    "now_squares")  # fmt: skip
    text_scalars = scalar_names[2:9]
    corrections = {"correct1": "beta1", "correct2": "beta2"}
    not_lazy_because = "its step length depends on the norms of the whole tensor"

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        aggregate_num: float | None = 4,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        checks.lazy_update(self, kwargs.pop("lazy_update", False))
        super().__init__(learning_rate=learning_rate, aggregate_num=aggregate_num,
                         use_fused_step=use_fused_step, **kwargs)  # fmt: skip
        self._keep_moments(beta1, beta2, epsilon)
        self.lower_bound = checks.optional_number("lower_bound", lower_bound, low=0)
        self.upper_bound = checks.optional_number("upper_bound", upper_bound, low=0)

    def scalars(self, t, lr, wd):
        return (lr, wd, float(self.rescale_grad), self._clip, self.beta1, self.beta2, self.epsilon,
                self.lower_bound or 0.0, self.upper_bound or 0.0, 1 - self.beta1**t,
                1 - self.beta2**t, 0.0, 0.0, 0.0, 0.0)  # fmt: skip

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            grad = grad * float(self.rescale_grad)
            grad = self._clipped(grad / (norm(grad) or np.inf))

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)

            size, real = norm(weight), weight.dtype.type
            divisor = np.sqrt(var / (1.0 - self.beta2**t)) + self.epsilon
            update = (mean / (1.0 - self.beta1**t)) / divisor + wd * weight
            ratio = trust_ratio(size, norm(update), self.lower_bound, self.upper_bound)
            weight -= update * (real(lr) * ratio * real(self.beta1))
            update = grad / divisor + wd * weight
            ratio = trust_ratio(size, norm(update), self.lower_bound, self.upper_bound)
            weight -= update * (real(lr) * ratio * real(1.0 - self.beta1))
