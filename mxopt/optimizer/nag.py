"""Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import Any, Literal

from .. import checks
from .momentum import Momentum
from .optimizer import register


@register
class NAG(Momentum):
    """Nesterov's accelerated gradient: momentum that looks one step ahead.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        mom = momentum * mom - learning_rate * g
        weight = weight + momentum * mom - learning_rate * g     # momentum > 0
        weight = weight - learning_rate * g                      # momentum == 0

    Parameters
    ----------
    learning_rate : float, default 0.1
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    momentum : float, default 0.9
        0 or more; 0 keeps no state and is `SGD`.
    multi_precision : bool or 'split', default False
        Keep a float32 master copy of 16-bit weights, or its low half; see `Optimizer`.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', optional
        Touch only the rows of a row-sparse gradient. None: as MXNet, which does so without momentum and with
        ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    [1]_ evaluates the gradient where momentum alone would take the weight. Here, as in [2]_, the stored
    weight is that look-ahead point, so the gradient is taken at the weight itself.

    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] Y. Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)",
       Soviet Mathematics Doklady 27, 1983.
    .. [2] Y. Bengio et al., "Advances in optimizing recurrent networks", ICASSP 2013,
       https://arxiv.org/abs/1212.0901.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("nag", learning_rate=0.5, momentum=0.5)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.25, 1.  ], dtype=float32)
    """

    rules = ("sgd", "nag")

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.9,
        multi_precision: bool | Literal["split"] = False,
        use_fused_step: bool = True,
        lazy_update: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, multi_precision=multi_precision,
                         use_fused_step=use_fused_step, **kwargs)  # fmt: skip
        self.momentum = checks.number("momentum", momentum, 0)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def lazy_by_default(self):
        return not self.momentum

    def step(self, indices, weights, grads, states):
        for weight, grad, mom, _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)
            if mom is None:
                weight -= lr * grad
            else:
                mom *= self.momentum
                mom -= lr * grad
                weight += self.momentum * mom - lr * grad
