"""Imports go downward only: read from the sources, so that an import inside a function counts as well."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mxopt"

#: From the bottom to the top. A module belongs to the longest name that it begins with. It may import lower
#: layers, and modules of its own layer as long as that makes no circle.
LAYERS = [
    {"mxopt.kernels"},
    {
        "mxopt._version",
        "mxopt.config",
        "mxopt.context",
        "mxopt.arrays",
        "mxopt.checks",
        "mxopt.slots",
        "mxopt.sparse",
        "mxopt.loggers",
        "mxopt.reprs",
        "mxopt.spelling",
        "mxopt.stream",
    },
    {"mxopt.namespace", "mxopt.absent", "mxopt.named", "mxopt.paths", "mxopt.registry", "mxopt.typing"},
    {"mxopt.curves", "mxopt.dialects"},
    {"mxopt.states", "mxopt.lr_scheduler", "mxopt.clipping", "mxopt.loss_scaling", "mxopt.microbatches"},
    {"mxopt.saving"},
    {"mxopt.nd"},
    {"mxopt.random", "mxopt.optimizer.multipliers"},
    {"mxopt.optimizer.rates", "mxopt.optimizer.scalars", "mxopt.optimizer.turns"},
    {"mxopt.optimizer.optimizer"},
    {"mxopt.optimizer.*"},  # the optimizers, one a file
    {
        "mxopt.optimizer.averages",
        "mxopt.optimizer.reports",
        "mxopt.optimizer.updater",
        "mxopt.optimizer.describe",
        "mxopt.optimizer.package",
        "mxopt.distributed",  # an updater over several ranks
    },
    {"mxopt.optimizer"},
    {"mxopt.base", "mxopt.stores", "mxopt.test_utils", "mxopt.util"},
    {"mxopt.distributed.stores"},
    {
        "mxopt.callback",
        "mxopt.gluon",
        "mxopt.horovod",
        "mxopt.initializer",
        "mxopt.io",
        "mxopt.kvstore",
        "mxopt.metric",
        "mxopt.model",
        "mxopt.module",
        "mxopt.viz",
    },
    {"mxopt"},
    {"mxopt.v1"},
    {"mxopt.torch", "mxopt.mxnet"},
    {"mxopt.cli"},
    {"mxopt.__main__"},
]

#: Modules that import others by computed names: MXNet's modules on demand, ours or another library's behind
#: them, and a dialect's package when a lower layer asks for that dialect.
DOORS = {"mxopt.mxnet", "mxopt.namespace", "mxopt.absent", "mxopt.dialects"}


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


def imports_of(module):
    """The modules of mxopt that a module imports, at its top or in a function, by statement or by name."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found = [f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            found = [_text(node.args[0], module)]
        else:
            continue
        yield from (name for name in found if name in MODULES and name != module)


def _called(call):
    return getattr(call.func, "attr", None) or getattr(call.func, "id", None)


def _text(argument, module):
    """The module that an argument names; only the modules in `DOORS` may compute names."""
    if isinstance(argument, ast.Constant):
        return argument.value
    if ast.unparse(argument).startswith(("f'{__name__}.", 'f"{__name__}.')):  # a part of its own package
        return module + ast.unparse(argument)[len("f'{__name__}") : -1]
    assert module in DOORS, f"{module} imports a module by a name that is computed: {ast.unparse(argument)}"
    return ""


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module):
    up = {name for name in imports_of(module) if layer_of(name) > layer_of(module)}
    assert not up, f"{module} imports {', '.join(sorted(up))} from above"


def test_imports_make_no_circle():
    graph = {module: set(imports_of(module)) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "path",
    [p for p in sorted((ROOT / "kernels").rglob("*.p*")) if p.suffix in (".py", ".pyx", ".pxi", ".pxd")],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_kernels_import_nothing_of_mxopt(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import|cimport)\s+(mxopt|\.\.)", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").rglob("*.p[yx][xi]")), ids=lambda p: p.name)
def test_compiled_code_has_no_list_comprehension(path):
    """Cython 3.3 releases an entry twice when there is no memory for the list to grow."""
    text, before = re.sub(r"#.*", "", path.read_text(encoding="utf-8")), None
    while text != before:  # brackets without a `for`, from the innermost
        before, text = text, re.sub(r"\[(?:(?!\sfor\s)[^\[\]])*\]", "", text)
    assert not re.search(r"\[[^\[\]]*\sfor\s", text)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "kernels" / "rules").glob("*.pxi")), ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_rules_know_elements_only(path):
    # Threads, rows, lists and dtypes are the engine's.
    words = set(re.findall(r"\w+", re.sub(r"#.*", "", path.read_text(encoding="utf-8"))))
    assert not words & {"prange", "openmp", "numpy", "ndarray", "gil", "malloc"}
