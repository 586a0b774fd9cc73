"""MXNet's module names, loaded when first used.

``import mxopt`` must stay quick, and most programs need only an optimizer and an updater, so the other
modules are loaded on demand. Stand-ins for what mxopt does not have are in `mxopt.absent`.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys

from .paths import ours, split, theirs

#: MXNet's names of modules that the package loads when they are first accessed as attributes
LOADED_LATER = {
    "base", "callback", "context", "device", "gluon", "init", "initializer", "io", "kv", "kvstore", "metric",
    "mod", "model", "module", "nd", "ndarray", "random", "test_utils", "util", "viz",
}  # fmt: skip

#: the message for the rest of MXNet
REST = "mxopt has MXNet's optimizers and what their scripts use around them, and no networks, data or graphs"

#: the message for missing array functions
ARRAYS = (
    "mxopt has the array functions that optimizers use; compute with NumPy (an NDArray is a numpy.ndarray), "
    "or with a library that computes gradients"
)


def missing_from(module, instead=""):
    """The ``__getattr__`` of a namespace that has only some of MXNet's names.

    Parameters
    ----------
    module : str
        Its name.
    instead : str, optional
        What mxopt has instead, for the message.

    Returns
    -------
    callable
        Gives a stand-in for a name of MXNet's, and raises AttributeError for any other.
    """
    dialect, path = split(module)
    path = theirs(path)

    def __getattr__(name):
        text = f"module {module!r} has no attribute {name!r}"
        if name.startswith("__"):
            raise AttributeError(text)
        from .absent import stand_ins

        if stand_ins(dialect).entry(path, name) is None:
            raise AttributeError(f"{text}; {instead}" if instead else text)
        return stand_ins(dialect).get(path, name)

    return __getattr__


def lazy(package):
    """The ``__getattr__`` of a package that loads `MODULES` on demand."""
    missing = missing_from(package, REST)

    def __getattr__(name):
        if name not in LOADED_LATER:
            return missing(name)
        module = importlib.import_module(ours(package, name))
        setattr(sys.modules[package], name, module)
        return module

    return __getattr__


def listing(package):
    """The ``__dir__`` of a package: its public names, loaded or not."""

    def __dir__():
        there = vars(sys.modules[package])
        public = {name for name in there if not name.startswith("_") and name not in _INNER}
        return sorted(public | LOADED_LATER | {name for name in there if name.startswith("__")})

    return __dir__


#: internal modules and helpers, which become attributes of the package once they are imported
_INNER = {
    "absent", "arrays", "checks", "clipping", "complete", "config", "curves", "describing", "dialects",
    "kernels", "lazy", "listing", "loggers", "loss_scaling", "microbatches", "mxopt", "namespace", "paths",
    "registry", "reprs", "saving", "slots", "sparse", "spelling", "states", "stream",
}  # fmt: skip


def complete(package):
    """Give every loaded module of a package a ``__getattr__`` for the rest of MXNet's names."""
    for name, module in list(sys.modules.items()):
        if (name == package or name.startswith(f"{package}.")) and "__getattr__" not in vars(module):
            module.__getattr__ = missing_from(module.__name__)


def is_stand_in(found):
    """Whether something is a stand-in of `mxopt.absent`."""
    return type(found).__module__ == f"{__package__}.absent"


class _OtherNames:
    """Finds modules by their aliases, so that none is loaded twice; asked before the file system."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("mxopt."):
            return None
        own = ours(*split(name))
        return None if own == name else importlib.machinery.ModuleSpec(name, _Loader(own))


class _StandIns:
    """Finds what MXNet has and mxopt lacks; asked when every other finder has failed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("mxopt."):
            return None
        from .absent import stand_ins

        dialect, module = split(name)
        if not stand_ins(dialect).has_module(theirs(module)):
            return None
        return importlib.machinery.ModuleSpec(name, _Loader(None), is_package=True)


class _Loader:
    """Loads a module by returning the one that exists already."""

    def __init__(self, own):
        self.own = own

    def create_module(self, spec):
        if self.own is not None:
            module = importlib.import_module(self.own)
        else:
            from .absent import stand_ins

            dialect, path = split(spec.name)
            module = stand_ins(dialect).module(theirs(path))
        self.spec = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self.spec  # the import system has just replaced it by the alias's


def _install():
    for finder, position in ((_OtherNames, 0), (_StandIns, len(sys.meta_path) + 1)):
        # when this module is reloaded, replace the old ones
        for old in [f for f in sys.meta_path if getattr(f, "__qualname__", "") == finder.__qualname__]:
            sys.meta_path.remove(old)
        sys.meta_path.insert(position, finder)


_install()
