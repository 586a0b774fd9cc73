"""Saves that another thread makes while the caller goes on."""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
import weakref

from .. import checks

#: the saves that have not succeeded yet
_open: weakref.WeakSet = weakref.WeakSet()


@atexit.register
def _settle_all():
    """Settle all open saves when the interpreter exits, after its threads have ended."""
    for saving in list(_open):
        saving.settle()


class Saving:
    """A save under way; what it writes was fixed when it was requested.

    The interpreter waits for it before exiting. If no thread can be started, the save is made at once. `wait`
    and `result` raise what went wrong; if neither is called, the updater's next save or load warns, or else
    the end of this object or of the interpreter.

    Parameters
    ----------
    write : callable
        Writes the file.
    path : str or bytes
        The file.
    after : Saving, optional
        The previous save of the same updater: files are written in call order.

    Examples
    --------
    >>> import numpy as np, mxopt, tempfile, os
    >>> updater = mxopt.get_updater(mxopt.create("adam"))
    >>> updater(0, np.ones(3, np.float32), np.ones(3, np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saving = updater.save_states(os.path.join(folder, "adam.states"), background=True)
    ...     saving.result()
    ...     saving.done()
    True
    """

    _unseen = False

    def __init__(self, write, path, after=None):
        self._write, self._after, self._path = write, after, path
        self._error = None
        self._finished = threading.Event()
        self._process = os.getpid()
        _open.add(self)
        try:
            threading.Thread(target=self._run, name="mxopt-saving").start()
        except RuntimeError:  # no thread available, or the interpreter is exiting
            self._run()

    def _run(self):
        try:
            if self._after is not None:
                self._after._is_over()
            self._write()
            _open.discard(self)
        except BaseException as error:
            self._error, self._unseen = error, True
        finally:
            self._write = self._after = None
            self._finished.set()

    def done(self):
        """Whether the save has finished, successfully or not."""
        return self._finished.is_set()

    def _is_over(self, timeout=None):
        # in a forked child the thread does not exist; the parent writes the file
        return self._process != os.getpid() or self._finished.wait(timeout)

    def wait(self, timeout=None):
        """Wait until it is done.

        Parameters
        ----------
        timeout : float, optional
            In seconds.

        Returns
        -------
        bool
            Whether it is.

        Raises
        ------
        OSError, StateFileError
            What `save_states` would have raised.
        """
        over = self._is_over(timeout)
        if self._error is not None:
            self._unseen = False
            raise self._error
        return over

    def settle(self):
        """Wait until it is done; warn of an error that neither `wait` nor `result` has raised."""
        self._is_over()
        if self._unseen and self._process == os.getpid():
            self._unseen = False
            warnings.warn(
                f"saving {os.fsdecode(self._path)!r} in the background failed, and the file is as it was: "
                f"{self._error}; call wait() on what save_states returns to have errors raised",
                RuntimeWarning,
                stacklevel=checks.outside(),
            )

    def __del__(self):
        if self._unseen:
            self.settle()

    def result(self, timeout=None):
        """Wait until the file is written.

        Parameters
        ----------
        timeout : float, optional
            In seconds.

        Raises
        ------
        TimeoutError
            When it takes longer.
        OSError, StateFileError
            What `save_states` would have raised.
        """
        start = time.monotonic()
        if not self.wait(timeout):
            raise TimeoutError(f"the save was not done after {time.monotonic() - start:.3g} seconds")
