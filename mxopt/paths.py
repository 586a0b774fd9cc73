"""MXNet's module paths and mxopt's, translated in both directions."""

from __future__ import annotations

V1 = "mxopt.v1"

#: MXNet's names of modules that are named differently here
OTHER_NAMES = {
    "contrib.amp": "amp", "amp.amp": "gluon.amp", "amp.loss_scaler": "gluon.amp", "amp": "gluon.amp",
    "device": "context", "gluon.metric": "metric", "init": "initializer", "kv": "kvstore", "mod": "module",
    "ndarray": "nd",
}  # fmt: skip

#: modules that both dialects share, with those below them: ``mxopt.v1.base`` is ``mxopt.base``
SHARED = (
    "base", "callback", "context", "gluon.amp", "gluon.data", "gluon.parameter", "gluon.utils",
    "initializer", "io", "lr_scheduler", "nd.random", "nd.sparse", "random", "registry", "test_utils",
    "util", "viz",
)  # fmt: skip


def _within(path, place):
    return path == place or path.startswith(f"{place}.")


def split(module):
    """The dialect that a module of mxopt belongs to, and its path below the package."""
    dialect = V1 if module == V1 or module.startswith(f"{V1}.") else "mxopt"
    return dialect, module[len(dialect) + 1 :]


def ours(dialect, path):
    """Our name of the module at a path below the package, whether MXNet's path or ours."""
    for theirs, own in OTHER_NAMES.items():
        if _within(path, theirs):
            path = own + path[len(theirs) :]
    if dialect == V1 and any(_within(path, shared) for shared in SHARED):
        dialect = "mxopt"
    return f"{dialect}.{path}" if path else dialect


def theirs(path):
    """MXNet's path for one of our modules."""
    if _within(path, "gluon.amp"):
        return path[len("gluon.") :]
    first, dot, rest = path.partition(".")
    return f"ndarray{dot}{rest}" if first == "nd" else path
