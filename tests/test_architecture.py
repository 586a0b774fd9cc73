"""Imports go downward only: read from the sources, so that an import inside a function counts as well."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mxopt"

#: From the bottom to the top. A module belongs to the longest name that it begins with. It may import lower
#: layers, and modules of its own layer as long as loading them makes no circle.
LAYERS = [
    {"mxopt.kernels"},
    {
        "mxopt._version",
        "mxopt.config",
        "mxopt.context",
        "mxopt.arrays",
        "mxopt.checks",
        "mxopt.sparse",
        "mxopt.spelling",
        "mxopt.stream",
    },
    {"mxopt.namespace", "mxopt.registry"},
    {"mxopt.states", "mxopt.lr_scheduler", "mxopt.clipping"},
    {"mxopt.nd"},
    {"mxopt.random", "mxopt.optimizer.multipliers"},
    {"mxopt.optimizer.optimizer"},
    {"mxopt.optimizer.*"},  # the optimizers, one a file
    {"mxopt.saving", "mxopt.optimizer.updater", "mxopt.optimizer.describe"},
    {"mxopt.optimizer"},
    {"mxopt.base", "mxopt.test_utils"},
    {"mxopt.gluon", "mxopt.kvstore", "mxopt.model", "mxopt.module", "mxopt.kv", "mxopt.mod", "mxopt.ndarray"},
    {"mxopt"},
    {"mxopt.v1"},
    {"mxopt.torch"},
    {"mxopt.cli"},
    {"mxopt.__main__"},
]

#: Imports that go up all the same, and why.
EXCEPTIONS = {
    (
        "mxopt.saving.mxnet_objects",
        "mxopt.v1",
    ): "a file of 1.x names classes of that dialect",
    ("mxopt.optimizer.describe", "mxopt.v1"): "a description says what the other dialect does",
}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer_of(module):
    ranks = {name: rank for rank, names in enumerate(LAYERS) for name in names}
    if module in ranks:
        return ranks[module]
    parent = module.rpartition(".")[0]
    if f"{parent}.*" in ranks:
        return ranks[f"{parent}.*"]
    if parent in ("", "mxopt"):
        raise AssertionError(f"{module} has no place in LAYERS")
    return layer_of(parent)


def imports_of(module, nested=True):
    """The modules of mxopt that a module imports; with `nested`, also those imported inside functions."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found = [f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names]
        else:
            continue
        yield from (name for name in found if name in MODULES and name != module)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module):
    up = {
        name
        for name in imports_of(module)
        if layer_of(name) > layer_of(module) and (module, name) not in EXCEPTIONS
    }
    assert not up, f"{module} imports {', '.join(sorted(up))} from above"


def test_loading_makes_no_circle():
    graph = {module: set(imports_of(module, nested=False)) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("pair", EXCEPTIONS, ids=" imports ".join)
def test_exceptions_are_still_needed(pair):
    module, name = pair
    assert name in set(imports_of(module))


@pytest.mark.parametrize(
    "path",
    [p for p in sorted((ROOT / "kernels").rglob("*.p*")) if p.suffix in (".py", ".pyx", ".pxi", ".pxd")],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_kernels_import_nothing_of_mxopt(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import|cimport)\s+(mxopt|\.\.)", text, re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "kernels" / "rules").glob("*.pxi")), ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_rules_know_elements_only(path):
    # Threads, rows, lists and dtypes are the engine's.
    words = set(re.findall(r"\w+", re.sub(r"#.*", "", path.read_text(encoding="utf-8"))))
    assert not words & {"prange", "openmp", "numpy", "ndarray", "gil", "malloc"}
