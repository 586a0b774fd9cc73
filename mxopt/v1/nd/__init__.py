"""``mx.nd`` of the 1.x dialect: its update operators, and files in the form that 1.x reads."""

import functools
import importlib

from ... import checks, namespace, nd
from ...dialects import V1
from ...nd import *  # noqa: F403
from ...nd import files, random, sparse, updates
from . import _internal

__all__ = list(nd.__all__)

contrib = importlib.import_module(f"{__name__}.contrib")  # `from ...nd import *` has bound the name to 2.x's

globals().update(updates.operators(V1))
save = functools.partial(files.save, format=V1.format)

namespace.complete(__name__)
__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
