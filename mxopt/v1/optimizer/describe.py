"""The optimizers of the 1.x dialect and their descriptions."""

from ...optimizer.describe import describe as describe_of
from ...optimizer.describe import list_optimizers as list_of


def list_optimizers(pattern="*", family=None):
    """Names of the registered optimizers, sorted; as `mxopt.list_optimizers`."""
    return list_of(pattern, dialect="1.x", family=family)


def describe(name):
    """Describe an optimizer of this dialect; as `mxopt.describe`."""
    return describe_of(name, dialect="1.x")
