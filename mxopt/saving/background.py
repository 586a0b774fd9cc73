"""Saves that another thread makes while the caller goes on."""

from __future__ import annotations

import os
import threading
import time


class Saving:
    """A save under way; what it writes was fixed when it was requested.

    The interpreter waits for it before exiting. If no thread can be started, the save is made at once.

    Parameters
    ----------
    write : callable
        Writes the file.
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

    def __init__(self, write, after=None):
        self._write, self._after = write, after
        self._error = None
        self._finished = threading.Event()
        self._process = os.getpid()
        try:
            threading.Thread(target=self._run, name="mxopt-saving").start()
        except RuntimeError:  # no thread available, or the interpreter is exiting
            self._run()

    def _run(self):
        try:
            if self._after is not None:
                self._after.wait()
            self._write()
        except BaseException as error:
            self._error = error
        finally:
            self._write = self._after = None
            self._finished.set()

    def done(self):
        """Whether the save has finished, successfully or not."""
        return self._finished.is_set()

    def wait(self, timeout=None):
        """Wait until it is done, at most `timeout` seconds; returns whether it is. `result` raises errors."""
        # in a forked child the thread does not exist; the parent writes the file
        return self._process != os.getpid() or self._finished.wait(timeout)

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
        if self._error is not None:
            raise self._error
