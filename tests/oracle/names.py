"""Write down the names of the MXNet that is installed, as ``mxopt/names/`` keeps them.

``python tests/oracle/names.py FILE``, in each of the two environments. A section per module; in it

* ``class Dense(gluon.block.HybridBlock): forward`` a class that lives there, its bases and what it defines,
* ``THRESHOLD = 0.5``                             a constant,
* ``split()  _LIB``                               functions and other objects that live there,
* ``Dense=gluon.nn.basic_layers.Dense``           a name for what lives elsewhere in MXNet,
* ``np>numpy``                                    a name for what is not MXNet's.
"""

import importlib
import inspect
import math
import pkgutil
import sys
import types
import warnings

#: What no script imports: the bindings of MXNet's C library, and its translations of operators to ONNX.
LEFT_OUT = (
    "mxnet.libmxnet",
    "mxnet.onnx.setup",
    "mxnet.onnx.mx2onnx._op_translations",
    "mxnet._ffi",
    "mxnet._ctypes",
    "mxnet._cy3",
    "mxnet.cython",
)

LONGEST = 100  # characters of a constant


def _left_out(name):
    return any(name == start or name.startswith(f"{start}.") for start in LEFT_OUT)


def _modules():
    import mxnet

    for found in pkgutil.walk_packages(mxnet.__path__, "mxnet.", onerror=lambda name: None):
        if not _left_out(found.name):
            try:
                importlib.import_module(found.name)
            except Exception as error:
                print(f"{found.name} cannot be imported: {error!r}", file=sys.stderr)
    mine = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "mxnet"}
    return {name: mine[name] for name in sorted(mine) if not _left_out(name)}


def _constant(value):
    if type(value) in (tuple, list):
        return all(_constant(x) for x in value)
    return type(value) in (int, str, bool, type(None)) or (type(value) is float and math.isfinite(value))


class _Namer:
    """Knows where each object lives."""

    def __init__(self, modules):
        self.modules = modules
        self.names = {id(module): name for name, module in reversed(modules.items())}
        self.places = {}
        for name, module in modules.items():
            for key, value in vars(module).items():
                if not key.startswith("__"):
                    self.places.setdefault(id(value), []).append((name, key))

    def home(self, value):
        """Where it was defined; without a sign of that, where it is found first."""
        found = self.places[id(value)]
        own = getattr(value, "__module__", None), getattr(value, "__name__", None)
        if own in found:
            return own
        return min(found, key=lambda p: (p[0] != "mxnet.base", p[0].count("."), len(p[0]), p))

    def outside(self, value):
        """The name of what is not MXNet's, or None."""
        if isinstance(value, types.ModuleType):
            return value.__name__
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] == "mxnet":
            return None
        found = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return f"{module}.{name}" if found is value else None

    def path(self, place):
        return ".".join(place).partition(".")[2]

    def base(self, value):
        """The name of a class that another derives from; nothing for `object` and for what has no name."""
        outside = self.outside(value)
        if outside:
            return f">{outside}" if value is not object else ""
        return self.path(self.home(value)) if id(value) in self.places else ""

    def section(self, name, module):
        lines, words = [], []
        for key, value in sorted(vars(module).items()):
            if key.startswith("__") or type(value).__module__ == "__future__":
                continue
            outside = self.outside(value)
            if id(value) in self.names:
                if self.names[id(value)] != f"{name}.{key}":
                    words.append(f"{key}={self.names[id(value)].partition('.')[2]}")
            elif _constant(value) and len(repr(value)) <= LONGEST:
                lines.append(f"{key} = {value!r}")
            elif outside:
                if not _left_out(outside):
                    words.append(f"{key}>{outside}")
            elif self.home(value) != (name, key):
                words.append(f"{key}={self.path(self.home(value))}")
            elif isinstance(value, type):
                bases = ", ".join(filter(None, map(self.base, value.__bases__)))
                members = " ".join(sorted(member for member in vars(value) if not member.startswith("__")))
                lines.append(f"class {key}({bases}): {members}".rstrip())
            else:
                words.append(f"{key}()" if inspect.isroutine(value) else key)
        return [f"[{name.partition('.')[2]}]", *lines, *([" ".join(words)] if words else [])]


def names():
    """The names of the MXNet that is installed, as text."""
    warnings.simplefilter("ignore")
    modules = _modules()
    namer = _Namer(modules)
    lines = [line for name, module in modules.items() for line in namer.section(name, module)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(names())
