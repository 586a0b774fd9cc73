"""What the 1.x dialect registers, and what each of it is."""

from ...optimizer import listing


def list_optimizers(pattern="*"):
    """Names of the registered optimizers, sorted; as `mxopt.list_optimizers`."""
    return listing.list_optimizers(pattern, dialect="1.x")


def describe(name):
    """Describe an optimizer of this dialect; as `mxopt.describe`."""
    return listing.describe(name, dialect="1.x")
