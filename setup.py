"""Builds the compiled part of mxopt; all static metadata is in pyproject.toml.

``_engine.pyx``, ``_rows.pyx`` and ``_scalars.pyx`` in mxopt/kernels are built once. The rules are built once
per instruction set, from one source: ``_rules_baseline`` everywhere, ``_rules_avx2`` and ``_rules_avx512``
on x86-64 with a compiler that accepts the flags. ``build_extensions`` chooses the flags, since the compiler
is known only there.

Environment variables for building:

MXOPT_BUILD_ISA             only these sets, e.g. "baseline avx512": faster while developing
MXOPT_NO_OPENMP             serial kernels, without looking for OpenMP
MXOPT_COVERAGE              count which lines of the .pyx run, for gcov (GCC); slow
MXOPT_VECTORIZATION_REPORT  a folder for GCC's report on every loop that it vectorised, and for the C
                            sources that the report refers to
"""

import ast
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = "mxopt/kernels"
RULES = sorted(Path(KERNELS, "rules").glob("*.pxi"))
ENGINE = sorted(Path(KERNELS, "engine").glob("*.pxi"))

# -fno-math-errno, -fno-trapping-math: sqrt, selects and conversions vectorise; no value changes.
# -ffp-contract=off: no fused multiply-add but by name, so every instruction set gives the same bits.
# --param=...: GCC otherwise gives up vectorising a loop over six arrays that may alias.
GNU_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fno-strict-aliasing"]
GCC_FLAGS = ["--param=vect-max-version-for-alias-checks=40"]
MSVC_FLAGS = ["/O2", "/fp:precise"]

INSTRUCTION_SETS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c", "-mtune=haswell"],
    "avx512": [
        "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c",
        "-mtune=skylake-avx512", "-mprefer-vector-width=512",
    ],
}  # fmt: skip

EMPTY_PROBE = "int main(void) { return 0; }"
PYTHON_PROBE = "#include <Python.h>\nint main(void) { return 0; }"
X86_PROBE = "#include <immintrin.h>\n__m256i a;\nint main(void) { return 0; }"
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

# Here rather than at the top of each .pyx, where they would not reach included or inlined code.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
    # Module state is written only at import, except for the number of threads, which is one word. An
    # optimizer, like a dict, is to be used by one thread at a time.
    "freethreading_compatible": True,
}


class BuildKernels(build_ext):
    """Build the extensions with the flags that this compiler proves to accept."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = min(os.cpu_count() or 1, len(INSTRUCTION_SETS) + 1)

    def build_extensions(self):
        gnu = self.compiler.compiler_type != "msvc"
        for source, missing in ((EMPTY_PROBE, "a C compiler"), (PYTHON_PROBE, "the headers of this Python")):
            if not self.takes([], source):
                raise SystemExit(f"mxopt: {missing} cannot be found or used; {cure()}")
        flags = GNU_FLAGS + [f for f in GCC_FLAGS if self.takes([f])] if gnu else MSVC_FLAGS
        if COVERAGE:
            flags += ["-O0", "--coverage"]
        openmp = self.openmp_flags(gnu)
        kept = []
        for extension in self.extensions:
            name = extension.name.rpartition(".")[2]
            isa = name.removeprefix("_rules_")
            extra = INSTRUCTION_SETS.get(isa, [])
            if extra and not (gnu and self.takes(extra, X86_PROBE)):
                say(f"{extension.name} is left out: this compiler or machine does not take {extra[0]}")
                continue
            extension.extra_compile_args += flags + extra
            if COVERAGE:
                extension.extra_link_args.append("--coverage")
            if name in ("_engine", "_rows"):
                extension.extra_compile_args += openmp
                extension.extra_link_args += openmp
            elif isa in INSTRUCTION_SETS and REPORT and gnu:
                extension.extra_compile_args.append(f"-fopt-info-vec={REPORT / isa}.txt")
            kept.append(extension)
        names = ", ".join(e.name.rpartition("_rules_")[2] for e in kept if "_rules_" in e.name)
        how = "OpenMP" if openmp else "no threads"
        say(f"building kernels for {names}, with {how}: a minute or two on two cores")
        self.translate(kept)
        self.extensions[:] = kept
        super().build_extensions()

    def translate(self, extensions):
        """Translate the .pyx files to C; only now, so that an sdist carries the .pyx and no C."""
        from Cython.Build import cythonize

        generated = Path(self.build_temp)
        generated.mkdir(parents=True, exist_ok=True)
        text = narrow_rules()
        path = generated / "narrow_rules.pxi"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

        translated = cythonize(
            extensions,
            compiler_directives=DIRECTIVES,
            include_path=[KERNELS, str(generated)],
            build_dir=str(REPORT or self.build_temp),
            force=self.force,
            nthreads=0 if sys.platform == "win32" else self.parallel,
            emit_linenums=bool(COVERAGE),
            quiet=True,
        )
        for extension, made in zip(extensions, translated):
            extension.sources = made.sources

    def takes(self, flags, source=EMPTY_PROBE):
        """Whether a file compiles with these flags."""
        with self.probe(source) as (path, folder):
            try:
                self.compiler.compile([path], output_dir=folder, extra_postargs=["-Werror", *flags])
            except Exception:
                return False
        return True

    def openmp_flags(self, gnu):
        """The OpenMP flags with which a probe compiles, links and runs; without any, kernels are serial."""
        if os.environ.get("MXOPT_NO_OPENMP"):
            say("MXOPT_NO_OPENMP is set: building serial kernels")
            return []
        flags = ["-fopenmp"] if gnu else ["/openmp"]
        try:
            with self.probe(OPENMP_PROBE) as (path, folder):
                objects = self.compiler.compile([path], output_dir=folder, extra_postargs=flags)
                target = str(Path(folder, "probe"))
                self.compiler.link_executable(objects, target, extra_postargs=flags)
                subprocess.run([target], check=True, capture_output=True, timeout=60)
        except Exception as error:
            say(f"OpenMP cannot be used here ({' '.join(str(error).split())}): building serial kernels")
            return []
        return flags

    @contextlib.contextmanager
    def probe(self, source):
        """A source file to try the compiler on, with the compiler's output hidden."""
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
            path = Path(folder, "probe.c")
            path.write_text(source)
            sys.stdout.flush()
            sys.stderr.flush()
            outputs = [(number, os.dup(number)) for number in (1, 2)]
            for number, _ in outputs:
                os.dup2(nowhere.fileno(), number)
            try:
                yield str(path), folder
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for number, copy in outputs:
                    os.dup2(copy, number)
                    os.close(copy)


#: package managers, and how each installs a compiler
INSTALLERS = {
    "apt-get": "apt-get install build-essential python3-dev",
    "dnf": "dnf install gcc python3-devel",
    "yum": "yum install gcc python3-devel",
    "apk": "apk add build-base python3-dev linux-headers",
    "pacman": "pacman -S base-devel",
    "zypper": "zypper install gcc python3-devel",
}


def cure():
    """What to install on this system, in a few words."""
    if sys.platform == "win32":
        return 'install the "Desktop development with C++" workload of Visual Studio Build Tools'
    if sys.platform == "darwin":
        return "run: xcode-select --install"
    for tool, command in INSTALLERS.items():
        if shutil.which(tool):
            return f"run: {command}"
    return "install GCC or Clang, and the headers of Python"


def narrow_rules():
    """Cython source: each elementwise rule again, inlined into a loop over 16-bit storage (see storage.h).

    It is generated from the rules' own `register` calls, so a new rule needs nothing further.
    """
    made = []
    for path in RULES:
        for call in re.findall(r"^register\(.*?\)$", path.read_text(), re.MULTILINE | re.DOTALL):
            call = ast.parse(call.replace("<rule_fn>", "")).body[0].value
            names = (
                "name",
                "single",
                "double_",
                "scalar_bytes",
                "arrays",
                "scalars",
                "writes",
                "sums",
                "on_master",
            )
            given = {**dict(zip(names, call.args)), **{k.arg: k.value for k in call.keywords}}
            arrays = given["arrays"].value.split()
            of_tensors = [array.endswith("/tensor") for array in arrays]
            if (
                "sums" in given
                and given["sums"].value
                or any("/" in a for a in arrays if a[-7:] != "/tensor")
            ):
                continue
            written = given["writes"].value if "writes" in given else None
            uses = sum(1 << k for k, array in enumerate(arrays) if array != "-" and not of_tensors[k])
            writes = sum(
                1 << k
                for k, array in enumerate(arrays)
                if not of_tensors[k]
                and (array in written.split() if written is not None else k != 1 and array != "-")
            )
            name, single = given["name"].value, ast.unparse(given["single"])
            size = ast.unparse(given["scalar_bytes"])
            loops = []
            for dtype in ("FLOAT16", "BFLOAT16"):
                loop = f"mxopt_narrow_{name}_{dtype.lower()}"
                loops.append(loop)
                made.append(
                    f"""
cdef extern from *:
    \"\"\"static void {loop}(void **, ptrdiff_t, const double *) MXOPT_FLATTEN;\"\"\"

cdef void {loop} "{loop}"(void** arrays, Py_ssize_t n, const double* scalars) noexcept nogil:
    mxopt_narrow_span(<rule_fn>{single}, {len(arrays)}, {uses}, {writes}, {dtype},
                      <int>({size} // sizeof(double)), arrays, n, scalars)
"""
                )
            made.append(f"\nregister_narrow({name!r}, {', '.join(loops)})\n")
    return "# Written by setup.py from the rules.\n" + "".join(made)


def say(line):
    print(f"mxopt: {line}", flush=True)


def chosen_rules():
    chosen = os.environ.get("MXOPT_BUILD_ISA", "").split() or list(INSTRUCTION_SETS)
    unknown = sorted(set(chosen) - set(INSTRUCTION_SETS))
    if unknown:
        raise SystemExit(
            f"MXOPT_BUILD_ISA must name some of {', '.join(INSTRUCTION_SETS)}, got {unknown[0]!r}"
        )
    return [f"_rules_{isa}" for isa in chosen]


def report_folder():
    named = os.environ.get("MXOPT_VECTORIZATION_REPORT")
    if not named:
        return None
    folder = Path(named).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def extension(name):
    texts = ["prefetch.h", "dtypes.h", "control.h"]
    if "_rules_" in name:
        texts += ["storage.h", "lanes.h", "noise.h", "fma.h", "fade.h", "factored.h", "moves.h"]
        texts += [f"rules/{p.name}" for p in RULES]
    elif name == "_engine":
        texts += ["threads.h", "clock.h", "factored.h", "moves.h", *(f"engine/{p.name}" for p in ENGINE)]
    elif name == "_scalars":
        texts.append("memo.h")
    return Extension(
        f"mxopt.kernels.{name}",
        [f"{KERNELS}/{name}.pyx"],
        include_dirs=[numpy.get_include(), KERNELS],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_23_API_VERSION"),
                       ("NPY_TARGET_VERSION", "NPY_1_23_API_VERSION")],
        depends=[f"{KERNELS}/{text}" for text in texts],
    )  # fmt: skip


REPORT = report_folder()
COVERAGE = os.environ.get("MXOPT_COVERAGE")

setup(
    ext_modules=[extension(name) for name in ("_engine", "_rows", "_scalars", *chosen_rules())],
    cmdclass={"build_ext": BuildKernels},
)
