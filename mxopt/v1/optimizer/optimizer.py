"""What the optimizers of MXNet 1.9.1 have in common."""

from ...optimizer import optimizer
from . import registry


def alias(attribute):
    """A property for what 2.x calls by the name it is given, and 1.9 keeps as `attribute`."""
    return property(
        lambda self: getattr(self, attribute), lambda self, value: setattr(self, attribute, value)
    )


class Optimizer(optimizer.Optimizer):
    """Base class of the 1.x dialect.

    As `mxopt.Optimizer`, but biases and the like do not decay when their names are known (`set_wd_mult`), and
    a class of one's own is handed one tensor at a time unless it sets `aggregate_num`.

    1.9 has one code path for each optimizer. Here `step` is its readable form, which 2.x's keyword
    ``use_fused_step=False`` asks for.
    """

    opt_registry = registry.opt_registry
    register = staticmethod(registry.register)
    create_optimizer = staticmethod(registry.create)

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
