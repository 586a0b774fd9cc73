"""What the optimizers of MXNet 1.9.1 have in common."""

from __future__ import annotations

import numpy as np

from ...dialects import V1
from ...optimizer import optimizer


class alias:  # noqa: N801  a kind of property
    """Lets 2.x's name of an attribute, the one that this is assigned to, stand for 1.x's `attribute`."""

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute

    def __set_name__(self, owner, name):
        owner.renamed = {**owner.renamed, name: self.attribute}

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.attribute)

    def __set__(self, instance, value):
        setattr(instance, self.attribute, value)


def update_impl(self, index, weight, grad, state, multi_precision=False):
    """The step of 1.9's SGD, NAG, Signum, LARS and LAMB, under the name by which subclasses override it."""
    if not isinstance(index, (list, tuple)):
        index, weight, grad, state = [index], [weight], [grad], [state]
    step = self.fused_step if self.use_fused_step else self.step
    step(index, weight, grad, state)


# What a class that overrides `_update_impl` gets in place of the usual way to the rules, which misses it.


def _update(self, index, weight, grad, state):
    self._update_impl(index, weight, grad, state)


def _update_multi_precision(self, index, weight, grad, state):
    first = weight[0] if isinstance(index, (list, tuple)) else weight
    masters = bool(self.multi_precision) and first.dtype == np.float16
    self._update_impl(index, weight, grad, state, multi_precision=masters)


class Optimizer(optimizer.Optimizer):
    """Base class of the 1.x dialect.

    As `mxopt.Optimizer`, but biases and the like do not decay when their names are known (`set_wd_mult`), and
    a custom class is handed one tensor at a time unless it sets `aggregate_num`.

    1.9 has one code path for each optimizer. Here `step` is its readable form, which 2.x's keyword
    ``use_fused_step=False`` asks for.
    """

    dialect = V1
    opt_registry = V1.registry.classes
    register = staticmethod(V1.registry.register)
    create_optimizer = staticmethod(V1.registry.create)

    #: How the names of parameters end that decay by default.
    decaying_names = ("_weight", "_gamma")
    _aggregate_num = 0

    #: Whether 1.9's `_update_impl` of this class is told whether there are masters (Signum's is not).
    _impl_knows_masters = True

    def __init_subclass__(cls, **kwargs):
        own = vars(cls)
        if own.get("_update_impl", update_impl) is not update_impl:
            if "update" not in own:
                cls.update = _update
            if "update_multi_precision" not in own and cls._impl_knows_masters:
                cls.update_multi_precision = _update_multi_precision
        super().__init_subclass__(**kwargs)

    def set_wd_mult(self, args_wd_mult):
        """Set weight-decay multipliers; as `set_lr_mult`.

        With `param_idx2name`, parameters whose names do not end in ``_weight`` or ``_gamma`` get 0 unless
        they are named here.
        """
        matches = super().set_wd_mult(args_wd_mult)
        given = {name for names in matches.values() for name in names}
        exempt = (name for name in self.idx2name.values() if not name.endswith(self.decaying_names))
        self.wd_mult = {**dict.fromkeys((n for n in exempt if n not in given), 0.0), **self.wd_mult}
        return matches

    def set_lr_scale(self, args_lrscale):
        """Refused, as in 1.9.

        Raises
        ------
        DeprecationWarning
            Always; `set_lr_mult` replaced it.
        """
        raise DeprecationWarning("set_lr_scale is gone; use set_lr_mult")


register = V1.registry.register
