"""Signum as in MXNet 1.9.1."""

from ...optimizer import signum
from .optimizer import Optimizer, register, update_impl


@register
class Signum(Optimizer, signum.Signum):
    """Signum, with 2.x's formula up to rounding; see `mxopt.optimizer.signum.Signum`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        mom = momentum * mom - (1 - momentum) * g
        weight = (1 - learning_rate * wd_lh) * weight + learning_rate * sign(mom)

    Parameters
    ----------
    learning_rate, momentum, wd_lh, lazy_update
        As in 2.x. 1.9 fails if `wd_lh` is given without momentum; here the weight decays as in 2.x.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] J. Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
       https://arxiv.org/abs/1802.04434.
    .. [2] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
       https://arxiv.org/abs/1711.05101.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("signum", learning_rate=0.25)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([8, -0.1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.75, 1.25, 1.  ], dtype=float32)
    """

    _update_impl = update_impl
    _impl_knows_masters = False
    rules = ("signsgd", "signum_v1")
