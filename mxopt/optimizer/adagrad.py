"""AdaGrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks, kernels
from ..slots import SQUARES, WIDE, StateSlot
from .optimizer import Optimizer, register


@register
class AdaGrad(Optimizer):
    """AdaGrad: steps divided by the root of the sum of all squared gradients.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        history = history + g**2
        weight = weight - learning_rate * g / (sqrt(history) + epsilon)

    With a row-sparse gradient this happens only in the rows that the gradient holds, by default.

    Parameters
    ----------
    learning_rate : float, default 0.01
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    epsilon : float, default 1e-6
        Keeps the division finite. ``eps`` is accepted with a warning.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', optional
        Touch only the rows of a row-sparse gradient; False lets the absent rows decay. Not given: True with
        ``use_fused_step``, as MXNet's kernel does, and False without.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    Weight decay is added to the gradient (L2), for row-sparse gradients too, where MXNet's kernel refuses it;
    rows that a lazy update leaves alone do not decay.

    State: history, zeros of the weight's shape in float32 (float64 for a float64 weight, which MXNet
    refuses).

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
       Optimization", JMLR 12, 2011, http://www.jmlr.org/papers/volume12/duchi11a/duchi11a.pdf.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adagrad", learning_rate=0.5)
    >>> weight = np.ones(3, np.float32)
    >>> history = opt.create_state(0, weight)
    >>> opt.update(0, weight, np.array([4, -2, 0], np.float32), history)
    >>> weight.round(4), history
    (array([0.5, 1.5, 1. ], dtype=float32), array([16.,  4.,  0.], dtype=float32))
    """

    states_have_rows = True
    rules = ("adagrad",)
    state_slots: tuple[StateSlot, ...] = (StateSlot("history", WIDE, numbers=SQUARES),)
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "epsilon")
    text_scalars: tuple[str, ...] = ("clip_gradient",)
    lazy_by_default = True

    def __init__(
        self,
        learning_rate: float | None = 0.01,
        epsilon: float = 1e-6,
        use_fused_step: bool = True,
        lazy_update: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        epsilon = checks.renamed(kwargs, "eps", "epsilon", epsilon)
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _scalars_by_rows(self, by_rows, scalars):
        # MXNet's kernel for rows, and only this one, reads all its numbers from text.
        texts = [kernels.as_read_by_mxnet(row, (True,) * len(row)) for row in scalars.table]
        return scalars.by_choice(by_rows, texts)

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.epsilon

    def step(self, indices, weights, grads, states):
        for weight, grad, history, _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)

            history += np.square(grad)
            weight -= lr * (grad / (np.sqrt(history) + self.epsilon))
