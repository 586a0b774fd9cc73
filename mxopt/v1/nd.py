"""``mx.nd`` of the 1.9 dialect: its update operators, and files in the form that 1.x reads."""

import functools

from .. import face, nd
from ..nd import *  # noqa: F403
from ..nd import contrib, files, random, sparse, updates

__all__ = list(nd.__all__)

globals().update(updates.operators("_v1"))
save = functools.partial(files.save, format="mxnet-1.x")

for _shared in (contrib, sparse, random):
    face.alias(f"{__name__}.{_shared.__name__.rpartition('.')[2]}", _shared.__name__)
del _shared
