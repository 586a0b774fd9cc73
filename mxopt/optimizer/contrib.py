"""GroupAdaGrad, in the module where MXNet has it."""

import numpy as np

from .. import checks
from ..slots import ROW, WIDE, StateSlot
from .adagrad import AdaGrad
from .optimizer import register


def sum_of_rows(array):
    """The sum of each row, added in the order of oneDNN's reduction where registers hold 16 numbers.

    Numbers 0, 16, 32, ... of a row are added to a first sum, 1, 17, 33, ... to a second, up to the sixteenth.
    Leftover numbers at the end are summed separately and added to the first sum; then the sixteen sums are
    added up.

    Parameters
    ----------
    array : ndarray of two dimensions
        No negative elements.

    Returns
    -------
    ndarray of shape (rows, 1)
    """
    rows, width = array.shape
    whole = width - width % 16
    lanes = np.zeros((rows, 16), array.dtype)
    for begin in range(0, whole, 16):
        lanes += array[:, begin : begin + 16]
    if whole < width:
        lanes[:, :1] += _sum_of_register(array[:, whole:])
    return _sum_of_register(lanes)


def _sum_of_register(array):
    # A full register is folded in half until four numbers are left, which are added in turn; in a partial
    # one, each half is summed separately.
    width = array.shape[1]
    if width <= 4:
        return np.add.accumulate(array, axis=1)[:, -1:]
    half = 8 if width > 8 else 4
    left, right = array[:, :half], array[:, half:]
    if width == 2 * half:
        return _sum_of_register(left + right)
    return _sum_of_register(left) + _sum_of_register(right)


@register
class GroupAdaGrad(AdaGrad):
    """AdaGrad with one step size for each row of a matrix: for embeddings.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        history = history + mean(g**2, axis=1, keepdims=True)
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
        Touch only the rows of a row-sparse gradient. Not given: True with ``use_fused_step``, as MXNet's
        kernel does, and False without. Rows without a gradient do not change in either case.
    **kwargs
        Arguments of `Optimizer`; ``wd`` must be 0.

    Notes
    -----
    The history is AdaGrad's [1]_, averaged over the row. On any machine, squares are added in the order
    of MXNet's dense update on a processor with AVX-512 (`sum_of_rows`). Row-sparse gradients use that order
    too, where MXNet's kernel adds squares one by one.

    State: history of shape (rows, 1), zeros in float32 (float64 for a float64 weight, which MXNet refuses).

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
       Optimization", JMLR 12, 2011, http://www.jmlr.org/papers/volume12/duchi11a/duchi11a.pdf.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("groupadagrad", learning_rate=0.5)
    >>> weight = np.ones((3, 2), np.float32)
    >>> grad = mxopt.RowSparseArray(np.array([[1, 7]], np.float32), [1], (3, 2))
    >>> opt.update(0, weight, grad, opt.create_state(0, weight))
    >>> weight.round(4)
    array([[1. , 1. ],
           [0.9, 0.3],
           [1. , 1. ]], dtype=float32)
    """

    states_have_rows = True
    rules = ("groupadagrad",)
    not_cautious_because = "its rule works on whole rows"
    state_slots = (StateSlot("history", WIDE, ROW),)
    _sum_of_rows = staticmethod(sum_of_rows)

    def check_weight(self, index, weight):
        if np.ndim(weight) != 2:
            raise checks.not_a_matrix(self, index, weight)

    def check_rates(self, index, lr, wd):
        if wd != 0:
            raise checks.no_decay(self, index, wd)

    def _plan(self, indices, weights, *args, **kwargs):
        plan = super()._plan(indices, weights, *args, **kwargs)
        for index, weight in zip(indices, weights):
            self.check_weight(index, weight)
        return plan

    def step(self, indices, weights, grads, states):
        for weight, grad, history, _, lr, _ in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)

            history += self._sum_of_rows(np.square(grad)) / history.dtype.type(max(grad.shape[1], 1))
            weight -= self._descent(lr, grad, history)

    def _descent(self, lr, grad, history):
        return lr * (grad / (np.sqrt(history) + self.epsilon))
