"""What the optimizers with a momentum buffer have in common."""

from ..slots import NONE, StateSlot
from .optimizer import Optimizer


class Momentum(Optimizer):
    """Base of optimizers that keep a momentum buffer, or no state when `momentum` is 0.

    Their last rule is the one with momentum, the rule before it the one without.
    """

    state_slots = (StateSlot("mom", when="momentum", absent=NONE),)
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "momentum")
    text_scalars = scalar_names
    momentum: float

    @property
    def passes(self):
        return self.rules[-1:] if self.momentum else self.rules[-2:-1]

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.momentum
