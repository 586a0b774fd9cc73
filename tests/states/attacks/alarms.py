"""Listens for what the interpreter does when it runs code, and never when it reads data."""

import contextlib
import sys

#: The beginnings of such audit events.
ALARMS = (
    "exec",
    "compile",
    "import",
    "os.",
    "subprocess.",
    "open",
    "pickle.",
    "socket.",
    "ctypes.",
    "marshal.",
)

_heard = None


def _listen(event, arguments):
    if _heard is not None and event.startswith(ALARMS):
        _heard.append((event, arguments))
        raise SystemError(f"reading caused the audit event {event} {arguments!r}")


sys.addaudithook(_listen)


@contextlib.contextmanager
def alarms():
    """Stop such events inside the block; yields the list of them, in case somebody catches the errors."""
    global _heard
    _heard = heard = []
    try:
        yield heard
    finally:
        _heard = None
