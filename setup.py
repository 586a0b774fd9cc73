"""The compiled part of mxopt; all static metadata stands in pyproject.toml.

``mxopt/kernels/_engine.pyx`` is built once. The rules are built once per instruction set, from
one text: ``_rules_baseline`` everywhere, ``_rules_avx2`` and ``_rules_avx512`` on x86-64 with a
compiler that takes the flags. Flags are chosen in ``build_extensions``, where the compiler is known.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = "mxopt/kernels"

# -fno-math-errno, -fno-trapping-math: sqrt, selects and conversions vectorise; no value changes.
# -ffp-contract=off: no fused multiply-add, so every instruction set gives the same bits.
# --param=...: GCC otherwise gives up vectorising a loop over six arrays that may alias.
GNU_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fno-strict-aliasing"]
GCC_FLAGS = ["--param=vect-max-version-for-alias-checks=40"]
MSVC_FLAGS = ["/O2", "/fp:precise"]

INSTRUCTION_SETS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mf16c", "-mtune=haswell"],
    "avx512": [
        "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mf16c",
        "-mtune=skylake-avx512", "-mprefer-vector-width=512",
    ],
}  # fmt: skip

# Only some of them, to build faster while developing: MXOPT_BUILD_ISA=avx512
CHOSEN = os.environ.get("MXOPT_BUILD_ISA", "").split() or list(INSTRUCTION_SETS)

OPENMP_PROBE = """
#include <omp.h>
#include <stdio.h>
int main(void) {
    int n = 0;
    #pragma omp parallel for reduction(+:n)
    for (int i = 0; i < 8; i++) n += 1;
    printf("%d", n);
    return n != 8 || omp_get_max_threads() < 1;
}
"""


class BuildKernels(build_ext):
    """Build the extensions with flags that this compiler is seen to take."""

    def build_extensions(self):
        gnu = self.compiler.compiler_type != "msvc"
        flags = GNU_FLAGS + [f for f in GCC_FLAGS if self.takes([f])] if gnu else MSVC_FLAGS
        openmp = self.openmp_flags(gnu)
        kept = []
        for extension in self.extensions:
            isa = extension.name.rpartition("_rules_")[2] if "_rules_" in extension.name else None
            extra = INSTRUCTION_SETS.get(isa, [])
            if extra and not (gnu and self.takes(extra, "#include <immintrin.h>\n__m256i a;int main(void){return 0;}")):
                print(f"mxopt: {extension.name} is left out: this compiler or machine does not take {extra[0]}")
                continue
            extension.extra_compile_args += flags + extra
            if isa is None:
                extension.extra_compile_args += openmp
                extension.extra_link_args += openmp
            elif os.environ.get("MXOPT_VECTORIZATION_REPORT"):
                report = Path(os.environ["MXOPT_VECTORIZATION_REPORT"]).resolve()
                report.mkdir(parents=True, exist_ok=True)
                extension.extra_compile_args.append(f"-fopt-info-vec={report / isa}.txt")
            kept.append(extension)
        self.extensions[:] = kept
        super().build_extensions()

    def takes(self, flags, source="int main(void){return 0;}"):
        """Whether a file compiles with these flags."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe.c")
            path.write_text(source)
            try:
                self.compiler.compile([str(path)], output_dir=folder, extra_postargs=["-Werror", *flags])
            except Exception:
                return False
        return True

    def openmp_flags(self, gnu):
        """The OpenMP flags with which a probe compiles, links and runs; none: build serial kernels."""
        if os.environ.get("MXOPT_NO_OPENMP"):
            print("mxopt: MXOPT_NO_OPENMP is set: building serial kernels")
            return []
        flags = ["-fopenmp"] if gnu else ["/openmp"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe.c")
            path.write_text(OPENMP_PROBE)
            try:
                objects = self.compiler.compile([str(path)], output_dir=folder, extra_postargs=flags)
                target = str(Path(folder, "probe"))
                self.compiler.link_executable(objects, target, extra_postargs=flags)
                subprocess.run([target], check=True, capture_output=True, timeout=60)
            except Exception as error:
                print(f"mxopt: OpenMP cannot be used here ({error}): building serial kernels")
                return []
        return flags


def extension(name):
    return Extension(
        f"mxopt.kernels.{name}",
        [f"{KERNELS}/{name}.pyx"],
        include_dirs=[numpy.get_include(), KERNELS],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_23_API_VERSION"),
                       ("NPY_TARGET_VERSION", "NPY_1_23_API_VERSION")],
        depends=[str(p) for p in Path(KERNELS).rglob("*") if p.suffix in (".pxi", ".h", ".pxd")],
    )  # fmt: skip


setup(
    ext_modules=cythonize(
        [extension("_engine"), extension("_text"), *(extension(f"_rules_{isa}") for isa in CHOSEN)],
        # Once, for all sources: directives at the top of a .pyx do not reach included or inlined text.
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
        include_path=[KERNELS],
        nthreads=0 if sys.platform == "win32" else 2,
    ),
    cmdclass={"build_ext": BuildKernels},
)
