"""Runs one case on both sides, and the table of what came out."""

import collections
import importlib.metadata

from cases import DTYPES, draw_case

from .compare import Comparison, Deviation
from .driver import MXNet, mxopt_for, run
from .expect import cells, expected, goes_on_from_mxnet


def mxnet_version():
    """Return the version of the MXNet installed here, or None."""
    try:
        return importlib.metadata.version("mxnet")
    except importlib.metadata.PackageNotFoundError:
        return None


def dialects_here():
    """The dialects that the MXNet installed here speaks."""
    return ("1.x",) if mxnet_version().startswith("1.") else ("2.x fused", "2.x step")


def cells_here(optimizers=None):
    """The cells that can be compared with the MXNet installed here."""
    return [cell for cell in cells(optimizers) if cell[1] in dialects_here()]


def compare_runs(case, theirs, prepare=None):
    """Compare mxopt's run with MXNet's; return the largest deviation over all steps, weights and states.

    Parameters
    ----------
    theirs : iterable of (step, weights, states)
        All steps, or the last ones.
    prepare : callable, optional
        Called with mxopt's optimizer.
    """
    comparison = Comparison(case)
    ours = run(case, mxopt_for(case.dialect), prepare)
    step, given = 0, None
    for at, *expected_ in theirs:
        while step < at:
            step, *got = ours.send(given)
            given = None
            if step < at:  # not recorded, but these steps show the sizes of the tensors
                comparison.add(step, got, got)
        comparison.add(step, expected_, got)
        if goes_on_from_mxnet(case):
            given = expected_
    return comparison.total


def compare_case(case, prepare=None):
    """Run a case on both sides; return the largest deviation over all steps, weights and states."""
    import mxnet

    return compare_runs(case, run(case, MXNet(mxnet)), prepare)


class Table:
    """Collects deviations by cell and prints them: optimizer x dialect x path, a column for each dtype."""

    def __init__(self):
        self.found = collections.defaultdict(list)

    def add(self, case, deviation):
        self.found[case.optimizer, case.dialect, case.path, case.dtype].append(deviation)

    def __str__(self):
        lines = [("optimizer", "dialect", "path", *DTYPES)]
        for row in dict.fromkeys(cell[:3] for cell in self.found):
            lines.append((*row, *(self._told(self.found.get((*row, dtype), ())) for dtype in DTYPES)))
        widths = [max(map(len, column)) for column in zip(*lines)]
        lines.insert(1, tuple("-" * width for width in widths))
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines
        )

    @staticmethod
    def _told(deviations):
        if not deviations:
            return ""
        worst = Deviation()
        for deviation in deviations:
            worst |= deviation
        return f"{len(deviations)}: {worst}"


def verdict(case, deviation, limit=None):
    """Return None if the case came close enough, otherwise one line that says what went wrong."""
    limit = limit or expected(case)
    if limit.allows(deviation):
        return None
    promised = f"{limit.limit:.0e} ({limit.why})" if limit.limit else "equal bits"
    return f"{deviation} instead of {promised}; {deviation.where}; {case}"


def runs_of(cell, runs):
    """The random cases of one cell."""
    return [draw_case(*cell, number) for number in range(runs)]
