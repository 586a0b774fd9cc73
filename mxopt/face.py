"""MXNet's other module names, loaded when a script first asks for them.

``import mxopt`` must stay quick, and most programs need an optimizer and an updater only.
"""

from __future__ import annotations

import importlib
import sys

from . import checks

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


def lazy(package):
    """The ``__getattr__`` of a package that loads `MODULES` on demand."""
    missing = checks.missing_from(package, REST)

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
