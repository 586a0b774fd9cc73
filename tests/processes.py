"""Python in a process of its own, for tests of what a process sees from its start to its end."""

import os
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path

import mxopt

#: Variables that would steer mxopt, OpenMP or the interpreter.
STEERING = ("MXOPT_", "OMP_", "GOMP_", "KMP_", "PYTHON")


def environment(**variables):
    """This process's environment, without what steers mxopt and with the mxopt under test on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    home = Path(mxopt.__file__).parents[1]
    if home != Path(sysconfig.get_path("platlib")):  # not installed: tested where it was built
        kept["PYTHONPATH"] = str(home)
    return {**kept, **variables}


def python(*arguments, cwd=None, timeout=900, **variables):
    """Run the interpreter until it ends, however it ends.

    Returns
    -------
    subprocess.CompletedProcess
        With its output as text.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def printed(*arguments, **options):
    """What the interpreter prints; it must exit with 0. Takes the arguments of `python`."""
    done = python(*arguments, **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def start_a_fork(work):
    """Call ``work`` in a forked child, which then ends; return the child's process id."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads, and OpenMP's stay once a test has used them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code)
    return child


def in_a_fork(work):
    """Call ``work`` in a forked child, and wait for it.

    Returns
    -------
    int
        0, 1 after an exception, the code that ``work`` exits with, or minus the signal that killed the child.
    """
    _, status = os.waitpid(start_a_fork(work), 0)
    return os.waitstatus_to_exitcode(status)
