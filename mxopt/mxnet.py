"""Make ``import mxnet`` import mxopt, in a script and in every module that it imports, without edits.

    python -m mxopt.mxnet train.py --epochs 3              # as MXNet 2.x
    python -m mxopt.mxnet --dialect 1.x -m package.train   # as 1.9.1

In a program, before anything imports mxnet: ``import mxopt.mxnet; mxopt.mxnet.install("1.x")``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import os
import runpy
import sys
from types import ModuleType

from . import dialects
from .absent import RELEASES

#: the package that ``mxnet`` means, once it has been installed
_meant: str | None = None


class _Finder:
    """Finds ``mxnet`` and its submodules in the package that it stands for."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        top, _, rest = name.partition(".")
        if top != "mxnet" or _meant is None:
            return None
        own = f"{_meant}.{rest}" if rest else _meant
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name != own:
                raise
            return None
        return importlib.machinery.ModuleSpec(name, _Loader(module if rest else _Package(module)))


class _Package(ModuleType):
    """The package under MXNet's name: all of its attributes, and the version of the release it follows."""

    def __init__(self, package):
        super().__init__("mxnet", package.__doc__)
        public = [name for name in vars(package) if not name.startswith("_")]
        vars(self).update(
            _package=package,
            __version__=RELEASES[package.__name__][0],
            __all__=getattr(package, "__all__", public),
        )

    def __getattr__(self, name):
        return getattr(self._package, name)

    def __setattr__(self, name, value):
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(self._package, name, value)

    def __delattr__(self, name):
        delattr(self._package, name)

    def __dir__(self):
        return dir(self._package)


class _Loader:
    """Loads a module by returning the one that exists already: one module, two names."""

    def __init__(self, module):
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec):
        return self.module

    def exec_module(self, module):
        module.__spec__ = self.spec  # which the import system has just replaced


def install(dialect="2.x"):
    """From now on, make imports of ``mxnet`` and its submodules give mxopt's.

    Parameters
    ----------
    dialect : {'2.x', '1.x'}
        `mxopt` or `mxopt.v1`.

    Raises
    ------
    ImportError
        When something else is already imported under that name.

    Examples
    --------
    >>> import mxopt.mxnet
    >>> mxopt.mxnet.install("1.x")          # doctest: +SKIP
    >>> import mxnet as mx                  # doctest: +SKIP
    """
    global _meant
    package = dialects.get(dialect).package
    present = sys.modules.get("mxnet")
    if present is not None and vars(present).get("_package") is not importlib.import_module(package):
        origin = getattr(present, "__file__", None) or present
        raise ImportError(
            f"mxnet has been imported already, from {origin}; call mxopt.mxnet.install() before that, or run "
            "the script by python -m mxopt.mxnet"
        )
    _meant = package
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def main(arguments=None):
    """Run a script or module, followed by its own arguments, with mxopt as its ``mxnet``."""
    parser = argparse.ArgumentParser(
        prog="python -m mxopt.mxnet",
        usage="%(prog)s [--dialect {2.x,1.x}] (script.py | -m module) [arguments ...]",
        description="Run a script in which `import mxnet` gives mxopt, also in the modules that it imports.",
    )
    parser.add_argument(
        "--dialect", choices=dialects.NAMES, default="2.x", help="whose behaviour; default 2.x"
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
    parser.add_argument("target", help="a script, or a module after -m")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="those of the script")
    options = parser.parse_args(arguments)
    install(options.dialect)
    sys.argv = [options.target, *options.arguments]
    if options.module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(options.target, run_name="__main__", alter_sys=True)
        return 0
    if not os.path.exists(options.target):
        parser.error(f"there is no script {options.target!r}")
    sys.path.insert(0, os.path.dirname(os.path.abspath(options.target)))
    runpy.run_path(options.target, run_name="__main__")
    return 0


if __name__ == "__main__":
    # run as __main__, this is a second copy of the module: the hook must be the one that others import
    from mxopt.mxnet import main as _main

    sys.exit(_main())
