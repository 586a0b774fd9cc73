"""Classes that scripts make by name: metrics, initializers, and families of their own (``mx.registry``)."""

from __future__ import annotations

import json
import warnings

from . import checks

#: The subclasses of each base class by name, for MXNet's functions below
_families: dict[type, Named] = {}


class Named:
    """A base class' subclasses by lower-case name.

    Parameters
    ----------
    base : type
    kind : str
        What the classes are, for messages; also the key of the name in a description.
    classes : dict, optional
        The initial ones.
    """

    def __init__(self, base, kind, classes=()):
        self.base, self.kind = base, kind
        self.classes = dict(classes)
        _families.setdefault(base, self)

    def register(self, cls, name=None):
        """Register a class under its name, or another; usable as a decorator.

        A later class of the same name replaces the first, with a warning unless it is the same class
        again, as when a cell of a notebook is run twice.
        """
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            raise TypeError(f"only a subclass of {self.base.__name__} can be registered, got {cls!r}")
        name = (name or cls.__name__).lower()
        old = self.classes.get(name)
        if old is not None and (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
            warnings.warn(
                f"{self.kind} {name!r} was {old.__module__}.{old.__name__} "
                f"and is now {cls.__module__}.{cls.__name__}",
                UserWarning,
                stacklevel=2,
            )
        self.classes[name] = cls
        return cls

    def alias(self, *names):
        """A decorator that registers a class under more names."""

        def enter(cls):
            for name in names:
                self.register(cls, name)
            return cls

        return enter

    def create(self, *args, **kwargs):
        """Make an instance by name.

        Parameters
        ----------
        *args
            First the name: a registered one in any case, an instance (which is returned), or a description
            as MXNet writes it: ``'["xavier", {"magnitude": 2}]'`` or a dict. Then the constructor's
            arguments.
        **kwargs
            The constructor's arguments; without `args` also the name, under the name of the kind.
        """
        if not args and self.kind not in kwargs:
            raise TypeError(f"the name of the {self.kind} is missing")
        name, *args = args or (kwargs.pop(self.kind),)
        described = isinstance(name, dict) or (isinstance(name, str) and name[:1] in ("[", "{"))
        if (described or isinstance(name, self.base)) and (args or kwargs):
            raise TypeError(f"{name!r} is a whole {self.kind}; leave the other arguments out")
        if isinstance(name, self.base):
            return name
        if described:
            found = json.loads(name) if isinstance(name, str) else name
            if isinstance(found, dict):
                return self.create(**found)
            return self.create(found[0], **found[1])
        if not isinstance(name, str):
            raise TypeError(f"the name of the {self.kind} must be a string, got {type(name).__name__}")
        if name.lower() not in self.classes:
            hint = checks.nearest(name.lower(), self.classes) or f"; there are {', '.join(self.classes)}"
            raise ValueError(f"unknown {self.kind} {name!r}{hint}")
        return self.classes[name.lower()](*args, **kwargs)


def _family(base_class, nickname):
    return _families.get(base_class) or Named(base_class, nickname)


def get_registry(base_class):
    """The registered subclasses of a class by lower-case name; a copy.

    Parameters
    ----------
    base_class : type

    Returns
    -------
    dict of str to type
    """
    return dict(_family(base_class, base_class.__name__.lower()).classes)


def get_register_func(base_class, nickname):
    """A decorator that registers subclasses of a class by name.

    Parameters
    ----------
    base_class : type
    nickname : str
        What the classes are, for messages.

    Returns
    -------
    callable
        ``register(cls, name=None)``
    """
    return _family(base_class, nickname).register


def get_alias_func(base_class, nickname):
    """A decorator that registers a subclass of a class under several names.

    Parameters
    ----------
    base_class : type
    nickname : str
        What the classes are, for messages.

    Returns
    -------
    callable
        ``alias(*names)``
    """
    return _family(base_class, nickname).alias


def get_create_func(base_class, nickname):
    """A function that makes instances of the registered subclasses of a class.

    Parameters
    ----------
    base_class : type
    nickname : str
        What the classes are, for messages; also the key of the name in a description.

    Returns
    -------
    callable
        ``create(name, *args, **kwargs)``; takes what `mx.init.create` takes.
    """
    return _family(base_class, nickname).create
