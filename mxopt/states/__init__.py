"""State files: our format, MXNet's, and files that survive a crash.

This package knows trees of plain data and arrays; what they mean to an optimizer is said in
``mxopt.optimizer.saving``.
"""

from mxopt.states.errors import DamagedStateFile, ForeignStateFile, StateFileError, StateMismatch

__all__ = ["StateFileError", "DamagedStateFile", "ForeignStateFile", "StateMismatch"]
