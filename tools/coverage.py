"""Which lines the tests reach: coverage.py for the Python part, gcov for the engine and rules.

Builds an instrumented copy of the sources, so that nothing else is touched. Run by ``tox -e coverage``;
arguments are those of pytest, by default the tests that need nothing besides mxopt.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/test_optimizer.py", "tests/test_promises.py", "tests/test_engine.py", "tests/test_sparse.py",
         "tests/test_bad_input.py", "tests/test_lr_scheduler.py", "tests/test_clipping.py",
         "tests/test_skip_nonfinite.py", "tests/states")  # fmt: skip


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        left_out = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
        for name in ("mxopt", "tests", "docs"):
            shutil.copytree(ROOT / name, copy / name, ignore=left_out)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        built = {"MXOPT_COVERAGE": "1", "MXOPT_BUILD_ISA": "baseline", "MXOPT_NO_OPENMP": "1"}
        environment = {**os.environ, **built, "PYTHONPATH": folder}

        def run(*command):
            subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True)

        run("setup.py", "-q", "build_ext", "--inplace")
        run("-m", "coverage", "run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or TESTS))
        run("-m", "coverage", "report", "--skip-covered", "--skip-empty")
        run("-m", "gcovr", "--filter", r".*mxopt/kernels/.*\.(pyx|pxi)", "--gcov-ignore-errors=all")


if __name__ == "__main__":
    main(sys.argv[1:])
