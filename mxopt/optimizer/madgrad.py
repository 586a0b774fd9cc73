"""MADGRAD."""

import math

import numpy as np

from .. import checks
from ..slots import StateSlot
from .optimizer import Optimizer, register


@register
class MADGRAD(Optimizer):
    """MADGRAD: momentum and dual averaging, with the cube root of summed squares.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        lr_t = (learning_rate + epsilon) * sqrt(t)
        squares = squares + lr_t * g**2
        total = total + lr_t * g
        target = start - total / (cbrt(squares) + epsilon)
        weight = momentum * weight + (1 - momentum) * target

    ``start`` is the weight before the first step. With ``decoupled_weight_decay=True``, g is without weight
    decay and the weight is multiplied by ``1 - learning_rate * wd`` first.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.01
    momentum : float, default 0.9
        The share of the old weight that is kept; with 0 the state has no ``start``.
    epsilon : float, default 1e-6
        Keeps the division finite; added to the rate as well.
    decoupled_weight_decay : bool, default False
        Decay the weight itself rather than through the gradient.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`. Needs less ``wd`` than SGD or Adam, often none.

    Notes
    -----
    The numbers are those of ``MADGRAD`` of timm 1.0.31, whose ``decoupled_decay`` is `decoupled_weight_decay`
    here.

    State: (squares, total, start), zeros of the weight's shape and dtype and a copy of the weight;
    (squares, total) without momentum.

    References
    ----------
    .. [1] A. Defazio and S. Jelassi, "Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged
       Gradient Method for Stochastic Optimization", JMLR 23, 2022, https://arxiv.org/abs/2101.11075.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("madgrad", learning_rate=1.0, momentum=0.0)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([8, -1, 1], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([-1.,  2.,  0.], dtype=float32)
    """

    family = "later"
    rules = ("madgrad_plain", "madgrad")
    not_cautious_because = "its weight is a function of its states, whatever it was before"
    state_slots = (
        StateSlot("squares"),
        StateSlot("total"),
        StateSlot("start", when="momentum", start="weight"),
    )
    scalar_names = ("step_size", "wd", "decay", "rescale_grad", "clip_gradient", "epsilon", "share")

    def __init__(self, learning_rate=0.01, momentum=0.9, epsilon=1e-6, decoupled_weight_decay=False,
                 lazy_update=False, use_fused_step=True, **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum = checks.number("momentum", momentum, 0, 1, open_high=True)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def passes(self):
        return (self.rules[self.momentum != 0],)

    def scalars(self, t, lr, wd):
        coupled, decay = (0.0, lr * wd) if self.decoupled_weight_decay else (wd, 0.0)
        return ((lr + self.epsilon) * math.sqrt(t), coupled, decay, self._rescale, self._clip, self.epsilon,
                1.0 - self.momentum)  # fmt: skip

    def step(self, indices, weights, grads, states):
        for weight, grad, (squares, total, *start), t, lr, wd in self._each(indices, weights, grads, states):
            if self.decoupled_weight_decay:
                grad = self._prepared(grad)
                weight *= 1.0 - lr * wd
            else:
                grad = self._decayed(grad, weight, wd)
            begun = start[0] if start else weight + total / (_cube_root(squares) + self.epsilon)

            step = (lr + self.epsilon) * math.sqrt(t)
            squares += step * np.square(grad)
            total += step * grad
            target = begun - total / (_cube_root(squares) + self.epsilon)
            if start:
                weight *= self.momentum
                weight += (1.0 - self.momentum) * target
            else:
                weight[...] = target


def _cube_root(array):
    """The cube root as PyTorch computes it: its exponent is rounded to the array's type."""
    return np.power(array, array.dtype.type(1 / 3))
