"""NovoGrad."""

import numpy as np

from .. import checks
from ..slots import MEAN, TENSOR, StateSlot
from .optimizer import Optimizer, register


@register
class NovoGrad(Optimizer):
    """NovoGrad: a momentum of gradients divided by their running norm, tensor by tensor.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        var = beta2 * var + (1 - beta2) * sum(g**2)             # sum(g**2) as long as var is 0
        direction = g / (sqrt(var) + epsilon) + wd * weight
        mean = beta1 * mean + direction
        weight = weight - learning_rate * mean

    With ``grad_averaging=True`` the direction is added to the mean times ``1 - beta1``. With
    ``decoupled_weight_decay=True`` the weight is multiplied by ``1 - learning_rate * wd`` instead of being
    added to the direction.

    With a row-sparse gradient and ``lazy_update=True`` weight and mean change only in the rows that the
    gradient holds. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta1 : float, default 0.95
        Decay of the momentum.
    beta2 : float, default 0.98
        Decay of the squared norm.
    epsilon : float, default 1e-8
        Keeps the division finite.
    grad_averaging : bool, default False
        Whether the momentum is a mean of directions rather than a sum.
    decoupled_weight_decay : bool, default False
        Decay the weight itself, not the direction.
    lazy_update : bool, default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rules rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The second moment is one number a tensor, so the state takes half of Adam's memory. The numbers are those
    of ``NvNovoGrad`` of timm 1.0.31 without AMSGrad.

    State: (mean, var). mean is zeros of the weight's shape and dtype, var a float64 zero of shape ().

    References
    ----------
    .. [1] B. Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of
       Deep Networks", 2019, https://arxiv.org/abs/1905.11286.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("novograd", learning_rate=0.5)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([3, -4], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.7, 1.4], dtype=float32)
    """

    family = "later"
    rules = ("novograd_norm", "novograd")
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", "float64", TENSOR))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "share", "before", "divisor", "var")
    unchecked = ("rescale_grad", "var")

    not_exact_because = "it divides by the norm of the whole tensor"

    def __init__(self, learning_rate=0.001, beta1=0.95, beta2=0.98, epsilon=1e-8, grad_averaging=False,
                 decoupled_weight_decay=False, lazy_update=False, use_fused_step=True,
                 **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.grad_averaging = bool(grad_averaging)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def _share(self):
        return 1.0 - self.beta1 if self.grad_averaging else 1.0

    def scalars(self, t, lr, wd):
        wd, before = (0.0, 1.0 - lr * wd) if self.decoupled_weight_decay else (wd, 1.0)
        return lr, wd, self._rescale, self._clip, self.beta1, self._share, before, 1.0, 0.0

    def _scalars_from(self, rates, numbers):
        scalars = self._tabulated(rates, self.scalars).each(len(numbers))
        var = self.scalar_names.index("var")
        scalars.table[:, var] = scalars.singles[:, var] = numbers[:, 0]
        return scalars

    def _next_var(self, var, squares):
        """The running squared norm; numbers or arrays."""
        return np.where(var == 0, squares, self.beta2 * var + (1.0 - self.beta2) * squares)

    def between(self, indices, rule, sums, scalars):
        divisor, var = map(self.scalar_names.index, ("divisor", "var"))
        with np.errstate(all="ignore"):
            scalars.table[:, var] = self._next_var(scalars.table[:, var], sums[:, 0])
            scalars.table[:, divisor] = np.sqrt(scalars.table[:, var]) + self.epsilon
        scalars.singles[:, divisor] = scalars.table[:, divisor]
        return scalars

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd if self.decoupled_weight_decay else 1.0

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)

            var[...] = self._next_var(var, np.sum(np.square(grad, dtype=np.float64)))
            direction = grad / weight.dtype.type(np.sqrt(var) + self.epsilon)
            if self.decoupled_weight_decay:
                weight *= 1.0 - lr * wd
            else:
                direction += wd * weight
            mean *= self.beta1
            mean += self._share * direction
            weight -= lr * mean
