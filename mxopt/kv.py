"""`mxopt.kvstore` under MXNet's other name."""

from .namespace import alias

alias(__name__, "mxopt.kvstore")
