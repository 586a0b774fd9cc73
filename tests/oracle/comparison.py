"""Runs one case on both sides, and the table of what came out."""

import collections
import importlib.metadata

from cases import DTYPES, draw_case

from .compare import Comparison, Deviation
from .driver import MXNet, mxopt_for, run
from .expect import cells, expected


def mxnet_version():
    """Return the version of the MXNet installed here, or None."""
    try:
        return importlib.metadata.version("mxnet")
    except importlib.metadata.PackageNotFoundError:
        return None


def dialects_here():
    """The dialects that the MXNet installed here speaks."""
    return ("1.9",) if mxnet_version().startswith("1.") else ("2.x fused", "2.x step")


def cells_here(optimizers=None):
    """The cells that can be compared with the MXNet installed here."""
    return [cell for cell in cells(optimizers) if cell[1] in dialects_here()]


def comparison_for(case):
    """A `Comparison` as strict as the case allows."""
    return Comparison(half_ulps=1 if case.master and expected(case).limit else 0)


def compare_case(case):
    """Run a case on both sides; return the largest deviation over all steps, weights and states."""
    import mxnet

    comparison = comparison_for(case)
    for (step, *theirs), (_, *ours) in zip(run(case, MXNet(mxnet)), run(case, mxopt_for(case.dialect))):
        comparison.add(step, theirs, ours)
    return comparison.total


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


def verdict(case, deviation):
    """Return None if the case came close enough, otherwise one line that says what went wrong."""
    limit = expected(case)
    if limit.allows(deviation):
        return None
    promised = f"{limit.limit:.0e} ({limit.why})" if limit.limit else "equal bits"
    return f"{deviation} instead of {promised}; {deviation.where}; {case}"


def runs_of(cell, runs):
    """The random cases of one cell."""
    return [draw_case(*cell, number) for number in range(runs)]
