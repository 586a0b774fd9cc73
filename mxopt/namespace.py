"""MXNet's names: modules loaded when first asked for, and stand-ins for what mxopt does not have.

``import mxopt`` must stay quick, and most programs need an optimizer and an updater only, so the rest of
MXNet's module names are loaded on demand. A legacy script also imports far more than its optimizer needs:
such imports work, and the first use of what is missing raises `NotImplementedError` with the way out.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

#: name below mxopt: the module that it is
MODULES = {
    "nd": "nd",
    "ndarray": "nd",
    "gluon": "gluon",
    "kv": "kvstore",
    "kvstore": "kvstore",
    "mod": "module",
    "module": "module",
    "model": "model",
    "random": "random",
    "context": "context",
    "device": "context",
    "base": "base",
    "test_utils": "test_utils",
}


#: what to say of all the rest of MXNet
REST = "mxopt has MXNet's optimizers and what their scripts use around them, and no networks, data or graphs"

#: what to say of functions of arrays that are missing
ARRAYS = (
    "mxopt has the array functions that optimizers use; compute with NumPy (an NDArray is a numpy.ndarray), "
    "or with a library that computes gradients"
)


def missing_from(module, instead):
    """The ``__getattr__`` of a namespace that has a part of what MXNet's has.

    Parameters
    ----------
    module : str
        Its name.
    instead : str
        What there is.

    Returns
    -------
    callable
        Raises AttributeError, so that ``hasattr`` works.
    """

    def __getattr__(name):
        text = f"module {module!r} has no attribute {name!r}"
        raise AttributeError(text if name.startswith("__") else f"{text}; {instead}")

    return __getattr__


def lazy(package):
    """The ``__getattr__`` of a package that loads `MODULES` on demand."""
    missing = missing_from(package, REST)

    def __getattr__(name):
        if name not in MODULES:
            missing(name)
        module = importlib.import_module(f"{package}.{MODULES[name]}")
        setattr(sys.modules[package], name, module)
        return module

    return __getattr__


def alias(name, target):
    """Make ``import name`` give another module, with its submodules: one module, two names."""
    module = importlib.import_module(target)
    for loaded in [key for key in sys.modules if key.startswith(f"{target}.")]:
        sys.modules[name + loaded[len(target) :]] = sys.modules[loaded]
    sys.modules[name] = module


# -- what MXNet has and mxopt has not ---------------------------------------------------------------

_MODELS = "define the model with a library that computes gradients, and hand its arrays to mxopt"
_GRADIENTS = "compute gradients with another library, and hand them to the updater or trainer"
_INPUTS = "read the data with NumPy or another library"
_FILL = "fill the arrays with NumPy (numpy.random.default_rng)"
_NUMPY = ("NumPy namespace of its own", "use numpy, whose arrays mxopt steps in place")
_METRICS = ("metrics", "compute them with NumPy or scikit-learn")
_MODULES = ("symbols", "use mx.mod.ParameterModule over arrays by name")
_SYMBOLS, _LAYERS, _BLOCKS = (("symbols", _MODELS), ("layers", _MODELS), ("blocks", _MODELS))

#: module path below mxopt: (what it is, what to do instead)
ABSENT = {
    "autograd": ("automatic differentiation", _GRADIENTS),
    "sym": _SYMBOLS,
    "symbol": _SYMBOLS,
    "executor": ("executors", _MODELS),
    "operator": ("custom operators", _MODELS),
    "rnn": ("recurrent networks", _MODELS),
    "np": _NUMPY,
    "npx": _NUMPY,
    "init": ("initializers", _FILL),
    "initializer": ("initializers", _FILL),
    "io": ("data iterators", _INPUTS),
    "recordio": ("data files", _INPUTS),
    "image": ("image loading", _INPUTS),
    "metric": _METRICS,
    "callback": ("training callbacks", "call your own function after each step"),
    "monitor": ("monitors", "look at optimizer.effective() after a step"),
    "profiler": ("a profiler", "use a Python profiler such as py-spy"),
    "visualization": ("plots of networks", _MODELS),
    "viz": ("plots of networks", _MODELS),
    "engine": ("engine", "every operation has finished when it returns"),
    "util": ("switches of array semantics", "arrays are those of NumPy, and so are shapes"),
    "runtime": ("build features of MXNet", "see mxopt.show_config()"),
    "libinfo": ("C library", "see mxopt.__version__"),
    "name": _SYMBOLS,
    "attribute": _SYMBOLS,
    "numpy": _NUMPY,
    "numpy_extension": _NUMPY,
    "contrib": ("MXNet's contrib packages", "scale losses and clip gradients around the updater"),
    "amp": ("automatic mixed precision", "use multi_precision=True, and scale the loss around the updater"),
    "gluon.nn": _LAYERS,
    "gluon.rnn": _LAYERS,
    "gluon.loss": ("losses", _GRADIENTS),
    "gluon.data": ("datasets", _INPUTS),
    "gluon.model_zoo": ("models", _MODELS),
    "gluon.contrib": ("MXNet's contrib packages", _MODELS),
    "gluon.block": _BLOCKS,
    "gluon.Block": _BLOCKS,
    "gluon.HybridBlock": _BLOCKS,
    "gluon.SymbolBlock": _BLOCKS,
    "gluon.metric": _METRICS,
    "mod.Module": _MODULES,
    "mod.BucketingModule": _MODULES,
    "mod.BaseModule": _MODULES,
}


class Absent(ModuleType):
    """A part of MXNet that mxopt does not have; any use of it raises."""

    def __init__(self, name, what, instead):
        super().__init__(name, f"Not in mxopt: {what}.")
        self.__path__ = []  # so that `from mxopt.gluon.nn import Dense` gets as far as the message
        self.__message = f"{name} is not here, because mxopt has no {what}: it only steps arrays; {instead}"

    def __getattr__(self, name):
        if name.startswith("__"):  # what the interpreter and tools look for in every module
            raise AttributeError(name)
        raise NotImplementedError(f"{self.__message} (asked for {name!r})")

    def __call__(self, *_args, **_kwargs):
        raise NotImplementedError(self.__message)

    def __mro_entries__(self, _bases):
        raise NotImplementedError(self.__message)


def stand_in(module, package=None, root="mxopt"):
    """Give a module a stand-in for everything that MXNet has there and mxopt has not.

    Parameters
    ----------
    module : str
        Its name.
    package : str, optional
        The name scripts know it by, when that is another: ``mxopt.mod`` for ``mxopt.module``.
    root : str
        The package below which `ABSENT` names places.
    """
    package = package or module
    place = package[len(root) + 1 :]
    for path, (what, instead) in ABSENT.items():
        parent, _, name = path.rpartition(".")
        if parent == place:
            missing = Absent(f"{package}.{name}", what, instead)
            setattr(sys.modules[module], name, missing)
            sys.modules.setdefault(missing.__name__, missing)
