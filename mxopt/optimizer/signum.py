"""Signum: steps of equal size in every coordinate."""

from __future__ import annotations

from typing import Any

from .. import checks
from .momentum import Momentum
from .optimizer import register


@register
class Signum(Momentum):
    """Signum: steps along the sign of the averaged gradient; the learning rate is the size of the step.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        mom = momentum * mom - (1 - momentum) * g
        weight = (1 - learning_rate * wd_lh) * weight + learning_rate * sign(mom)

    and without momentum (sign SGD) by::

        weight = (1 - learning_rate * (wd + wd_lh)) * weight - learning_rate * sign(grad)

    Parameters
    ----------
    learning_rate : float, default 0.01
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    momentum : float, default 0.9
        0 or more and below 1; 0 keeps no state.
    wd_lh : float, default 0.0
        Decoupled weight decay, as in [2]_; `wd` instead goes into the sign.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The momentum buffer averages the *negative* gradient, with the opposite sign of [1]_. Without momentum
    neither `rescale_grad` nor `clip_gradient` is applied, and `wd` is decoupled: no positive factor changes
    a sign. sign(0) is 0, and so is the sign of NaN.

    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] J. Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
       https://arxiv.org/abs/1802.04434.
    .. [2] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
       https://arxiv.org/abs/1711.05101.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("signum", learning_rate=0.25)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([8, -0.1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.75, 1.25, 1.  ], dtype=float32)
    """

    states_have_rows = True
    rules = ("signsgd", "signum")
    scalar_names = (*Momentum.scalar_names, "wd_lh")
    text_scalars = scalar_names

    def __init__(
        self,
        learning_rate: float | None = 0.01,
        momentum: float = 0.9,
        wd_lh: float = 0.0,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum = checks.number("momentum", momentum, 0, 1, open_high=True)
        self.wd_lh = checks.number("wd_lh", wd_lh)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def scalars(self, t, lr, wd):
        if not self.momentum:
            wd += self.wd_lh
        return (*super().scalars(t, lr, wd), self.wd_lh)

    def _kept(self, t, lr, wd):
        return 1.0 - lr * (self.wd_lh if self.momentum else wd)

    def step(self, indices, weights, grads, states):
        for weight, grad, mom, _, lr, wd in self._each(indices, weights, grads, states):
            if mom is None:
                weight *= 1.0 - lr * (wd + self.wd_lh)
                weight -= lr * _sign(grad)
            else:
                grad = self._decayed(grad, weight, wd)
                mom *= self.momentum
                mom -= (1.0 - self.momentum) * grad
                weight *= 1.0 - lr * self.wd_lh
                weight += lr * _sign(mom)


def _sign(array):
    # Unlike NumPy's, 0 for NaN.
    return (array > 0).astype(array.dtype) - (array < 0).astype(array.dtype)
