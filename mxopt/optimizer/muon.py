"""Muon."""

import fnmatch
import math

import numpy as np

from .. import checks, kernels
from ..arrays import interpolated, zeros_like
from ..slots import Form, StateSlot, like
from .optimizer import Optimizer, register
from .turns import Parted, PartedTurns

#: Coefficients of the Newton-Schulz iteration: the steepest slope at zero that keeps singular values near 1.
SLOPE, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315

_OF_THE_REST = Form(
    "of the weight's shape, empty for matrices",
    lambda shape, dtype: {"": ((0,) if len(shape) == 2 else shape, dtype)},
)


def orthogonalized(matrix, steps, epsilon):
    """A matrix with all singular values moved near 1, by Newton-Schulz iteration.

    Parameters
    ----------
    matrix : ndarray (m, n)
        float32 or float64, the type that the products are formed in.
    steps : int
    epsilon : float
        The least norm to divide by.

    Returns
    -------
    ndarray (m, n)
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = np.ascontiguousarray(matrix.T if tall else matrix)
    real = x.dtype.type
    x = x / max(np.sqrt(np.vdot(x, x)), real(epsilon))
    # a * x + (b * gram + c * gram @ gram) @ x, with the multiples of x and gram added in the diagonals:
    # passes over them would take a tenth of the time.
    rows, other = len(x), np.empty_like(x)
    gram, scaled, factor = (np.empty((rows, rows), x.dtype) for _ in range(3))
    for _ in range(steps):
        np.matmul(x, x.T, out=gram)
        np.multiply(gram, real(QUINTIC), out=scaled)
        scaled.flat[:: rows + 1] += real(CUBIC)
        np.matmul(gram, scaled, out=factor)
        factor.flat[:: rows + 1] += real(SLOPE)
        np.matmul(factor, x, out=other)
        x, other = other, x
    return x.T if tall else x


@register
class Muon(Optimizer):
    """Muon: the momentum of a matrix with all its singular values made equal; AdamW for all other weights.

    Updates of matrices are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mean = momentum * mean + (1 - momentum) * g
        ahead = momentum * mean + (1 - momentum) * g            # mean itself if not nesterov
        x = ahead / norm(ahead)                                 # transposed if it has more rows than columns
        repeat ns_steps times:
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        lr = learning_rate * sqrt(max(1, rows / columns))       # adjust_lr="original"
        lr = learning_rate * 0.2 * sqrt(max(rows, columns))     # adjust_lr="match_rms_adamw"
        weight = (1 - learning_rate * wd) * weight - lr * x

    Updates of all other weights are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        mean_hat, var_hat = mean / (1 - beta1**t), var / (1 - beta2**t)
        weight = (1 - learning_rate * wd) * weight - learning_rate * mean_hat / (sqrt(var_hat) + epsilon)

    Parameters
    ----------
    learning_rate : float, default 0.001
        Of both; `set_lr_mult` gives names a rate of their own.
    momentum : float, default 0.95
        Decay of the mean of a matrix's gradients.
    nesterov : bool, default True
        Look ahead along the momentum.
    ns_steps : int, default 5
        Iterations towards equal singular values.
    ns_epsilon : float, default 1e-7
        The least norm that a matrix is divided by.
    adjust_lr : {'original', 'match_rms_adamw'}, default 'original'
        How the rate follows the shape. With the second, a rate and decay tuned for AdamW work unchanged.
    adamw_names : str or sequence of str, default ()
        Names, or patterns of names, of matrices that AdamW steps all the same: embeddings, and layers next to
        the output.
    beta1 : float, default 0.9
        AdamW's decay of the first moment.
    beta2 : float, default 0.999
        AdamW's decay of the second moment.
    epsilon : float, default 1e-8
        Keeps AdamW's division finite.
    wd : float, default 0.1
        Weight decay of both.
    use_fused_step : bool, default True
        Run the compiled rule for what is not a matrix. Matrices take NumPy's products either way.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The update of matrices is that of ``torch.optim.Muon`` 2.13, with products in the weight's type (float32
    for 16-bit weights) where torch rounds to bfloat16. Products come from NumPy's BLAS, so that the last
    bits depend on it, on its threads and on the machine, and may differ between two runs. Arrays of three and
    more dimensions, such as convolution kernels, are not matrices; reshape them to step them as such.

    State: (mean, var), of the weight's dtype. mean is zeros of the weight's shape; var is the same, but empty
    for matrices.

    References
    ----------
    .. [1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
       https://kellerjordan.github.io/posts/muon/.
    .. [2] J. Liu et al., "Muon is Scalable for LLM Training", 2025, https://arxiv.org/abs/2502.16982.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("muon", learning_rate=0.1, wd=0.0)
    >>> weight = np.zeros((2, 2), np.float32)
    >>> opt.update(0, weight, np.array([[3, 0], [0, 5]], np.float32), opt.create_state(0, weight))
    >>> weight.round(2) + 0.0
    array([[-0.07,  0.  ],
           [ 0.  , -0.1 ]], dtype=float32)
    """

    family = "later"
    rules = ("muon",)
    state_slots = (StateSlot("mean"), StateSlot("var", form=_OF_THE_REST))
    scalar_names = ("kept", "step", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon",
                    "root_correct2")  # fmt: skip
    not_lazy_because = "it multiplies whole matrices"
    not_sharded_because = "it multiplies whole matrices"
    not_cautious_because = "the direction of a matrix is not made element by element"

    def __init__(self, learning_rate=0.001, momentum=0.95, nesterov=True, ns_steps=5, ns_epsilon=1e-7,
                 adjust_lr="original", adamw_names=(), beta1=0.9, beta2=0.999, epsilon=1e-8, wd=0.1,
                 use_fused_step=True, **kwargs):  # fmt: skip
        checks.lazy_update(self, kwargs.pop("lazy_update", False))
        super().__init__(learning_rate=learning_rate, wd=wd, use_fused_step=use_fused_step, **kwargs)
        self.momentum = checks.number("momentum", momentum, 0, 1, open_high=True)
        self.nesterov = bool(nesterov)
        self.ns_steps = checks.count("ns_steps", ns_steps, low=1)
        self.ns_epsilon = checks.number("ns_epsilon", ns_epsilon, 0, open_low=True)
        self.adjust_lr = checks.one_of("adjust_lr", adjust_lr, ("original", "match_rms_adamw"))
        names = (adamw_names,) if isinstance(adamw_names, str) else tuple(adamw_names)
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"adamw_names must be names or patterns of names, got {adamw_names!r}")
        self.adamw_names = names
        self._keep_moments(beta1, beta2, epsilon)

    def _new_state(self, index, weight, copied):
        mean, var = super()._new_state(index, weight, copied)
        name = self._name_of(index)
        if _is_matrix((mean, var)) and any(fnmatch.fnmatchcase(name, one) for one in self.adamw_names):
            var = like(weight, zeros_like(weight))
        return mean, var

    # -- the two kinds of weights ----------------------------------------------------------------------

    def _plan(self, indices, weights, grads, states, rule, lazy=None, ordered=False):
        found = [self._pair_of(index, state) for index, state in zip(indices, states)]
        turn = [_is_matrix(pair) for pair, _ in found]
        seen = [rebuilt(pair[0]) if matrix else state
                for (pair, rebuilt), matrix, state in zip(found, turn, states)]  # fmt: skip
        columns = list(indices), list(weights), list(grads), seen
        # Lion's rule takes what a matrix has: one state of the weight's shape.
        return Parted(self, super()._plan, columns, turn, kernels.RULES["lion"], rule)

    def _pair_of(self, index, state):
        """(mean, var) of a state, and a function that puts something else in its place."""
        if _is_pair(state):
            return state, lambda inner: inner
        at = self.master_position
        if isinstance(state, (tuple, list)) and len(state) == 2 and _is_pair(state[1 - at]):
            master = state[at]
            return state[1 - at], lambda inner: (master, inner) if at == 0 else (inner, master)
        raise TypeError(
            f"state of {checks.who(self, index)} must be the pair (mean, var); make it with create_state"
        )

    def _fused(self, indices, weights, grads, states, lazy=None):
        self._step_matrices(PartedTurns(self, indices, weights, grads, states))

    def step(self, indices, weights, grads, states):
        self._step_matrices(self._each(indices, weights, grads, states))

    def _step_matrices(self, each):
        for weight, grad, (mean, var), t, lr, wd in each:
            grad = self._prepared(grad)
            weight *= 1.0 - lr * wd
            if not _is_matrix((mean, var)):
                mean += (1.0 - self.beta1) * (grad - mean)
                var *= self.beta2
                var += (1.0 - self.beta2) * np.square(grad)
                divisor = np.sqrt(var) / math.sqrt(1.0 - self.beta2**t) + self.epsilon
                weight -= lr / (1.0 - self.beta1**t) * mean / divisor
                continue
            interpolated(mean, grad, 1.0 - self.momentum, out=mean)
            ahead = interpolated(grad, mean, self.momentum) if self.nesterov else mean
            direction = orthogonalized(ahead, self.ns_steps, self.ns_epsilon)
            direction *= lr * self._adjustment(*weight.shape)
            weight -= direction

    def _adjustment(self, rows, columns):
        """The factor of the learning rate that makes steps of matrices of all shapes alike."""
        if self.adjust_lr == "original":
            return math.sqrt(max(1.0, rows / max(columns, 1)))
        return 0.2 * math.sqrt(max(rows, columns))

    def _rules_of_others(self, plan, rates):
        """The rules of the tensors that are no matrices, and their scalars."""
        return [kernels.RULES[name] for name in self.rules], self._tabulated(rates, self.scalars)

    def scalars(self, t, lr, wd, *numbers):
        return (1.0 - lr * wd, lr / (1.0 - self.beta1**t), self._rescale, self._clip, self.beta1, self.beta2,
                self.epsilon, math.sqrt(1.0 - self.beta2**t))  # fmt: skip


def _is_pair(state):
    return isinstance(state, (tuple, list)) and len(state) == 2 and all(hasattr(a, "ndim") for a in state)


def _is_matrix(state):
    """Whether a state (mean, var) is that of a matrix."""
    mean, var = state
    return mean.ndim == 2 and var.ndim == 1 and not var.size
