"""Delay-compensated asynchronous SGD."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import MEAN, NONE, StateSlot
from .momentum import Momentum
from .optimizer import register


@register
class DCASGD(Momentum):
    """DCASGD: corrects late gradients for how far the weight has moved in the meantime.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        g = g + lamda * g**2 * (weight - previous)
        previous = weight
        weight = weight - learning_rate * g                      # momentum == 0

        mom = momentum * mom - learning_rate * g                 # momentum > 0
        weight = weight + mom

    Parameters
    ----------
    learning_rate : float, default 0.1
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    momentum : float, default 0.0
        0 or more; 0 keeps no momentum.
    lamda : float, default 0.04
        How strongly a delay is compensated.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The square of the gradient stands for the diagonal of the Hessian, equation 10 of [1]_ with a constant
    factor. `previous` is the weight before the last update of this index, as it is on a server that applies
    updates in turn; with one worker the delay is one step.

    State: (mom, previous): None without momentum, else zeros; and a copy of the weight.

    References
    ----------
    .. [1] S. Zheng et al., "Asynchronous Stochastic Gradient Descent with Delay Compensation", ICML 2017,
       https://arxiv.org/abs/1609.08326.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("dcasgd", learning_rate=0.5, lamda=1.0)
    >>> weight, state = np.ones(1, np.float32), (None, np.zeros(1, np.float32))
    >>> opt.update(0, weight, np.ones(1, np.float32), state)
    >>> weight, state[1]
    (array([0.], dtype=float32), array([1.], dtype=float32))
    """

    rules = ("dcasgd", "dcasgd_mom")
    state_slots = (
        StateSlot("mom", when="momentum", absent=NONE, numbers=MEAN),
        StateSlot("previous", start="weight"),
    )
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "lamda", "momentum")
    text_scalars = ("clip_gradient",)

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.0,
        lamda: float = 0.04,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum = checks.number("momentum", momentum, 0)
        self.lamda = checks.number("lamda", lamda)
        self.lazy_update = checks.lazy_update(self, lazy_update)
        self.weight_previous: dict[Any, Any] = {}  # never filled, as in MXNet

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.lamda, self.momentum

    def _compensated(self, grad, ahead, weight, wd):
        grad = self._decayed(grad, weight, wd)
        return np.square(grad) * ahead * self.lamda + grad

    def step(self, indices, weights, grads, states):
        for weight, grad, (mom, previous), _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._compensated(grad, weight - previous, weight, wd)
            previous[...] = weight
            if mom is None:
                weight -= lr * grad
            else:
                mom *= self.momentum
                mom -= lr * grad
                weight += mom
