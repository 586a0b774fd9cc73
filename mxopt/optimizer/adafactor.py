"""Adafactor."""

import math

import numpy as np

from .. import checks, clipping, kernels
from ..arrays import as_array, interpolated, is_half
from ..slots import Form, StateSlot
from .optimizer import Optimizer, register
from .turns import Parted, PartedTurns


def _shapes(shape):
    """The shapes of (row, col, var) for a weight of some shape."""
    if len(shape) < 2:
        return (0,), (0,), shape
    return (*shape[:-1], 1), (*shape[:-2], 1, shape[-1]), (0,)


def _form(words, part):
    return Form(words, lambda shape, dtype: {"": (_shapes(shape)[part], dtype)})


_OF_ROWS = _form("a number for each row", 0)
_OF_COLUMNS = _form("a number for each column", 1)
_OF_VECTORS = _form("of the weight's shape, empty for matrices", 2)


@register
class Adafactor(Optimizer):
    """Adafactor: Adam's second moment in the memory of a row and a column, with steps relative to the weight.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        share = t**beta2_decay
        row = (1 - share) * row + share * mean(g**2, axis=-1)
        col = (1 - share) * col + share * mean(g**2, axis=-2)
        var = row * col / max(mean(row), epsilon1)
        var = (1 - share) * var + share * g**2                  # of vectors and numbers
        u = g / max(sqrt(var), epsilon1)
        step = min(learning_rate, 1 / sqrt(t)) * max(epsilon2, rms(weight))
        weight = (1 - learning_rate * wd) * weight - step * u / max(1, rms(u) / clip_threshold)

    where ``rms(x)`` is the root of the mean of squares of the whole tensor.

    Parameters
    ----------
    learning_rate : float, default 0.01
        The largest relative step.
    beta2_decay : float, default -0.8
        The power of t by which a gradient's share in the moment falls; 0 or less.
    epsilon1 : float, optional
        The smallest root of the moment. Default: the spacing of numbers at 1, 1.2e-7 in float32.
    epsilon2 : float, default 0.001
        The smallest size of a weight that steps are relative to.
    clip_threshold : float, default 1.0
        The largest root mean square of an update; 1 or more.
    use_fused_step : bool, default True
        Run the compiled rules rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    With more than two dimensions, the last two are those of a matrix. Vectors and numbers have no rows and
    columns, so they keep a whole second moment. The numbers are those of
    ``torch.optim.Adafactor`` 2.13, which takes `epsilon1` elsewhere than the paper does.

    State: (row, col, var), zeros in the weight's dtype. Of a matrix row has shape (..., rows, 1), col has
    (..., 1, columns) and var is empty; of a vector row and col are empty and var has its shape.

    References
    ----------
    .. [1] N. Shazeer and M. Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
       ICML 2018, https://arxiv.org/abs/1804.04235.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adafactor", learning_rate=0.5)
    >>> weight = np.ones((2, 3), np.float32)
    >>> state = opt.create_state(0, weight)
    >>> [part.shape for part in state]
    [(2, 1), (1, 3), (0,)]
    >>> opt.update(0, weight, np.full((2, 3), 7, np.float32), state)
    >>> weight.round(4)
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]], dtype=float32)
    """

    family = "later"
    rules = ("adafactor_sizes", "adafactor_vector")
    scalar_names = ("kept", "step", "rescale_grad", "clip_gradient", "share", "least", "weight_size",
                    "update_size")  # fmt: skip
    state_slots = (
        StateSlot("row", form=_OF_ROWS),
        StateSlot("col", form=_OF_COLUMNS),
        StateSlot("var", form=_OF_VECTORS),
    )
    states_of_rules = ("var",)
    not_lazy_because = "it sums over the rows and columns of the whole tensor"
    not_sharded_because = not_lazy_because
    not_cautious_because = "its updates are clipped by the size of all of them"

    def __init__(self, learning_rate=0.01, beta2_decay=-0.8, epsilon1=None, epsilon2=0.001,
                 clip_threshold=1.0, use_fused_step=True, **kwargs):  # fmt: skip
        checks.lazy_update(self, kwargs.pop("lazy_update", False))
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta2_decay = checks.number("beta2_decay", beta2_decay, -100, 0)
        self.epsilon1 = checks.optional_number("epsilon1", epsilon1, low=0)
        self.epsilon2 = checks.number("epsilon2", epsilon2, 0)
        self.clip_threshold = checks.number("clip_threshold", clip_threshold, 1)

    def _plan(self, indices, weights, grads, states, rule, lazy=None, ordered=False):
        found = [self._parts_of(index, *pair) for index, *pair in zip(indices, weights, states)]
        columns = list(indices), list(weights), list(grads), [seen for seen, _ in found]
        # Plain SGD's rule has no state: the plan of matrices is of weights, masters and gradients.
        return Parted(self, super()._plan, columns, [turns for _, turns in found], kernels.RULES["sgd"], rule)

    def _parts_of(self, index, weight, state):
        """What a plan needs to see of a state, and whether it is a matrix; raises if parts do not fit."""
        at, master = self.master_position, None
        if not isinstance(weight, np.ndarray):
            weight = as_array(weight, f"weight of {checks.who(self, index)}")
        if self.multi_precision and is_half(weight.dtype):
            if not isinstance(state, (tuple, list)) or len(state) != 2:
                raise checks.refused(kernels.Refused("pair", 0, 2), self, [index], [weight], [None], [state])
            master, state = state[at], state[1 - at]
        if not isinstance(state, (tuple, list)) or len(state) != 3:
            raise TypeError(
                f"state of {checks.who(self, index)} must be (row, col, var); make it with create_state"
            )
        is_matrix = weight.ndim > 1 and weight.size > 0
        for slot, part, shape in zip(self.state_slots, state, _shapes(weight.shape)):
            if getattr(part, "shape", None) != shape:
                raise ValueError(
                    f"{slot.name} of {checks.who(self, index)} must have shape {shape} for its weight "
                    f"of shape {weight.shape}, got {np.shape(part)}; make it with create_state"
                )
            if is_matrix and not part.flags.writeable:
                raise ValueError(
                    f"{slot.name} of {checks.who(self, index)} is updated in place but is read-only; pass a "
                    "writable copy made by numpy.array(...)"
                )
        seen = None if is_matrix else state[2] if weight.ndim < 2 else np.empty(weight.shape, weight.dtype)
        if master is not None:
            seen = (master, seen) if at == 0 else (seen, master)
        return seen, is_matrix

    def _numbers(self, real, t, lr):
        """(share, the smallest root of the moment, the relative step) of the t-th update."""
        least = float(np.finfo(real).eps) if self.epsilon1 is None else self.epsilon1
        return float(t) ** self.beta2_decay, least, min(lr, 1.0 / math.sqrt(t))

    def _fused(self, indices, weights, grads, states, lazy=None):
        each = _InPlace(self, indices, weights, grads, states)
        for weight, *turn in each:
            each.add(weight, self._compiled(weight, *turn))

    def _compiled(self, weight, grad, state, t, lr, wd):
        """What is left to do for one array of matrices: a pass that steps it."""
        (row, col, _), real = state, weight.dtype.type
        share, least, step = self._numbers(real, t, lr)
        rows, columns = weight.shape[-2:]
        work = kernels.Factored(np.ascontiguousarray(grad), self._rescale, self._clip)
        along_rows, along_columns = work.sums()
        row[...] = interpolated(row, (along_rows / columns).astype(real), share)
        col[...] = interpolated(col, (along_columns / rows).astype(real), share)
        means = np.maximum(row.mean(axis=-2, dtype=np.float64), least)
        work.with_moment(row, col, means, least * least)
        weight_squares = clipping.squares(clipping.planned([weight]))[0]
        step *= max(self.epsilon2, math.sqrt(weight_squares / weight.size))
        step /= max(1.0, math.sqrt(work.squares() / weight.size) / self.clip_threshold)
        return work.stepping(weight, 1.0 - lr * wd, step)

    def scalars(self, t, lr, wd):
        share, least, step = self._numbers(np.float64, t, lr)
        return 1.0 - lr * wd, step, self._rescale, self._clip, share, least * least, 0.0, 0.0

    def _rules_of_others(self, plan, rates):
        """The rules of vectors and numbers, and their scalars."""
        scalars = self._tabulated(rates, self.scalars).each(len(rates))
        step, least = map(self.scalar_names.index, ("step", "least"))
        scalars.singles[:, least] = self._numbers(np.float32, 1, 0.0)[1] ** 2
        first, last = (kernels.RULES[name] for name in self.rules)
        sums = plan.run(first, scalars.table, scalars.rows, scalars.singles)
        with np.errstate(all="ignore"):
            weight_rms, update_rms = np.sqrt(sums / np.maximum(plan.sizes, 1)[:, None]).T
            scalars.table[:, step] *= np.fmax(self.epsilon2, weight_rms)
            scalars.table[:, step] /= np.fmax(1.0, update_rms / self.clip_threshold)
        scalars.singles[:, step] = scalars.table[:, step]
        return [last], scalars

    def step(self, indices, weights, grads, states):
        for turn in self._each(indices, weights, grads, states):
            self._step(*turn)

    def _step(self, weight, grad, state, t, lr, wd):
        if not weight.size:
            return
        (row, col, var), real = state, weight.dtype.type
        share, least, step = self._numbers(real, t, lr)
        grad = self._prepared(grad)
        squares = np.square(grad)
        if grad.ndim > 1:
            row[...] = interpolated(row, _mean(squares, -1), share)
            col[...] = interpolated(col, _mean(squares, -2), share)
            moment = row * col / np.maximum(_mean(row, -2), real(least))
        else:
            var[...] = moment = interpolated(var, squares, share)
        update = grad * (real(1) / np.sqrt(np.maximum(moment, real(least * least))))
        step *= max(self.epsilon2, _rms(weight))
        step /= max(1.0, _rms(update) / self.clip_threshold)
        weight *= 1.0 - lr * wd
        weight -= step * update


class _InPlace(PartedTurns):
    """Turns that pass on weights themselves where the compiled functions can step them, at the very end."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.works, self.copy = [], None

    def _working(self, weight, main, pairs, dtype):
        if main is weight and main.flags.c_contiguous and main.dtype in (np.float32, np.float64):
            return np.asarray(main)
        values = main.widened() if isinstance(main, kernels.Split) else main
        copy = np.array(values, np.float64 if main.dtype == np.float64 else np.float32, order="C")
        pairs.append((main, copy))
        self.copy = copy
        return copy

    def add(self, weight, work):
        """Have a weight stepped: now if it is a copy, else when everything is written."""
        if weight is self.copy:
            work.take()
        else:
            self.works.append(work)


def _mean(array, axis):
    return array.mean(axis=axis, keepdims=True)


def _rms(array):
    return math.sqrt(np.square(array, dtype=np.float64).mean())
