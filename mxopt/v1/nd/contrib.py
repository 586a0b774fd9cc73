"""``mx.nd.contrib`` of the 1.x dialect: its update operators, with its formulas."""

from ... import namespace
from ...dialects import V1
from ...nd import contrib, updates
from ...nd.contrib import boolean_mask, isfinite, isinf, isnan

__all__ = ["boolean_mask", "group_adagrad_update", "isfinite", "isinf", "isnan"]

group_adagrad_update = updates.operators(V1)["group_adagrad_update"]
globals().update(contrib.update_operators(V1))
__all__ += list(contrib.update_operators(V1))

__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
