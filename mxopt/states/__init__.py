"""State files: our format, MXNet's, and files that survive a crash.

This package handles trees of plain data and arrays; ``mxopt.saving`` knows what they mean to an
optimizer.
"""

from mxopt.states.errors import DamagedStateFile, ForeignStateFile, StateFileError, StateMismatch

__all__ = ["StateFileError", "DamagedStateFile", "ForeignStateFile", "StateMismatch", "kind_of"]


def kind_of(source):
    """The kind of a file, judging by its first bytes: ``'safetensors'`` (ours) or ``'pickle'`` (MXNet's).

    Parameters
    ----------
    source : BufferSource or FileSource

    Raises
    ------
    StateFileError
        When it is neither.
    """
    start = source.read(0, min(16, source.size))
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= source.size - 8:
        return "safetensors"
    # pickles of protocol 2 and later announce it; older ones of a dict or a pair start with a mark or an
    # empty dict
    if start[:1] == b"\x80" and start[1:2] <= b"\x05" or start[:1] in (b"}", b"("):
        return "pickle"
    if start[8:9] == b"{":
        return "safetensors"
    if not start:
        raise DamagedStateFile("the file is empty")
    raise ForeignStateFile(
        f"the file starts with {start!r}; a state file of mxopt is a safetensors file, one of MXNet is a "
        "pickle"
    )
