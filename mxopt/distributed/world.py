"""The ranks of this job: mpi4py, and how a job ends when one of them fails.

An uncaught exception ends a process, and the others would wait for it forever: MPI has no way to tell them.
So the first use of `world` installs an exception hook that ends the whole job.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback

from . import launch
from .errors import RankError
from .ranks import Alone, Ranks

_NEEDED = (4, 1)
_INSTALL = 'install it with: pip install "mxopt[mpi]", and an MPI such as: pip install mpich'

#: Environment variables in which launchers pass the number of processes.
_TOLD = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PALS_SIZE", "SLURM_NTASKS", "MPI_LOCALNRANKS")

_world = None


def world():
    """The ranks of this job; a single one if it was not started as several.

    Returns
    -------
    Ranks or Alone
    """
    global _world
    if _world is None:
        refuse_server_roles()
        size = told_size()
        # one process needs no MPI
        alone = size == 1 and "mpi4py" not in sys.modules
        _world = Alone() if alone else ranks_of(load().COMM_WORLD)
    return _world


def told_size():
    """How many processes the launcher says it has started."""
    for name in _TOLD:
        text = os.environ.get(name, "")
        if name == "SLURM_NTASKS" and "SLURM_PROCID" not in os.environ:
            continue
        if name == "SLURM_NTASKS" and os.environ.get("SLURM_STEP_NUM_TASKS"):
            text = os.environ["SLURM_STEP_NUM_TASKS"]
        if text.isdecimal():
            return int(text)
    return 1


def load():
    """``mpi4py.MPI``.

    Raises
    ------
    RankError
        With the cure, if there is no usable one.
    """
    try:
        import mpi4py
    except ImportError:
        raise RankError(
            f"training by several processes needs mpi4py, which is not installed; {_INSTALL}"
        ) from None
    version = tuple(int(part) for part in mpi4py.__version__.split(".")[:2] if part.isdecimal())
    if version < _NEEDED:
        raise RankError(f"mpi4py must be 4.1 or later, got {mpi4py.__version__}; {_INSTALL}")
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RankError(f"mpi4py finds no MPI library ({str(error).splitlines()[0]}); {_INSTALL}") from None
    if MPI.Get_version() < (3, 0):
        raise RankError(
            f"the MPI library must support MPI 3 or later, got {'.'.join(map(str, MPI.Get_version()))}; use "
            "MPICH, Open MPI or Intel MPI of this decade"
        )
    size = told_size()
    if size > 1 and MPI.COMM_WORLD.size == 1 and MPI.COMM_WORLD.rank == 0:
        name = MPI.Get_library_version().split("\n")[0].strip().rstrip("\x00")
        raise RankError(
            f"the launcher started {size} processes, but this one's MPI ({name}) sees itself alone: they "
            "are of two MPIs; start with `mxopt launch`, or with the mpiexec of that MPI"
        )
    return MPI


def ranks_of(comm):
    """The ranks of an mpi4py communicator; the same object on every call.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, Ranks or None
        None: this process alone.
    """
    if comm is None:
        return Alone()
    if isinstance(comm, (Alone, Ranks)):
        return comm
    module = type(comm).__module__ or ""
    if module.partition(".")[0] != "mpi4py":
        raise TypeError(
            f"comm must be a communicator of mpi4py such as mpi4py.MPI.COMM_WORLD, got {type(comm).__name__}"
        )
    MPI = load()
    if not isinstance(comm, MPI.Intracomm):
        raise TypeError(
            f"comm must be an intracommunicator, got {type(comm).__name__}; merge it with comm.Merge()"
        )
    if comm == MPI.COMM_NULL:
        raise ValueError("comm is MPI.COMM_NULL: this process is not one of its ranks")
    global _keyval
    if _keyval is None:
        _keyval = MPI.Comm.Create_keyval()
        _end_together(MPI)
    known = comm.Get_attr(_keyval)
    if known is None:
        known = Ranks(MPI, comm)
        comm.Set_attr(_keyval, known)
        _all.append(known)
        known.introduce()
    return known


_keyval = None
_all: list = []


def _end_together(MPI):
    """End all ranks if an exception ends one, and tell the others when one reaches its end."""
    before = sys.excepthook

    def ended(kind, error, trace):
        rank, size = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size
        text = str(error).splitlines()
        if issubclass(kind, RankError):  # every rank raises it, so one line is enough
            say(rank, size, text[0] if text else kind.__name__)
        else:
            shown = ""
            if before is sys.__excepthook__:  # which writes piece by piece, and other ranks in between
                shown = "".join(traceback.format_exception(kind, error, trace))
            else:
                before(kind, error, trace)
            say(rank, size, f"{kind.__name__}: {text[0] if text else ''}; all ranks end", shown)
        sys.stderr.flush()
        sys.stdout.flush()
        for one in _all:
            one.wait_a_moment()
        MPI.COMM_WORLD.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

    if MPI.COMM_WORLD.size > 1:
        launch.register(MPI.COMM_WORLD.rank)
        sys.excepthook = ended
        atexit.register(_leave)


def _leave():
    for one in _all:
        one.leave()
    launch.ended(load().COMM_WORLD.rank)


def say(rank, size, text, before=""):
    """Print one line about a rank and `before` it, in a single write, so that the ranks' lines do not mix."""
    launch.said()
    sys.stderr.write(f"{before}mxopt: rank {rank} of {size}: {text}\n")
    sys.stderr.flush()


def refuse_server_roles():
    """End a process that was started as one of MXNet's parameter servers."""
    role = os.environ.get("DMLC_ROLE", "worker").strip().lower()
    if role in ("server", "scheduler"):
        sys.stderr.write(
            f"mxopt: DMLC_ROLE={role}: there are no parameter servers and no scheduler here, every process "
            "is a worker; start the workers alone, with: mxopt launch -n <workers> script.py\n"
        )
        sys.stderr.flush()
        raise SystemExit(0)
