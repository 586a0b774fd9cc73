"""``mxopt launch -n 4 script.py ...``: start a script as several ranks, and make sure that all end."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

#: The folder in which each rank tells the launcher its process id.
FOLDER = "MXOPT_LAUNCH_FOLDER"

#: Seconds that ranks get to end after one of them has failed, before they are killed.
_GRACE = 3.0


def mpiexec():
    """The mpiexec next to this Python, else the first one on the PATH.

    Raises
    ------
    FileNotFoundError
        With the cure.
    """
    beside = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    found = beside if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if found is None:
        raise FileNotFoundError(
            "no mpiexec beside this Python and none on the PATH; install an MPI, such as: pip install mpich"
        )
    return found


def command(number, arguments, launcher=None):
    """The command line that starts `number` ranks of ``python *arguments``.

    Parameters
    ----------
    number : int
    arguments : list of str
        The script (or ``-m module``) and its arguments.
    """
    launcher = launcher or mpiexec()
    options = ["-n", str(number)]
    version = subprocess.run([launcher, "--version"], capture_output=True, text=True, timeout=30, check=False)
    if "Open MPI" in version.stdout + version.stderr or "OpenRTE" in version.stdout:
        options.append("--oversubscribe")
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--allow-run-as-root")
    return [launcher, *options, sys.executable, "-m", "mpi4py", *arguments]


def threads(number):
    """Threads for each of `number` ranks on this machine: an equal share of its cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores // number, 1)


def launch(number, arguments):
    """Start a script as several ranks and wait until it ends.

    Parameters
    ----------
    number : int
    arguments : list of str

    Returns
    -------
    int
        The exit status: mpiexec's, but never 0 if any rank has failed.
    """
    if number < 1:
        raise ValueError(f"-n must be 1 or more, got {number}")
    if not arguments:
        raise ValueError("name the script to start: mxopt launch -n 4 script.py")
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(threads(number)))
    with tempfile.TemporaryDirectory(prefix="mxopt-launch-") as folder:
        environment[FOLDER] = folder
        job = subprocess.Popen(command(number, arguments), env=environment, start_new_session=True)
        try:
            status = _wait(job, folder)
        except KeyboardInterrupt:
            job.send_signal(signal.SIGINT)
            status = 130
        finally:
            _end(job, folder)
    return status if status >= 0 else 128 - status


def _wait(job, folder):
    """Wait for the job; if a rank vanishes without ending properly, say which, and stop waiting soon."""
    fallen, until, watch = [], None, _Watch(folder)
    while True:
        status = job.poll()
        if not fallen:
            fallen = watch.fallen()
            if fallen and status is None:
                until = time.monotonic() + _GRACE
        if status is not None:
            break
        if until is not None and time.monotonic() > until:
            status = 1
            break
        watch.wait(0.02)
    if fallen and not _said(folder):
        who = ", ".join(f"rank {rank} (process {pid})" for rank, pid in fallen)
        print(
            f"mxopt: {who} died without an error message: killed, perhaps out of memory, or crashed; all end",
            file=sys.stderr,
            flush=True,
        )
    return status or (1 if fallen else 0)


class _Watch:
    """Notices ranks that vanish, immediately if it can: MPI ends the others soon after the first."""

    def __init__(self, folder):
        self._folder, self._open = folder, {}
        known = hasattr(os, "pidfd_open") and hasattr(select, "poll")
        self._poll = select.poll() if known else None

    def wait(self, seconds):
        """Wait until a rank vanishes, at most `seconds`."""
        if self._poll is None:
            time.sleep(seconds)
            return
        for _, pid in _processes(self._folder):
            if pid not in self._open:
                try:
                    self._open[pid] = os.pidfd_open(pid)
                except OSError:  # it is gone, or the system is too old
                    continue
                self._poll.register(self._open[pid], select.POLLIN)
        for descriptor, _ in self._poll.poll(seconds * 1000):
            self._poll.unregister(descriptor)
            os.close(descriptor)

    def fallen(self):
        """The ranks that have vanished without ending properly: (rank, process id)."""
        return [
            (rank, pid)
            for rank, pid in _processes(self._folder)
            if not _runs(pid) and not os.path.exists(os.path.join(self._folder, f"{rank}.ended"))
        ]


def _processes(folder):
    """(rank, process id) of the ranks that have not ended properly."""
    for name in os.listdir(folder):
        rank, _, pid = name.partition(".")
        if pid.isdecimal() and not os.path.exists(os.path.join(folder, f"{rank}.ended")):
            yield int(rank), int(pid)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return False
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _said(folder):
    return os.path.exists(os.path.join(folder, "said"))


def _end(job, folder):
    """Leave no process behind."""
    if job.poll() is None:
        job.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(1.0)
    for _, pid in _processes(folder):
        if _runs(pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    if job.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()


# -- in the ranks ------------------------------------------------------------------------------------


def register(rank):
    """Tell the launcher, if there is one, a rank's process id."""
    _note(f"{rank}.{os.getpid()}")


def ended(rank):
    """Tell the launcher that this rank has reached the end of its program."""
    _note(f"{rank}.ended")


def said():
    """Tell the launcher that a rank has said why the job ends."""
    _note("said")


def _note(name):
    folder = os.environ.get(FOLDER)
    if folder:
        with contextlib.suppress(OSError), open(os.path.join(folder, name), "w"):
            pass
