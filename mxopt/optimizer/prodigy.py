"""Prodigy."""

import functools
import math

import numpy as np

from .. import checks, kernels
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


def _finite(name, value):
    """A finite number; unlike those that rules compute with, it may be larger than a float32."""
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return value


@register
class Prodigy(Optimizer):
    """Prodigy: Adam that finds its own learning rate from how far the weights have moved.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        rate = d * learning_rate
        mean = beta1 * mean + d * (1 - beta1) * g
        var = beta2 * var + d**2 * (1 - beta2) * g**2
        distance = beta3 * distance + d / d0 * rate * g

        d_numerator = beta3 * d_numerator + d / d0 * rate * sum(g * (start - weight))
        d_hat = d_coef * d_numerator / sum(abs(distance))
        d = max(d, d_hat) if d == d0 else d
        d_max = max(d_max, d_hat)
        d = min(d_max, d * growth_rate)

        weight = weight - rate * wd * weight - rate * mean / (sqrt(var) + d * epsilon)

    The sums run over all tensors of a call, so all weights of a model must come in one call, as `Trainer`
    makes it.

    Parameters
    ----------
    learning_rate : float, default 1.0
        A factor of the rate that is found; schedules apply to it.
    beta1 : float, default 0.9
        Decay of the first moment.
    beta2 : float, default 0.999
        Decay of the second moment.
    beta3 : float, optional
        Decay of the sums. Default: the square root of beta2.
    epsilon : float, default 1e-8
        Keeps the division finite; above 0.
    decouple : bool, default True
        Decay the weight itself (AdamW). False adds ``wd * weight`` to the gradient.
    bias_correction : bool, default False
        Correct the rate for the start of the moments at zero.
    safeguard_warmup : bool, default False
        Leave the learning rate out of `distance`: for schedules that start near zero.
    d0 : float, default 1e-06
        The first estimate of the distance; above 0.
    d_coef : float, default 1.0
        A factor of every estimate: the way to make all steps larger or smaller.
    growth_rate : float, optional
        By how much the estimate may grow in a step. Default: no limit.
    use_fused_step : bool, default True
        Run the compiled rules rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Attributes
    ----------
    d, d_max, d_numerator : float
        The estimate of the distance, the largest so far, and the running sum; saved with the states.

    Notes
    -----
    The numbers are those of ``Prodigy`` of prodigyopt 1.1.2 with ``slice_p=1``. Where multipliers give
    tensors different rates, which it refuses, each takes its own.

    State: (mean, var, distance, start), of the weight's shape and dtype; start is a copy of the first
    weight, the others are zeros.

    References
    ----------
    .. [1] K. Mishchenko and A. Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
       ICML 2024, https://arxiv.org/abs/2306.06101.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("prodigy", d0=0.1)
    >>> weight = np.zeros(2, np.float32)
    >>> updater = mxopt.get_updater(opt)
    >>> for _ in range(100):
    ...     updater(0, weight - np.array([3, -2], np.float32), weight)
    >>> bool(np.abs(weight - [3, -2]).max() < 0.1)
    True
    """

    family = "later"
    rules = ("prodigy_sums", "prodigy")
    state_slots = (
        StateSlot("mean", numbers=MEAN),
        StateSlot("var", numbers=SQUARES),
        StateSlot("distance"),
        StateSlot("start", start="weight"),
    )
    scalar_names = ("wd", "decay", "rescale_grad", "clip_gradient", "beta1", "beta2", "beta3", "mean_share",
                    "var_share", "distance_share", "step", "epsilon")  # fmt: skip
    progress = {name: functools.partial(_finite, name) for name in ("d", "d_max", "d_numerator")}
    not_lazy_because = "its estimate of the distance is made of all rows"
    not_sharded_because = "it sums over all tensors of a step"

    def __init__(self, learning_rate=1.0, beta1=0.9, beta2=0.999, beta3=None, epsilon=1e-8, decouple=True,
                 bias_correction=False, safeguard_warmup=False, d0=1e-6, d_coef=1.0, growth_rate=None,
                 use_fused_step=True, **kwargs):  # fmt: skip
        checks.lazy_update(self, kwargs.pop("lazy_update", False))
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.beta3 = checks.optional_number("beta3", beta3, low=0)
        self.decouple = bool(decouple)
        self.bias_correction = bool(bias_correction)
        self.safeguard_warmup = bool(safeguard_warmup)
        self.d0 = checks.number("d0", d0, 0, open_low=True)
        self.d_coef = checks.number("d_coef", d_coef, 0)
        self.growth_rate = checks.optional_number("growth_rate", growth_rate, low=1)
        self.d = self.d_max = self.d0
        self.d_numerator = 0.0

    @property
    def _beta3(self):
        return math.sqrt(self.beta2) if self.beta3 is None else self.beta3

    def _rate(self, t, lr):
        """The learning rate of a tensor times the distance, with its correction."""
        if self.bias_correction:
            lr *= math.sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t)
        return self.d * lr

    def _distance_share(self, rate):
        return self.d / self.d0 * (self.d if self.safeguard_warmup else rate)

    def scalars(self, t, lr, wd, *numbers):
        rate = self._rate(t, lr)
        coupled, decay = (0.0, rate * wd) if self.decouple else (wd, 0.0)
        return (coupled, decay, self._rescale, self._clip, self.beta1, self.beta2, self._beta3,
                self.d * (1.0 - self.beta1), self.d * self.d * (1.0 - self.beta2),
                self._distance_share(rate), rate, self.d * self.epsilon)  # fmt: skip

    def _estimated(self, rates, ways, distances):
        """The attributes that a step changes, from each tensor's rate and sums."""
        numerator = self._beta3 * self.d_numerator
        numerator += math.fsum(self.d / self.d0 * rate * way for rate, way in zip(rates, ways))
        total = math.fsum(distances)
        d, d_max = self.d, self.d_max
        if not total:  # all gradients so far were zero
            return {"d": d, "d_max": d_max, "d_numerator": self.d_numerator}
        d_hat = self.d_coef * numerator / total
        if d == self.d0:
            d = max(d, d_hat)
        d_max = max(d_max, d_hat)
        d = d_max if self.growth_rate is None else min(d_max, d * self.growth_rate)
        return {"d": d, "d_max": d_max, "d_numerator": numerator}

    def _with_norms(self, indices, plan, scalars, ledger):
        if ledger.number is None:
            raise checks.one_by_one(self, indices)
        sums_of, step_by = (kernels.RULES[name] for name in self.rules)
        sums = plan.run(sums_of, scalars.table, scalars.rows, scalars.singles)
        scalars = scalars.each(len(sums))
        rate, epsilon = map(self.scalar_names.index, ("step", "epsilon"))
        ledger.attributes = found = self._estimated(scalars.table[:, rate].tolist(), *sums.T.tolist())
        scalars.table[:, epsilon] = scalars.singles[:, epsilon] = found["d"] * self.epsilon
        return [step_by], scalars, None

    def _kept(self, t, lr, wd):
        return 1.0 - self._rate(t, lr) * wd if self.decouple else 1.0

    def step(self, indices, weights, grads, states):
        each = self._each(indices, weights, grads, states)
        if not each.indices:
            return
        if each.ledger.number is None:
            raise checks.one_by_one(self, each.indices)
        rates, ways, distances = [], [], []
        for weight, grad, (_, _, distance, start), t, lr, wd in each.look():
            grad = self._prepared(grad) if self.decouple else self._decayed(grad, weight, wd)
            rates.append(self._rate(t, lr))
            ways.append(np.sum(grad * (start - weight), dtype=np.float64).item())
            distance = self._beta3 * distance + self._distance_share(rates[-1]) * grad
            distances.append(np.sum(np.abs(distance), dtype=np.float64).item())
        each.ledger.attributes = found = self._estimated(rates, ways, distances)

        for weight, grad, (mean, var, distance, _), t, lr, wd in each:
            grad = self._prepared(grad) if self.decouple else self._decayed(grad, weight, wd)
            rate = self._rate(t, lr)
            mean *= self.beta1
            mean += self.d * (1.0 - self.beta1) * grad
            var *= self.beta2
            var += self.d * self.d * (1.0 - self.beta2) * np.square(grad)
            distance *= self._beta3
            distance += self._distance_share(rate) * grad
            if self.decouple:
                weight -= (rate * wd) * weight
            weight -= rate * mean / (np.sqrt(var) + found["d"] * self.epsilon)
