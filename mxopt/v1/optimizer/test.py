"""The optimizer that MXNet 1.9.1's own tests use."""

from ... import kernels
from ...optimizer import test
from .optimizer import Optimizer, register


@register
class Test(Optimizer, test.Test):
    """Adds the gradient, for tests of everything around an optimizer.

    Updates are applied by::

        weight = weight + rescale_grad * grad
        state = weight

    Parameters
    ----------
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`; learning rate, weight decay and clipping are not applied, and updates are
        not counted.

    Notes
    -----
    State: zeros of the weight's shape in float32, even for float64 weights; updates set it to the weight.

    References
    ----------
    .. [1] ``mxnet.optimizer.Test``, https://github.com/apache/mxnet.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("test")
    >>> weight, state = np.ones(2, np.float32), np.zeros(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), state)
    >>> weight, state
    (array([2., 1.], dtype=float32), array([2., 1.], dtype=float32))
    """

    rules = ("test_v1",)

    def _ahead(self, indices):
        return [(0, 0.0, 0.0)], kernels.Ledger({}, (), 0, self)

    def step(self, indices, weights, grads, states):
        for weight, grad, state, *_ in self._each(indices, weights, grads, states):
            weight += self._rescale * grad
            state[...] = weight
