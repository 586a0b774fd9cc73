"""The types that users' checkers see: the stubs are up to date, and mistakes are found."""

import ast
import builtins
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import make_stubs
import pytest
from processes import environment, printed

HERE = Path(__file__).parent
STUBS = {path.relative_to(make_stubs.HOME).as_posix(): (path, text) for path, text in make_stubs.stubs()}


@pytest.mark.parametrize(("path", "text"), STUBS.values(), ids=STUBS)
def test_stubs_are_as_they_are_made(path, text):
    there = ast.dump(ast.parse(path.read_text(encoding="utf-8")))
    assert there == ast.dump(ast.parse(text)), "run python tests/types/make_stubs.py"


def test_the_script_runs(tmp_path):
    printed(HERE / "user.py", cwd=tmp_path)


@pytest.mark.parametrize("package", ["mxopt", "mxopt.v1"])
def test_a_star_import_takes_no_usual_names(package):
    names = {}
    exec(f"from {package} import *", names)
    taken = {name for name in names if not name.startswith("__")}
    usual = {"np", "numpy", "torch", "plt", "pd", "test", "data", "model", "name", "operator", "init"}
    assert not taken & (usual | set(STANDARD) | set(dir(builtins)))
    assert {"Adam", "create", "nd", "gluon"} <= taken


#: A part of the standard library's modules; Python 3.9 has no list of them.
STANDARD = getattr(sys, "stdlib_module_names", {"copy", "io", "operator", "os", "random", "sys"})


def findings(command, pattern):
    where = {"MYPYPATH": environment().get("PYTHONPATH", "")}
    done = subprocess.run(command, cwd=HERE, env=environment(**where), capture_output=True, text=True)
    return {int(line) for line in re.findall(pattern, done.stdout)}, done.stdout + done.stderr


WRONG = {n for n, line in enumerate((HERE / "wrong.py").read_text().splitlines(), 1) if "# wrong" in line}


@pytest.mark.slow
@pytest.mark.parametrize("file, expected", [("user.py", set()), ("wrong.py", WRONG)])
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_checker_finds_the_mistakes_and_nothing_else(checker, file, expected, tmp_path):
    if checker == "mypy":
        if importlib.util.find_spec("mypy") is None:
            pytest.skip("mypy is not installed; tox -e types installs it")
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            str(tmp_path),
            file,
        ]
        found, said = findings(command, rf"{file}:(\d+): error")
    else:
        if not shutil.which("basedpyright"):
            pytest.skip(
                "basedpyright, which is pyright with its Node, is not installed; tox -e types installs it"
            )
        (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
        shutil.copy(HERE / file, tmp_path)
        command = ["basedpyright", "-p", str(tmp_path), "--pythonpath", sys.executable, str(tmp_path / file)]
        found, said = findings(command, rf"{file}:(\d+):\d+ - error")
    assert found == expected, said


@pytest.mark.slow
def test_stubs_of_compiled_modules_say_what_is_there(tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed; tox -e types installs it")
    modules = [f"mxopt.kernels.{name}" for name in make_stubs.COMPILED]
    where = {"MYPYPATH": environment().get("PYTHONPATH", "")}
    # what Cython puts into every module
    (tmp_path / "allowed").write_text(r".*\.__(pyx_capi|reduce_cython|setstate_cython|test)__")
    options = [
        "--ignore-disjoint-bases",
        "--ignore-unused-allowlist",
        "--allowlist",
        str(tmp_path / "allowed"),
    ]
    command = [sys.executable, "-m", "mypy.stubtest", *options, *modules]
    done = subprocess.run(command, cwd=HERE, env=environment(**where), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
