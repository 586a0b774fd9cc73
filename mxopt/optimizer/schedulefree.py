"""Schedule-Free SGD and AdamW."""

import numpy as np

from .. import checks, kernels
from ..arrays import interpolated, is_half
from ..slots import SQUARES, TENSOR, StateSlot
from .optimizer import Optimizer, register


class ScheduleFree(Optimizer):
    """What both Schedule-Free optimizers share: the average, its shares, and the way between two points.

    While training, a weight lies at the point where gradients are taken, ``y``; for evaluation it is moved
    to ``x``, the average of all iterates ``z``. ``y = momentum * x + (1 - momentum) * z`` is all that
    connects them, so ``x`` is never stored.
    """

    family = "later"
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "toward", "ahead", "beta2", "epsilon",
                    "correct2", "weight_sum", "lr_max", "evaluating")  # fmt: skip

    has_two_points = True
    not_cautious_because = "its weight moves towards an average as well as along the gradient"

    def _keep_average(self, warmup_steps, r, weight_lr_power):
        self.warmup_steps = checks.count("warmup_steps", warmup_steps, low=0)
        self.r = checks.number("r", r)
        self.weight_lr_power = checks.number("weight_lr_power", weight_lr_power)

    @property
    def _interpolation(self):
        """The share of the average in the weight while training."""
        raise NotImplementedError

    def _moment_scalars(self, t):
        """(beta2, epsilon, correct2), for those with a second moment."""
        return 0.0, 0.0, 1.0

    def _next_share(self, t, lr, weight_sum, lr_max):
        """(learning rate, the iterate's share of the average, weight_sum, lr_max) of the t-th update."""
        if t <= self.warmup_steps:
            lr *= t / self.warmup_steps
        lr_max = max(lr, lr_max)
        weight = t**self.r * lr_max**self.weight_lr_power if lr_max or self.weight_lr_power >= 0 else 0.0
        weight_sum += weight
        return lr, weight / weight_sum if weight_sum else 0.0, weight_sum, lr_max

    def scalars(self, t, lr, wd, *numbers):
        weight_sum, lr_max, evaluating = numbers or (0.0, 0.0, 0.0)
        if evaluating:
            raise checks.stepped_at_average(self)
        lr, share, weight_sum, lr_max = self._next_share(t, lr, weight_sum, lr_max)
        return (lr, wd, self._rescale, self._clip, share, lr * (self._interpolation * (1.0 - share) - 1.0),
                *self._moment_scalars(t), weight_sum, lr_max, 0.0)  # fmt: skip

    def step(self, indices, weights, grads, states):
        for weight, grad, state, t, lr, wd in self._each(indices, weights, grads, states):
            z, *moments, weight_sum, lr_max, evaluating = state
            if evaluating:
                raise checks.stepped_at_average(self)
            lr, share, weight_sum[...], lr_max[...] = self._next_share(
                t, lr, float(weight_sum), float(lr_max)
            )

            direction = self._direction(self._prepared(grad), t, *moments) + wd * weight
            weight[...] = interpolated(weight, z, share)
            weight += lr * (self._interpolation * (1.0 - share) - 1.0) * direction
            z -= lr * direction

    def move(self, index, weight, state, evaluating):
        """A weight at its other point.

        Parameters
        ----------
        index : int or str
        weight : ndarray
        state : tuple
            Its state.
        evaluating : bool
            Whether to move it to the average rather than back.

        Returns
        -------
        list of (ndarray, ndarray)
            The arrays that change and their new contents; empty if the weight is there already.
        """
        main = weight
        if self.multi_precision and is_half(weight.dtype):
            main, state = state[self.master_position], state[1 - self.master_position]
        split = main.of(weight) if isinstance(main, kernels.Split) else None
        if split is not None:
            main = split.widened()
        z, flag = state[0], state[-1]
        if z.shape != weight.shape:
            raise ValueError(
                f"weight of {checks.who(self, index)} must have the shape of its state, {z.shape}, got "
                f"{weight.shape}"
            )
        if bool(flag) == evaluating:
            return []
        share = 1.0 - (1.0 / self._interpolation if evaluating else self._interpolation)
        real = np.float32 if is_half(main.dtype) else main.dtype
        moved = interpolated(main.astype(real), z.astype(real), share)
        changed = [(flag, np.array(float(evaluating)))]
        if split is not None:
            return [*changed, *zip((weight, split.low), split.halves_of(moved))]
        changed.append((main, moved.astype(main.dtype)))
        if main is not weight:
            changed.append((weight, moved.astype(weight.dtype)))
        return changed


@register
class ScheduleFreeSGD(ScheduleFree):
    """Schedule-Free SGD: iterates are averaged instead of the learning rate being decayed.

    Updates are applied by::

        lr = learning_rate * min(t / warmup_steps, 1)
        lr_max = max(lr, lr_max)
        weight_sum = weight_sum + t**r * lr_max**weight_lr_power
        share = t**r * lr_max**weight_lr_power / weight_sum

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        weight = (1 - share) * weight + share * z - lr * (1 - momentum * (1 - share)) * g
        z = z - lr * g

    `Updater.eval` and `Trainer.eval` move weights to the average, `train` moves them back; a step in between
    is refused.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and state. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 1.0
        Larger than SGD's; it needs no schedule.
    momentum : float, default 0.9
        The average's share in the point where gradients are taken; above 0 and below 1.
    warmup_steps : int, default 0
        Updates over which the learning rate rises to its value.
    r : float, default 0.0
        Power of t by which late iterates count more.
    weight_lr_power : float, default 2.0
        Power of the largest learning rate so far by which iterates count.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The numbers are those of ``SGDScheduleFree`` of schedulefree 1.4.1; t is a tensor's own update count.

    State: (z, weight_sum, lr_max, evaluating). z starts as a copy of the weight; the others are float64
    numbers of shape (). evaluating is 1 while the weight lies at the average.

    References
    ----------
    .. [1] A. Defazio et al., "The Road Less Scheduled", NeurIPS 2024, https://arxiv.org/abs/2405.15682.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("schedulefreesgd", learning_rate=0.5)
    >>> updater, weight = mxopt.get_updater(opt), np.ones(2, np.float32)
    >>> updater(0, np.array([1, -1], np.float32), weight)
    >>> weight
    array([0.5, 1.5], dtype=float32)
    >>> updater(0, np.array([1, -1], np.float32), weight)
    >>> updater.eval(0, weight)
    >>> weight
    array([0.25, 1.75], dtype=float32)
    """

    rules = ("schedulefreesgd",)
    state_slots = (
        StateSlot("z", start="weight"),
        StateSlot("weight_sum", "float64", TENSOR),
        StateSlot("lr_max", "float64", TENSOR),
        StateSlot("evaluating", "float64", TENSOR),
    )

    def __init__(self, learning_rate=1.0, momentum=0.9, warmup_steps=0, r=0.0, weight_lr_power=2.0,
                 lazy_update=False, use_fused_step=True, **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum = checks.number("momentum", momentum, 0, 1, open_low=True, open_high=True)
        self._keep_average(warmup_steps, r, weight_lr_power)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def _interpolation(self):
        return self.momentum

    def _direction(self, grad, t):
        return grad


@register
class ScheduleFreeAdamW(ScheduleFree):
    """Schedule-Free AdamW: iterates are averaged instead of the learning rate being decayed.

    Updates are applied by::

        lr = learning_rate * min(t / warmup_steps, 1)
        lr_max = max(lr, lr_max)
        weight_sum = weight_sum + t**r * lr_max**weight_lr_power
        share = t**r * lr_max**weight_lr_power / weight_sum

        g = clip(grad * rescale_grad, clip_gradient)
        var = beta2 * var + (1 - beta2) * g**2
        direction = g / (sqrt(var / (1 - beta2**t)) + epsilon) + wd * weight
        weight = (1 - share) * weight + share * z - lr * (1 - beta1 * (1 - share)) * direction
        z = z - lr * direction

    `Updater.eval` and `Trainer.eval` move weights to the average, `train` moves them back; a step in between
    is refused.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.0025
    beta1 : float, default 0.9
        The average's share in the point where gradients are taken; above 0 and below 1.
    beta2 : float, default 0.999
        Decay of the mean of squares.
    epsilon : float, default 1e-8
        Keeps the division finite.
    warmup_steps : int, default 0
        Updates over which the learning rate rises to its value.
    r : float, default 0.0
        Power of t by which late iterates count more.
    weight_lr_power : float, default 2.0
        Power of the largest learning rate so far by which iterates count.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The numbers are those of ``AdamWScheduleFree`` of schedulefree 1.4.1; t is a tensor's own update count.
    Decay is taken at the weight, as there.

    State: (z, var, weight_sum, lr_max, evaluating). z starts as a copy of the weight, var as zeros of its
    shape and dtype; the others are float64 numbers of shape (). evaluating is 1 while the weight lies at the
    average.

    References
    ----------
    .. [1] A. Defazio et al., "The Road Less Scheduled", NeurIPS 2024, https://arxiv.org/abs/2405.15682.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("schedulefreeadamw", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([2, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    rules = ("schedulefreeadamw",)
    state_slots = (
        ScheduleFreeSGD.state_slots[0],
        StateSlot("var", numbers=SQUARES),
        *ScheduleFreeSGD.state_slots[1:],
    )

    def __init__(self, learning_rate=0.0025, beta1=0.9, beta2=0.999, epsilon=1e-8, warmup_steps=0, r=0.0,
                 weight_lr_power=2.0, lazy_update=False, use_fused_step=True, **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1 = checks.number("beta1", beta1, 0, 1, open_low=True, open_high=True)
        self.beta2 = checks.number("beta2", beta2, 0, 1, open_high=True)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self._keep_average(warmup_steps, r, weight_lr_power)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def _interpolation(self):
        return self.beta1

    def _moment_scalars(self, t):
        return self.beta2, self.epsilon, 1.0 - self.beta2**t

    def _direction(self, grad, t, var):
        var *= self.beta2
        var += (1.0 - self.beta2) * np.square(grad)
        return grad / (np.sqrt(var / (1.0 - self.beta2**t)) + self.epsilon)
