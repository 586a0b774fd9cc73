"""The API page: every public name has its place there, and what takes arguments documents them."""

import importlib
import inspect
import pkgutil
import re
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import mxopt
from mxopt import context, namespace, sparse

ROOT = Path(__file__).parents[1]
PAGE = "\n".join(
    (ROOT / "docs" / f"{name}.rst").read_text(encoding="utf-8")
    for name in ("api", "api-extending", "looking", *(["pytorch"] if find_spec("torch") else []))
)

#: Modules without names of their own for users; all others need a place on the page.
INTERNAL = {
    *("absent", "arrays", "checks", "cli", "dialects", "kernels", "microbatches", "namespace", "paths"),
    *(
        "loggers",
        "loss_scaling",
        "mxnet",
        "named",
        "registry",
        "reprs",
        "saving",
        "slots",
        "spelling",
        "stores",
        "stream",
        "v1",
    ),
}


#: Public by their names only: what other modules of mxopt share.
HELPERS = [sparse.as_gradient, sparse.row_ids, sparse.all_finite, context.warn_gpu, context.memory_context]


def modules():
    """The public modules, by import path; those of other libraries only where these are installed."""
    for info in pkgutil.iter_modules(mxopt.__path__, "mxopt."):
        if not info.name.rpartition(".")[2].startswith("_") and info.name[6:] not in INTERNAL:
            try:
                yield info.name, importlib.import_module(info.name)
            except ImportError:
                continue


def names_of(module):
    """The names that a module exports: its ``__all__``, else the functions and classes defined in it."""
    own = (
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    )
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def found(path):
    """The object at an import path."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        return value
    raise AssertionError(f"api.rst names {path}, which does not exist")


def documented():
    """All objects on the page, by id: those named, and the members of modules shown with theirs."""
    objects = {id(cls): cls for cls in mxopt.Optimizer.opt_registry.values()}  # generated/optimizers.txt
    directives = re.findall(r"^\.\. auto(\w+):: (\S+)\n((?:   .*\n)*)", PAGE, re.MULTILINE)
    for kind, path, options in directives:
        value = found(path)
        objects[id(value)] = value
        members = re.search(r":members:(.*)", options)
        if kind == "module" and members:
            for name in re.findall(r"\w+", members[1]) or names_of(value):
                objects[id(getattr(value, name))] = getattr(value, name)
    return objects


DOCUMENTED = documented()


@pytest.mark.parametrize("module", dict(modules()))
def test_every_public_name_is_on_the_api_page(module):
    module = importlib.import_module(module)
    if module is mxopt.nd:  # a table of all its functions, made from it
        return
    missing = [
        name
        for name in names_of(module)
        if id(getattr(module, name)) not in DOCUMENTED
        and getattr(module, name) not in HELPERS
        and not re.search(rf"``(?:\w+\.)*{name}(?:\.\w+)*``", PAGE)
    ]
    assert not missing, f"give {', '.join(missing)} of {module.__name__} a place in docs/api.rst"


def test_every_name_of_the_package_is_on_the_api_page():
    missing = [
        name
        for name in mxopt.__all__
        if id(getattr(mxopt, name)) not in DOCUMENTED
        and not inspect.ismodule(getattr(mxopt, name))
        and f"mxopt.{name}" not in PAGE
    ]
    assert not missing
    assert all(f"mxopt.{namespace.ours('mxopt', name)[6:]}" for name in namespace.LOADED_LATER)


#: Modules whose functions take what MXNet's take, or Horovod's.
AS_IN_MXNET = tuple(
    f"mxopt.{name}"
    for name in ("nd", "test_utils", "metric", "initializer", "io", "callback", "util", "named", "horovod")
)


def takers():
    """Functions, constructors and methods on the page, by name."""
    for value in DOCUMENTED.values():
        if getattr(value, "__module__", "").startswith(AS_IN_MXNET) or isinstance(value, ModuleType):
            continue
        if inspect.isclass(value) and issubclass(value, Exception):
            continue
        if inspect.isclass(value):
            yield value.__name__, value.__init__, value.__doc__ or ""
            for name, member in vars(value).items():
                if inspect.isfunction(member) and not name.startswith("_"):
                    yield f"{value.__name__}.{name}", member, inspect.getdoc(getattr(value, name)) or ""
        elif callable(value):
            yield value.__name__, value, value.__doc__ or ""


@pytest.mark.parametrize(("function", "document"), [pytest.param(f, d, id=n) for n, f, d in takers()])
def test_arguments_are_documented(function, document):
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a built-in base
        return
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [p.name for p in parameters if p.kind not in variable and p.name != "self" and p.name[0] != "_"]
    # One sentence may say all of a short function; a data class has attributes.
    sections = re.findall(
        r"^ *(?:Parameters|Attributes)\n *-+\n(.*?)(?=^ *\w+\n *-+$|\Z)", document, re.DOTALL | re.MULTILINE
    )
    text = "".join(sections) or document.partition("\n\n")[0]
    assert not [name for name in names if not re.search(rf"\b{name}\b", text)]
