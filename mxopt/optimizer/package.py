"""What both dialects' packages of optimizers need to set themselves up."""

from __future__ import annotations

from ..namespace import missing_from


def finish(dialect, base, updater):
    """Register the classes that a dialect's package has imported with the dialect.

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
    """The package's ``__getattr__``, which gives scripts array functions and update operators.

    MXNet's own optimizer modules imported these names, so scripts take them from there.

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
