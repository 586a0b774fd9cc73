"""``mx.nd.contrib`` of the 1.9 dialect: the update operators that it has, by its formulas."""

from ... import checks
from ...nd import contrib
from ...nd.contrib import boolean_mask, group_adagrad_update, isfinite, isinf, isnan

__all__ = ["boolean_mask", "group_adagrad_update", "isfinite", "isinf", "isnan"]

globals().update(contrib.update_operators("_v1"))
__all__ += list(contrib.update_operators("_v1"))

__getattr__ = checks.missing_from(__name__, checks.ARRAYS)
