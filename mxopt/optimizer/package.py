"""What makes a package the one of a dialect's optimizers."""

from __future__ import annotations

from ..namespace import missing_from


def finish(dialect, base, updater):
    """Fill a dialect with the classes that its package has imported.

    Parameters
    ----------
    dialect : Dialect
    base, updater : type
        Its `Optimizer` and `Updater`.

    Returns
    -------
    list of str
        The package's ``__all__``.
    """
    dialect.fill(base, updater, _over)
    classes = dialect.registry.classes.values()
    names = ["Optimizer", "Updater", "create", "describe", "get_updater", "list_optimizers", "opt_registry",
             "register"]  # fmt: skip
    return names + [cls.__name__ for cls in classes]


def _over(comm, updater, *arguments):
    """An updater whose states are spread over the ranks of a communicator."""
    from ..distributed import sharded

    return sharded.updater_over(comm, updater, *arguments)


def array_functions(package):
    """The ``__getattr__`` of the package, from which scripts take array functions and update operators.

    That is where MXNet's own optimizers imported them.

    Parameters
    ----------
    package : str
        Its name.
    """

    missing = missing_from(package)

    def __getattr__(name):
        if not name.startswith("_"):
            from .. import nd

            if name in nd.__all__:
                return getattr(nd, name)
        return missing(name)

    return __getattr__
