"""Write the stubs of mxopt's packages from what is there at run time: ``python tests/types/make_stubs.py``.

A type checker cannot follow a registry. So the stubs say which names there are, and which keywords `create`
takes for each optimizer. They hold nothing that the registry and the constructors do not; a test compares.
"""

import importlib
import inspect
import subprocess
from pathlib import Path
from types import ModuleType

import mxopt
from mxopt import namespace
from mxopt.paths import ours

HOME = Path(mxopt.__file__).parent
#: What the signatures do not tell, by parameter; of all others the default's type is the type.
TYPES = {
    "aggregate_num": "float | None",
    "clip_gradient": "float | None",
    "clip_weights": "float | None",
    "lazy_update": 'bool | Literal["exact"]',
    "learning_rate": "float | None",
    "lower_bound": "float | None",
    "lr_scheduler": "Schedule | None",
    "multi_precision": 'bool | Literal["split"]',
    "param_dict": "dict[Any, Any] | None",
    "param_idx2name": "dict[Any, str] | None",
    "state": "Any",
    "sym": "Any",
    "upper_bound": "float | None",
    "use_fused_step": "bool",
}
#: The compiled modules that Python code calls.
COMPILED = ("_engine", "_rows", "_scalars")
HEAD = "# Written by tests/types/make_stubs.py.\n"


def keywords(cls):
    """The keywords of a constructor, with those that it passes on to its bases: name -> default."""
    found = {}
    for base in cls.__mro__:
        own = vars(base).get("__init__")
        if own is None or base is object:
            continue
        parameters = list(inspect.signature(own).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind is not parameter.VAR_KEYWORD:
                found.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def typed(name, default):
    """A keyword as it appears in a stub; where the default is an integer, floats are accepted too."""
    kinds = {bool: "bool", float: "float", int: "float", str: "str"}
    return f"{name}: {TYPES.get(name) or kinds.get(type(default), 'Any')} = ..."


def constructor(cls):
    """The parameters of a class: its own in their order, and those of its bases by keyword."""
    own = [p for p in inspect.signature(cls.__init__).parameters.values() if p.name not in ("self", "kwargs")]
    places = [typed(p.name, p.default) for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    rest = keywords(cls)
    named = [typed(n, d) for n, d in rest.items() if n not in {p.name for p in own[: len(places)]}]
    return ", ".join(["self", *places, *(["*", *named] if named else [])])


def overloads(module, classes):
    """`create` by each name, and by any other with what all optimizers take."""
    for cls in classes:
        name = cls.__name__
        spellings = ", ".join(f'"{spelling}"' for spelling in dict.fromkeys([name.lower(), name]))
        taken = ", ".join(typed(*pair) for pair in keywords(cls).items())
        yield f"@overload\ndef create(name: Literal[{spellings}], *, {taken}) -> {name}: ..."
    taken = ", ".join(typed(*pair) for pair in keywords(module.Optimizer).items())
    yield f"@overload\ndef create(name: str, *, {taken}) -> Optimizer: ..."


def written_out(cls):
    """Whether a module's source defines a class; 1.x' classes of later optimizers are derived from 2.x'."""
    return cls.__module__ != "mxopt.v1.optimizer.later"


def optimizers(package):
    """The stub of a package of optimizers."""
    module = importlib.import_module(f"{package}.optimizer")
    dots = "." * (package.count(".") + 2)
    classes = sorted(set(module.opt_registry.values()), key=lambda cls: cls.__name__)
    own = [cls for cls in classes if cls.__module__.startswith(f"{package}.optimizer")]
    modules = sorted({cls.__module__.rpartition(".")[2] for cls in own if written_out(cls)})
    lines = [
        HEAD,
        "from typing import Any, Literal, TypeVar, overload",
        "",
        f"from {dots}typing import Schedule",
        "from . import contrib as contrib",
        *(f"from . import {name} as _{name}" for name in modules),
    ]
    for name in ("Optimizer", "Updater", "describe", "list_optimizers"):
        lines.append(f"from .{getattr(module, name).__module__.rpartition('.')[2]} import {name} as {name}")
    lines += ["", f"__all__ = {sorted(module.__all__)}"]
    lines += ["", '_T = TypeVar("_T", bound=type)', "", "opt_registry: dict[str, type[Optimizer]]", ""]
    lines += ["def register(cls: _T) -> _T: ..."]
    asked = list(inspect.signature(module.get_updater).parameters.values())[1:]
    rest = ", ".join(f"{p.name}: {p.annotation} = ..." for p in asked)
    lines += [f"def get_updater(optimizer: Optimizer, {rest}) -> Updater: ...", ""]
    for cls in own:
        base = f"_{cls.__module__.rpartition('.')[2]}.{cls.__name__}" if written_out(cls) else "Optimizer"
        lines.append(f"class {cls.__name__}({base}):")
        lines.append(f"    def __init__({constructor(cls)}) -> None: ...")
    lines += ["", *overloads(module, classes)]
    lines += ["def __getattr__(name: str) -> Any: ...  # the array functions of nd"]
    return "\n".join(lines) + "\n"


def packages(package):
    """The stub of ``mxopt`` or ``mxopt.v1``: what a star import gives, and the modules loaded on demand."""
    module = importlib.import_module(package)
    lines = [HEAD]
    for name in sorted({"lr_scheduler", "optimizer"} | namespace.LOADED_LATER):
        target = ours(package, name)
        parent, _, last = target.rpartition(".")
        lines.append(f"from {'.' if parent == package else '..'} import {last} as {name}")
    elsewhere = {"lr_scheduler", "optimizer", *namespace.LOADED_LATER, *mxopt.optimizer.__all__}
    for name in sorted(set(mxopt.__all__) - elsewhere):
        where = getattr(mxopt, name).__module__.partition(".")[2]
        lines.append(f"from {'.' * (package.count('.') + 1)}{where} import {name} as {name}")
    lines.append(
        "from .optimizer import (" + ", ".join(f"{n} as {n}" for n in sorted(module.optimizer.__all__)) + ")"
    )
    lines += ["", f"__all__ = {sorted(module.__all__)}", "__version__: str"]
    return "\n".join(lines) + "\n"


def arrays():
    """The stub of ``mxopt.nd``: its names; most functions are made in loops and show no signature."""
    module = mxopt.nd
    lines = [HEAD, "from typing import Any", ""]
    for name in sorted(module.__all__):
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            lines.append(f"from . import {value.__name__.rpartition('.')[2]} as {name}")
        elif isinstance(value, type):
            lines.append(f"from .{value.__module__.rpartition('.')[2]} import {name} as {name}")
    lines += ["", f"__all__ = {sorted(module.__all__)}", ""]
    for name in sorted(module.__all__):
        if not isinstance(getattr(module, name), (type, ModuleType)):
            lines.append(f"def {name}(*args: Any, **kwargs: Any) -> Any: ...")
    return "\n".join(lines) + "\n"


def compiled(module):
    """The stub of a compiled module: names and parameters, without types."""

    def function(name, value, indent="", returns="Any"):
        parameters = []
        for p in inspect.signature(value).parameters.values():
            default = "" if p.default is p.empty else " = ..."
            parameters.append(p.name if p.name == "self" else f"{p.name}: Any{default}")
        return f"{indent}def {name}({', '.join(parameters)}) -> {returns}: ..."

    lines = [HEAD, "from typing import Any", ""]
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if isinstance(value, type):
            if value.__module__ != module.__name__:
                continue
            base = value.__base__.__name__
            lines.append(f"class {name}{'' if base == 'object' else f'({base})'}:")
            made = vars(value).get("__init__")
            if type(made) is type(object.__init__) or made is None:  # an extension type does not say
                lines.append("    def __init__(self, *args: Any, **kwargs: Any) -> None: ...")
            else:
                lines.append(function("__init__", made, "    ", "None"))
            for member, held in sorted(vars(value).items()):
                if not member.startswith("_") or member == "__deepcopy__":
                    method = callable(held) and not inspect.isdatadescriptor(held)
                    lines.append(function(member, held, "    ") if method else f"    {member}: Any")
        elif not callable(value):
            lines.append(f"{name}: Any")
        elif getattr(value, "__module__", "") == module.__name__:
            lines.append(function(name, value))
    lines.append("def __getattr__(name: str) -> Any: ...  # what is being written and not built yet")
    return "\n".join(lines) + "\n"


def stubs():
    """Pairs of a stub's path below the package and its text, laid out by ruff."""
    for package in ("mxopt", "mxopt.v1"):
        folder = HOME.joinpath(*package.split(".")[1:])
        yield folder / "__init__.pyi", packages(package)
        yield folder / "optimizer" / "__init__.pyi", optimizers(package)
    yield HOME / "nd" / "__init__.pyi", arrays()
    for name in COMPILED:
        module = importlib.import_module(f"mxopt.kernels.{name}")
        yield HOME / "kernels" / f"{name}.pyi", compiled(module)


def main():
    for path, text in stubs():
        path.write_text(text, encoding="utf-8")
    subprocess.run(["ruff", "format", "-q", *(str(path) for path, _ in stubs())], check=True)


if __name__ == "__main__":
    main()
