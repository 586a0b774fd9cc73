"""Stochastic gradient Langevin dynamics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import checks, stream
from .optimizer import Optimizer, register


@register
class SGLD(Optimizer):
    """SGLD: half a gradient step plus noise, so that the weights become samples of the posterior.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        weight = weight - learning_rate / 2 * g + normal(0, sqrt(learning_rate))

    Parameters
    ----------
    learning_rate : float, default 0.1
        0 or more: it is the noise's variance. None: the scheduler's ``base_lr``, or 0.01 without one.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool, default False
        Touch only the rows of a row-sparse gradient, which alone get noise. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Attributes
    ----------
    generator : numpy.random.Generator, optional
        The source of the noise. None, the default: the stream that ``mxopt.random.seed`` restarts. It is
        neither saved nor copied with the optimizer.
    noise_position : tuple of int or None
        The position in that stream, its key and the next number's place; None with a generator. It is saved
        with the states, and loading them moves the stream there, so that a resumed run draws the noise of an
        uninterrupted one.

    Notes
    -----
    The noise is drawn tensor by tensor in element order, in float64 for float64 weights and in float32 for
    others. It is the same for any number of threads, in a list or alone, fused or not. It is not MXNet's
    stream. To sample the posterior of [1]_, `rescale_grad` must make the gradient that of the whole data set,
    and `wd` the inverse variance of a normal prior. 16-bit weights round most of the noise away; use
    `multi_precision`.

    State: None.

    References
    ----------
    .. [1] M. Welling and Y. W. Teh, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", ICML 2011.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> mxopt.random.seed(1)
    >>> opt = mxopt.create("sgld", learning_rate=0.01)
    >>> weight = np.zeros(100_000, np.float32)
    >>> opt.update(0, weight, np.ones_like(weight), opt.create_state(0, weight))
    >>> round(float(weight.mean()), 2), round(float(weight.std()), 2)
    (-0.01, 0.1)
    """

    rules = ("sgld",)
    not_cautious_because = "its noise has no direction to agree with"
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "deviation")
    text_scalars = ("clip_gradient",)
    generator = None
    progress = {"noise_position": stream.checked_position}

    @property
    def noise_position(self) -> tuple[int, int] | None:
        return stream.position() if self.generator is None else None

    @noise_position.setter
    def noise_position(self, position: tuple[int, int] | None) -> None:
        if position is not None and self.generator is None:
            stream.move_to(*stream.checked_position(position))

    not_exact_because = "its noise is drawn in the order of all elements"

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        use_fused_step: bool = True,
        lazy_update: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "generator"}

    def check_rates(self, index, lr, wd):
        if not lr >= 0:
            raise checks.negative_rate(self, index, lr)

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, math.sqrt(lr)

    def _draw(self, out):
        if self.generator is None:
            stream.fill(out)
        else:
            self.generator.standard_normal(out=out, dtype=out.dtype)

    def _noise(self, n):
        # The kernel generates it, unless there is a generator or an overriding `_draw`.
        return stream.places(n) if self.generator is None and "_draw" not in vars(self) else None

    def step(self, indices, weights, grads, states):
        for weight, grad, _, _, lr, wd in self._each(indices, weights, grads, states):
            noise = np.empty(weight.size, weight.dtype)
            self._draw(noise)
            weight -= lr / 2 * self._decayed(grad, weight, wd)
            weight += math.sqrt(lr) * noise.reshape(weight.shape)
