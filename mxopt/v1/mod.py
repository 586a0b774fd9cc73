"""`mxopt.v1.module` under MXNet's other name."""

from ..namespace import alias

alias(__name__, "mxopt.v1.module")
