"""A KeyboardInterrupt at a chosen line of mxopt."""

import sys


class Interrupter:
    """Raises KeyboardInterrupt at the n-th line of mxopt that runs."""

    def __init__(self, at):
        self.at = self.left = at

    def __call__(self, frame, event, _argument):
        if not frame.f_globals.get("__name__", "").startswith("mxopt"):
            return None
        if event == "line" or event == "return":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *_):
        sys.settrace(self.before)


def interrupters():
    """One for the first line, one for the second, and so on, until a call ends before its line comes.

    A call that ends without the error is not the last: Python drops an error that is raised as a generator is
    closed.
    """
    at, left = 0, 0
    while left <= 0:
        at += 1
        one = Interrupter(at)
        yield one
        left = one.left
