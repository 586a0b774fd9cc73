"""Build the kernels for AddressSanitizer and UBSan, and plainly for valgrind; run `workload.py` in each.

    python tests/sanitized [asan] [valgrind]

Needs GCC and valgrind, and what mxopt is built and tested with. Any finding is an error.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: The compiler with its flags, for compiling and for linking.
COMPILERS = {
    "asan": "gcc -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined",
    "valgrind": "gcc -g",
}
#: valgrind knows no AVX-512.
INSTRUCTION_SETS = {"asan": ("baseline", "avx2", "avx512"), "valgrind": ("baseline", "avx2")}
#: The interpreter itself keeps memory until the end.
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def build(tool, isas, folder):
    """A copy of the package whose kernels are compiled for a tool."""
    copy = folder / tool
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "*.so", "*.c", "docs", "dist"))
    environ = {**os.environ, **OPTIONS, "CC": COMPILERS[tool], "MXOPT_BUILD_ISA": " ".join(isas)}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=copy, env=environ, check=True)
    return copy


def run(tool, package, isa):
    environ = {**os.environ, **OPTIONS, "PYTHONPATH": str(package), "PYTHONMALLOC": "malloc"}
    environ.update(MXOPT_ISA=isa, MXOPT_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, str(HERE / "workload.py")]
    if tool == "asan":
        find = ["gcc", "-print-file-name=libasan.so"]
        environ["LD_PRELOAD"] = subprocess.check_output(find, text=True).strip()
    else:
        suppressed = f"--suppressions={HERE / 'valgrind.supp'}"
        command = ["valgrind", "-q", "--error-exitcode=9", suppressed, *command]
    subprocess.run(command, env=environ, check=True)


def can_run(isa):
    """Whether this processor has an instruction set."""
    text = Path("/proc/cpuinfo").read_text()
    return isa == "baseline" or f" {'avx512vl' if isa == 'avx512' else isa} " in text


def main():
    with tempfile.TemporaryDirectory() as folder:
        for tool in sys.argv[1:] or COMPILERS:
            isas = [isa for isa in INSTRUCTION_SETS[tool] if can_run(isa)]
            package = build(tool, isas, Path(folder))
            for isa in isas:
                print(f"{tool}, {isa}", flush=True)
                run(tool, package, isa)


if __name__ == "__main__":
    main()
