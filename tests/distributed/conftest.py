"""These tests start jobs of several ranks: they need mpi4py (the extra ``mpi``) and an MPI (``mpich``)."""

import importlib.util
import os

collect_ignore_glob = []
if importlib.util.find_spec("mpi4py") is None and not os.environ.get("MXOPT_REQUIRE_MPI"):
    collect_ignore_glob.append("test_*.py")
