"""`mxopt.v1.nd` under MXNet's other name."""

from ..namespace import alias

alias(__name__, "mxopt.v1.nd")
