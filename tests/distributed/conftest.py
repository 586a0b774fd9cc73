"""These tests start jobs of several ranks, so they need mpi4py and an MPI: the extra ``mpi`` and the ``mpich`` wheel."""

import importlib.util
import os

collect_ignore_glob = []
if importlib.util.find_spec("mpi4py") is None and not os.environ.get("MXOPT_REQUIRE_MPI"):
    collect_ignore_glob.append("test_*.py")
