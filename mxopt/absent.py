"""Stand-ins for what MXNet has and mxopt lacks: they import, and say what to do instead when first used.

A script imports far more than its optimizer needs, annotates with MXNet's classes and derives from them. So
every name that MXNet has is a true module, class or function here: ``hasattr``, ``inspect``, ``help``,
``isinstance``, annotations, subclasses, copies and pickles see nothing odd. Calling one, or making an
instance, raises `NotImplementedError` with what to do instead. A name that MXNet does not have raises
`AttributeError`.

The names themselves are in ``names/``, recorded from each release by ``tests/oracle/names.py``.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType

from .paths import V1, ours

#: the releases whose names a dialect has; the first is the one whose numbers it reproduces
RELEASES = {"mxopt": ("2.0.0b1", "1.9.1"), V1: ("1.9.1",)}

_MODELS = "define the model with a library that computes gradients, and hand its arrays to mxopt"
_GRADIENTS = "compute gradients with another library, and hand them to the updater or trainer"
_INPUTS = (
    "read the data with NumPy or another library, and hand the arrays to mx.io.NDArrayIter or a DataLoader"
)
_LAYERS, _SYMBOLS = ("layers", _MODELS), ("symbols", _MODELS)
_NUMPY = ("NumPy namespace of its own", "use numpy, whose arrays mxopt steps in place")
_ARRAYS = (
    "such function of arrays",
    "compute with NumPy (an NDArray is a numpy.ndarray), or with a library that computes gradients",
)
_IMAGES = ("image loading", _INPUTS)
_AMP = (
    "graphs to cast",
    "cast in the library that computes gradients; amp.init_trainer, scale_loss and unscale are here",
)

#: path below the package: (what it is, what to do instead); the longest prefix of a name wins
INSTEAD = {
    "": ("such part of MXNet", "mxopt has its optimizers and what scripts use around them"),
    "amp": _AMP,
    "attribute": _SYMBOLS,
    "autograd": ("automatic differentiation", _GRADIENTS),
    "base": ("C library of MXNet", "use NumPy on the arrays"),
    "contrib": ("MXNet's contrib packages", "scale losses and clip gradients around the updater"),
    "contrib.amp": _AMP,
    "engine": ("engine", "every operation has finished when it returns"),
    "executor": ("executors", _MODELS),
    "gluon": ("networks", _MODELS),
    "gluon.block": ("blocks", _MODELS),
    "gluon.data": ("datasets of files and images", _INPUTS),
    "gluon.loss": ("losses", _GRADIENTS),
    "gluon.model_zoo": ("models", _MODELS),
    "gluon.nn": _LAYERS,
    "gluon.probability": (
        "probability distributions",
        "use scipy.stats",
    ),
    "gluon.rnn": _LAYERS,
    "image": _IMAGES,
    "io": ("data files", _INPUTS),
    "libinfo": ("C library", "see mxopt.__version__"),
    "metric": ("such metric", "derive it from mx.metric.EvalMetric, or hand a function to mx.metric.np"),
    "model": ("models", "use mx.mod.ParameterModule over arrays by name"),
    "module": ("symbols", "use mx.mod.ParameterModule over arrays by name"),
    "monitor": ("monitors", "look at optimizer.effective() after a step"),
    "name": _SYMBOLS,
    "ndarray": _ARRAYS,
    "numpy": _NUMPY,
    "numpy_extension": _NUMPY,
    "operator": ("custom operators", _MODELS),
    "profiler": ("profiler", "use a Python profiler such as py-spy"),
    "random": _ARRAYS,
    "recordio": ("record files", _INPUTS),
    "rnn": ("recurrent networks", _MODELS),
    "runtime": ("build features of MXNet", "see mxopt.show_config()"),
    "symbol": _SYMBOLS,
    "test_utils": ("such helper of MXNet's tests", "compare arrays with numpy.testing"),
    "util": ("switches of array semantics", "arrays are those of NumPy, and so are shapes"),
    "visualization": ("plots of networks", _MODELS),
}

#: functions that scripts may call while they are imported, since they only return a decorator
DECORATORS = {"operator.register"}


class _Missing(NotImplementedError, AttributeError):
    """Raised for an attribute of a stand-in; an AttributeError too, so that `hasattr` answers False."""


class Names:
    """The names of one release.

    Parameters
    ----------
    release : str
        ``'1.9.1'`` or ``'2.0.0b1'``.
    """

    def __init__(self, release):
        text = Path(__file__).with_name("names").joinpath(f"{release}.txt").read_text(encoding="utf-8")
        parts = (part.partition("]") for part in text[1:].split("\n["))
        self._texts = {module: body for module, _, body in parts}
        self._entries = {}

    def __contains__(self, module):
        return module in self._texts

    def entries(self, module):
        """The names in a module, each with its kind and what is recorded about it."""
        if module not in self._entries:
            self._entries[module] = dict(self._parsed(module))
        return self._entries[module]

    def _parsed(self, module):
        start = f"{module}." if module else ""
        for name in self._texts:
            if name.startswith(start) and name != module and "." not in name[len(start) :]:
                yield name[len(start) :], ("module", name)
        for line in filter(None, self._texts[module].splitlines()):
            words = line.split()
            if words[0] == "class":
                head, _, members = line.partition(":")
                name, _, bases = head[len("class ") : -1].partition("(")
                yield name, ("class", ([base for base in bases.split(", ") if base], members.split()))
            elif len(words) > 1 and words[1] == "=":
                yield words[0], ("constant", line.partition(" = ")[2])
            else:
                yield from map(_word, words)


def _word(word):
    for sign, kind in (("=", "name"), (">", "outside")):
        name, found, target = word.partition(sign)
        if found:
            return name, (kind, target)
    return (word[:-2], ("function", None)) if word.endswith("()") else (word, ("object", None))


def _is_a_file(name):
    """Whether a module of this name is mxopt's own."""
    if name in sys.modules:
        return not isinstance(sys.modules[name], Missing)
    parent = name.rpartition(".")[0]
    if not parent or not _is_a_file(parent):
        return False
    places = getattr(importlib.import_module(parent), "__path__", [])
    return importlib.machinery.PathFinder.find_spec(name, places) is not None


@functools.cache
def _names(release):
    return Names(release)


class StandIns:
    """MXNet's names in a dialect: its own objects where it has them, stand-ins for the rest.

    Parameters
    ----------
    dialect : {'mxopt', 'mxopt.v1'}
    """

    def __init__(self, dialect):
        self.dialect = dialect
        self._made = {}

    def _releases(self):
        return [_names(release) for release in RELEASES[self.dialect]]

    def has_module(self, path):
        """Whether MXNet has a module of this path below its package."""
        return any(path in names for names in self._releases())

    def entry(self, module, name):
        """The (kind, details) of a name in a module of MXNet's, or None."""
        for names in self._releases():
            if module in names and name in names.entries(module):
                return names.entries(module)[name]
        return None

    def listed(self, module):
        """The names that MXNet has in a module."""
        found = {}
        for names in self._releases():
            if module in names:
                found.update(dict.fromkeys(names.entries(module)))
        return sorted(found)

    def get(self, module, name):
        """The object behind one of MXNet's names: mxopt's own, or a stand-in.

        Raises
        ------
        AttributeError
            MXNet has no such name there, or it belongs to a library that is not installed.
        """
        found = self.entry(module, name)
        if found is None:
            raise AttributeError(f"MXNet's {module or 'package'} has no {name!r}")
        kind, known = found
        if kind == "module":
            return self.module(known)
        if kind == "outside":
            return _outside(known)
        if kind == "name":
            return self._at(known)
        if kind == "constant":
            return ast.literal_eval(known)
        return self._real(module, name) or self._stand_in(module, name, kind, known)

    def _at(self, path):
        """The object at a path, which may be a module."""
        if self.has_module(path):
            return self.module(path)
        module, _, name = path.rpartition(".")
        real = self.real_module(module)
        if real is not None and name in vars(real):
            return vars(real)[name]
        return self.get(module, name)

    def module(self, path):
        """The module at a path: ours, or a stand-in."""
        real = self.real_module(path)
        if real is not None:
            return real
        if path not in self._made:
            made = Missing(f"{self.dialect}.{path}", self, path)
            self._made[path] = sys.modules.setdefault(made.__name__, made)
        return self._made[path]

    def real_module(self, path):
        """Our module for a path of MXNet's, or None."""
        name = ours(self.dialect, path)
        if not _is_a_file(name):
            return None
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            library = (error.name or "mxopt").partition(".")[0]
            if library == "mxopt":
                raise
            raise AttributeError(
                f"{name} needs {library}, which is not installed; pip install {library}"
            ) from None

    def _real(self, module, name):
        """Our own object: from the module, or from a package above that re-exports the name; else None."""
        real = self.real_module(module)
        if real is not None and name in vars(real):
            return vars(real)[name]
        parent, shown = module, ("name", f"{module}.{name}")
        while "." in parent:
            parent = parent.rpartition(".")[0]
            if any(shown == names.entries(parent).get(name) for names in self._releases() if parent in names):
                real = self.real_module(parent)
                if real is not None and name in vars(real):
                    return vars(real)[name]
        return None

    def _stand_in(self, module, name, kind, known):
        path = f"{module}.{name}" if module else name
        if path not in self._made:
            where = f"{self.dialect}.{module}" if module else self.dialect
            if kind == "class":
                made = self._class(where, name, *known)
            elif kind == "function":
                made = _function(where, name, self.message(path), path in DECORATORS)
            else:
                made = Value(where, name, self.message(path))
            self._made[path] = made
        return self._made[path]

    def message(self, path):
        """The message for the first use of a name."""
        place = path
        while place and place not in INSTEAD:
            place = place.rpartition(".")[0]
        what, instead = INSTEAD[place]
        name = f"{self.dialect}.{path}" if path else self.dialect
        return f"{name} is not here, because mxopt has no {what}: it only steps arrays; {instead}"

    def _class(self, where, name, bases, members):
        path = f"{where}.{name}"[len(self.dialect) + 1 :]
        message = self.message(path)
        parents = []
        for base in bases:
            outside = base.startswith(">")
            parent = _outside(base[1:]) if outside else self._at(base)
            # Other libraries' classes are of no use without what MXNet adds, unless they are exceptions.
            if isinstance(parent, type) and (not outside or issubclass(parent, BaseException)):
                parents.append(parent)
        body = {member: _function(where, f"{name}.{member}", message) for member in members}
        body.update(__module__=where, __qualname__=name, __doc__=f"Not in mxopt. {message}.")
        if not any(issubclass(parent, BaseException) for parent in parents):
            body["__new__"] = _refusal(message)
        try:
            return type(name, tuple(parents) or (object,), body)
        except TypeError:  # a base that cannot be subclassed, or bases that conflict
            return type(name, (object,), body)


def _refusal(message):
    def __new__(cls, *_args, **_kwargs):
        raise NotImplementedError(message)

    return __new__


def _function(where, name, message, decorator=False):
    def missing(*_args, **_kwargs):
        if decorator:
            return lambda decorated: decorated
        raise NotImplementedError(message)

    missing.__module__, missing.__qualname__ = where, name
    missing.__name__ = name.rpartition(".")[2]
    missing.__doc__ = f"Not in mxopt. {message}."
    return missing


def _outside(name):
    """Look up a dotted name in another library."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AttributeError(f"{parts[0]} is not installed")


class Missing(ModuleType):
    """A module of MXNet's that mxopt does not have, with all of its names."""

    def __init__(self, name, stand_ins, path):
        super().__init__(name, f"Not in mxopt. {stand_ins.message(path)}.")
        self.__path__ = []  # it may have submodules
        self.__package__ = name
        self.__stand_ins = stand_ins
        self.__place = path

    def __getattr__(self, name):
        if name == "__all__":
            return [name for name in self.__stand_ins.listed(self.__place) if not name.startswith("_")]
        if name.startswith("__") or self.__stand_ins.entry(self.__place, name) is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.__stand_ins.get(self.__place, name)

    def __dir__(self):
        return sorted({*vars(self), *self.__stand_ins.listed(self.__place)})

    def __call__(self, *_args, **_kwargs):
        raise NotImplementedError(self.__stand_ins.message(self.__place))

    def __reduce__(self):
        return importlib.import_module, (self.__name__,)


class Value:
    """An object of MXNet's that mxopt does not have."""

    def __init__(self, where, name, message):
        self.__dict__.update(__module__=where, __name__=name, __doc__=f"Not in mxopt. {message}.")
        self.__message = message

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise _Missing(f"{self.__message} (asked for {name!r})")

    def __refuse(self, *_args, **_kwargs):
        raise NotImplementedError(self.__message)

    __call__ = __getitem__ = __setitem__ = __iter__ = __len__ = __contains__ = __enter__ = __refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __lt__ = __gt__ = __le__ = __ge__ = (
        __refuse
    )
    __instancecheck__ = __float__ = __int__ = __index__ = __refuse

    def __bool__(self):
        return True

    def __repr__(self):
        return f"<not in mxopt: {self.__dict__['__module__']}.{self.__dict__['__name__']}>"

    def __reduce__(self):
        return _found, (self.__dict__["__module__"], self.__dict__["__name__"])


def _found(module, name):
    return getattr(importlib.import_module(module), name)


@functools.cache
def stand_ins(dialect):
    """The stand-ins of a dialect, made when they are first asked for."""
    return StandIns(dialect)
