"""``mx.nd._internal`` of the 1.x dialect."""

from ...dialects import V1
from ...nd import _internal

globals().update(_internal.flat_operators(V1))
