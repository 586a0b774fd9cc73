"""``mx.nd._internal`` of the 1.9 dialect."""

from ...nd import _internal

globals().update(_internal.flat_operators("_v1"))
