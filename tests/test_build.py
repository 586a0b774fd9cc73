"""What the build makes: sdist, wheel, vectorised rules, and kernels that do without OpenMP.

Compiles everything anew, so it has an environment of its own: ``tox -e build``.
"""

import ast
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from processes import printed, python

from mxopt import kernels

pytest.importorskip("Cython", reason="needs what builds mxopt: tox -e build")
pytest.importorskip("build", reason="needs what builds mxopt: tox -e build")

pytestmark = pytest.mark.slow  # together

ROOT = Path(__file__).parents[1]
#: Bytes of a vector.
WIDTHS = {"baseline": 16, "avx2": 32, "avx512": 64}
#: What a copy of the sources does not need.
LEFT_OUT = (
    ".git",
    ".tox",
    "build",
    "dist",
    "*.egg-info",
    "*.so",
    "*.c",
    "__pycache__",
    ".*_cache",
    "fixtures",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, the wheel made from it, the compiler's report and the build's log."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "sources", ignore=shutil.ignore_patterns(*LEFT_OUT))
    log = built_by(
        *("-m", "build", "--no-isolation", "--outdir", str(folder)),
        cwd=folder / "sources",
        MXOPT_VECTORIZATION_REPORT=str(folder / "report"),
    )
    (folder / "log").write_text(log)
    return folder


def built_by(*command, **options):
    """What a command printed, warnings included; it must succeed."""
    done = python(*command, **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def sets_built(built):
    """The instruction sets that the compiler takes, whatever this processor can run."""
    return [isa for isa in WIDTHS if f"_rules_{isa} is left out" not in (built / "log").read_text()]


def test_sdist_has_sources_and_nothing_generated(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    sources = {
        p.relative_to(ROOT).as_posix() for p in (ROOT / "mxopt").rglob("*.p[yx]*") if p.suffix != ".pyc"
    }
    wanted = {"LICENSE", "README.md", "CHANGES.md", "setup.py", "pyproject.toml", "tox.ini", "mxopt/py.typed"}
    wanted |= {"mxopt/kernels/storage.h", "mxopt/kernels/threads.h", "docs/conf.py", "examples/digits.py"}
    assert not (sources | wanted) - names
    assert not {name for name in names if name.endswith((".c", ".so", ".pyc"))}


def test_wheel_has_what_runs(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mxopt").rglob("*.py")}
    assert not (modules | {"mxopt/py.typed"}) - names
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    compiled = {name.rpartition("/")[2].partition(".")[0] for name in names if name.endswith(suffix)}
    assert compiled == {"_engine", "_rows", "_scalars", *(f"_rules_{isa}" for isa in sets_built(built))}
    assert not {name for name in names if name.endswith((".pyx", ".pxi", ".h", ".c"))}
    assert not {name for name in names if not name.startswith(("mxopt/", "mxopt-"))}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata


def test_wheel_runs_where_it_is_unpacked(built, tmp_path):
    (path,) = built.glob("*.whl")
    shutil.unpack_archive(path, tmp_path / "site", "zip")
    code = "import mxopt; print(mxopt.__file__); mxopt.show_config()"
    assert str(tmp_path / "site") in printed("-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))


def test_build_log_has_no_warnings(built):
    log = (built / "log").read_text()
    noise = [line for line in log.splitlines() if re.search(r"\bwarning\b|\berror\b", line, re.IGNORECASE)]
    # the manifest names kinds of files that a clean tree does not have
    assert not [line for line in noise if "files matching" not in line and "files found matching" not in line]


# --- vectorisation ------------------------------------------------------------------------------------------


def is_gcc():
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True)
    return "Free Software Foundation" in done.stdout


def functions_of(c_text):
    """The C functions of the rules: name and variant -> (lines of their loops, functions that they call)."""
    mangled = re.compile(r"\b__pyx_fuse_([01])\w+?_rules_[a-z0-9]+_(\w+)\(")
    functions, here = {}, None
    for number, line in enumerate(c_text, 1):
        found = [(name, int(variant)) for variant, name in mangled.findall(line)]
        if line.startswith("static ") and line.endswith("{"):
            here = functions.setdefault(found[0], ([], set())) if found else None
        elif here:
            here[1].update(found)
            if re.match(r"\s*for \(__pyx_t_\d+ = ", line):
                here[0].append(number)
    return functions


def loops_of(functions, function):
    lines, called = functions[function]
    return lines + [line for other in called for line in loops_of(functions, other)]


#: Rules with a loop that may not be vectorised.
SEQUENTIAL = {
    rule
    for rule, entry in kernels.RULES.items()
    if entry.nsums or entry.by_row  # MXNet's sums have an order
}


def disassembled(library):
    """The instructions of each function of a library, by name."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library], capture_output=True, text=True, check=True
    ).stdout
    return dict(re.findall(r"^[0-9a-f]+ <(\w+)>:\n((?:.+\n)+)", text, re.MULTILINE))


@pytest.mark.skipif(not is_gcc() or platform.machine() != "x86_64", reason="names and instructions are those")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs binutils")
@pytest.mark.parametrize("isa", WIDTHS)
def test_what_the_engine_calls_is_vectorised(built, isa, tmp_path):
    """The report names lines, and is content with a rule that is vectorised only where it is inlined."""
    if isa not in sets_built(built):
        pytest.skip(f"this compiler does not build for {isa}")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if f"/_rules_{isa}." in name)
        library = wheel.extract(name, tmp_path)
    functions, plain = disassembled(library), []
    for rule in sorted(set(kernels.RULES) - SEQUENTIAL):
        for variant, kind in enumerate("sd"):
            own = re.compile(rf"__pyx_fuse_{variant}\w+_rules_{isa}_{rule}(_span)?")
            text = "".join(code for name, code in functions.items() if own.fullmatch(name))
            assert text, f"{rule} is not among the functions"
            if not re.search(rf"\bv?(mul|add|sub|div)p{kind}\b", text):
                plain.append(f"{rule}, {('float', 'double')[variant]}")
    assert not plain, f"loops over single numbers: {plain}"


@pytest.mark.skipif(not is_gcc(), reason="the report is GCC's")
@pytest.mark.parametrize("isa", WIDTHS)
@pytest.mark.parametrize("rule", sorted(set(kernels.RULES) - SEQUENTIAL))
def test_every_loop_of_a_rule_is_vectorised(built, rule, isa):
    if isa not in sets_built(built):
        pytest.skip(f"this compiler does not build for {isa}")
    c_text = (built / "report" / "mxopt" / "kernels" / f"_rules_{isa}.c").read_text().splitlines()
    report = (built / "report" / f"{isa}.txt").read_text()
    done = set(re.findall(rf"\.c:(\d+):\d+: optimized: loop vectorized using {WIDTHS[isa]} byte", report))
    for variant, real in enumerate(("float", "double")):
        loops = loops_of(functions_of(c_text), (rule, variant))
        assert loops, f"{rule}[{real}] has no loop"
        missed = [line for line in loops if str(line) not in done]
        assert not missed, f"{rule}[{real}]: {c_text[missed[0] - 1].strip()} (C line {missed[0]})"


# --- without OpenMP -----------------------------------------------------------------------------------------

STEPS = """
import hashlib, numpy as np, mxopt
rng = np.random.default_rng(1)
weights, grads = rng.normal(size=(2, 3, 50_000)).astype(np.float32)
updater = mxopt.get_updater(mxopt.create("adam"))
for _ in range(3):
    updater([0, 1, 2], list(grads), list(weights))
print(hashlib.md5(weights.tobytes()).hexdigest())
"""


def test_serial_kernels_give_the_same_bits(built, tmp_path):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        sdist.extractall(tmp_path)
    (sources,) = tmp_path.glob("mxopt-*")
    log = built_by(
        *("setup.py", "build", "--build-lib", "serial"),
        cwd=sources,
        MXOPT_NO_OPENMP="1",
        MXOPT_BUILD_ISA="baseline",
    )
    assert "mxopt: MXOPT_NO_OPENMP is set: building serial kernels" in log
    serial = {"cwd": tmp_path, "PYTHONPATH": str(sources / "serial")}
    code = "import mxopt; print(mxopt.show_config('dict'))"
    config = ast.literal_eval(printed("-c", code, **serial))
    assert (config["openmp"], config["threads"], config["available"]) == (
        "none (serial kernels)",
        1,
        "baseline",
    )
    assert printed("-c", STEPS, **serial) == printed("-c", STEPS, cwd=tmp_path)


def test_unknown_instruction_set_is_an_error_when_building(tmp_path):
    done = python("setup.py", "--version", cwd=ROOT, MXOPT_BUILD_ISA="sse9")
    assert done.stderr.strip() == "MXOPT_BUILD_ISA must name some of baseline, avx2, avx512, got 'sse9'"


# --- where it cannot be built, and where it has not been ----------------------------------------------------


def copy_of_sources(folder):
    for name in ("mxopt", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__")
            )
        else:
            shutil.copy(source, folder)
    return folder


def test_without_a_compiler_the_last_line_says_what_to_install(tmp_path):
    done = python(
        "setup.py", "build_ext", cwd=copy_of_sources(tmp_path), CC=str(tmp_path / "no-such-compiler")
    )
    assert done.returncode != 0
    assert re.match(
        r"mxopt: a C compiler cannot be found or used; (run|install)\b", done.stderr.strip().splitlines()[-1]
    )


def test_a_checkout_that_is_not_built_says_so(tmp_path):
    done = python("-c", "import mxopt", cwd=copy_of_sources(tmp_path))
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(
        f"ImportError: mxopt was imported from {tmp_path.resolve()}, whose kernels have not been built"
    )
    assert "pip install -e ." in line


# --- releases -----------------------------------------------------------------------------------------------


def release(*arguments, **variables):
    done = python(str(ROOT / "tools" / "release.py"), *map(str, arguments), cwd=ROOT, **variables)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_sdist_is_the_same_bytes_every_time(built, tmp_path):
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (made,) = built.glob("*.tar.gz")
    with tarfile.open(made) as sdist:
        sdist.extractall(tmp_path)
        names = sdist.getnames()
    for path in tmp_path.rglob("*"):  # another machine, at another time
        os.utime(path, (1, 1))
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as other:
        for name in reversed(names):
            other.add(tmp_path / name, name, recursive=False)
    first, second = (module.repacked(path.read_bytes(), 1e9) for path in (made, tmp_path / "other.tar.gz"))
    assert first == second


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is Linux'")
def test_a_repaired_wheel_runs_where_there_is_no_compiler(built, tmp_path):
    pytest.importorskip("auditwheel", reason="needs the tools of a release: tox -e build")
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    module_wheel = tmp_path / "repaired"
    release("repair", wheel, module_wheel)
    (repaired,) = module_wheel.glob("*.whl")
    assert "manylinux" in repaired.name
    with zipfile.ZipFile(repaired) as archive:
        assert any("libgomp" in name for name in archive.namelist())
    assert "extensions" in release("check", repaired, sdist)
    assert "passed" in release("try", repaired)


def test_the_benchmark_has_a_limit_for_every_optimizer():
    code = f"""
import sys
sys.path.append({str(ROOT)!r})  # last: the mxopt that is installed
import mxopt
from benchmarks import cases
cases.FULL = 4000
measured = {{row.case.split()[0] for row in cases.family(0.0) if row.times["limit"].median > 0}}
print(sorted(measured) == sorted(mxopt.list_optimizers()))
"""
    assert printed("-c", code) == "True\n"
