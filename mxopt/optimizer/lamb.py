"""LAMB."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, WIDE, StateSlot
from .norms import norm, trust_ratio
from .optimizer import Optimizer, register


@register
class LAMB(Optimizer):
    """LAMB: Adam's direction, with steps proportional to the weight's norm, tensor by tensor.

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
    beta1 : float, default 0.9
        Decay of the first moment.
    beta2 : float, default 0.999
        Decay of the second moment.
    epsilon : float, default 1e-6
        Keeps the division finite.
    lower_bound, upper_bound : float, optional
        Limits of the weight's norm in the ratio. None and 0: no limit.
    bias_correction : bool, default True
        Whether the moments are corrected for their start at zero.
    aggregate_num : int, default 4
        Accepted as in MXNet; a list is always one fused call.
    use_fused_step : bool, default True
        Run the compiled rules rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The paper scales the norm by a function phi; here it is the identity within the two bounds. The ratio is 1
    for a tensor of zeros, which otherwise could never leave zero. The norms are of the whole tensor, so a
    row-sparse gradient counts as a dense one whose other rows are zero.

    Three deviations from MXNet are deliberate: a step counts once (MXNet's kernel for single tensors counts
    it twice), the float32 master is updated on every path, and float64 weights have float64 states.

    State: (mean, var), zeros of the weight's shape; float32, or float64 for float64 weights.

    References
    ----------
    .. [1] Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
       ICLR 2020, https://arxiv.org/abs/1904.00962.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("lamb", learning_rate=0.1)
    >>> weight = np.full(4, 0.5, np.float32)
    >>> opt.update(0, weight, np.array([1, 1, -1, -1], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.45, 0.45, 0.55, 0.55], dtype=float32)
    """

    states_have_rows = True
    rules = ("lamb_moments", "lamb")
    state_slots = (StateSlot("mean", WIDE, numbers=MEAN), StateSlot("var", WIDE, numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon", "lower_bound",
                    "upper_bound", "correct1", "correct2", "weight_squares", "update_squares")  # fmt: skip
    text_scalars = scalar_names[2:9]
    corrections = {"correct1": "beta1", "correct2": "beta2"}
    not_lazy_because = "its step length depends on the norm of the whole tensor"

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        bias_correction: bool = True,
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
        self.bias_correction = bool(bias_correction)

    def scalars(self, t, lr, wd):
        correct1 = 1 - self.beta1**t if self.bias_correction else 1.0
        correct2 = 1 - self.beta2**t if self.bias_correction else 1.0
        return (lr, wd, float(self.rescale_grad), self._clip, self.beta1, self.beta2, self.epsilon,
                self.lower_bound or 0.0, self.upper_bound or 0.0, correct1, correct2, 0.0, 0.0)  # fmt: skip

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)

            correct1 = 1.0 - self.beta1**t if self.bias_correction else 1.0
            correct2 = 1.0 - self.beta2**t if self.bias_correction else 1.0
            update = (mean / correct1) / (np.sqrt(var / correct2) + self.epsilon) + wd * weight
            ratio = trust_ratio(norm(weight), norm(update), self.lower_bound, self.upper_bound)
            weight -= update * (weight.dtype.type(lr) * ratio)
