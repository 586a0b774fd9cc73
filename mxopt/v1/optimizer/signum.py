"""Signum as in MXNet 1.9.1."""

from ...optimizer import signum
from .optimizer import Optimizer, register


@register
class Signum(Optimizer, signum.Signum):
    """Signum, with 2.x's formula up to rounding; see `mxopt.optimizer.signum.Signum`.

    Parameters
    ----------
    learning_rate, momentum, wd_lh, lazy_update
        As in 2.x. 1.9 fails with `wd_lh` and without momentum; here it decays as in 2.x.
    """

    rules = ("signsgd", "signum_v1")
