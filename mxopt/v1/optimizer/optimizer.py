"""What the optimizers of MXNet 1.9.1 have in common."""

from __future__ import annotations

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
