"""Interleaved timing: every round runs each contestant once, so that all see the same machine."""

import dataclasses
import statistics
import time

#: Seconds after which the previous contestant's idle threads have stopped spinning for work.
REST = 0.02
#: Seconds for which a contestant repeats in its turn, and the untimed calls before: after a rest, the first
#: two calls take up to twice as long.
TURN = 5e-3
WARM = 3


@dataclasses.dataclass
class Times:
    """Seconds per call of one contestant, round by round."""

    seconds: list

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def quartiles(self):
        if len(self.seconds) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high

    def ratio_to(self, other):
        """How many times as long as `other`, as the median over the rounds."""
        return statistics.median(mine / its for mine, its in zip(self.seconds, other.seconds))


def race(contestants, seconds=3.0, rounds=(5, 200)):
    """Time some functions against each other.

    Parameters
    ----------
    contestants : dict of str to callable
    seconds : float
        About how long all of it may take.
    rounds : tuple of int
        The fewest and the most.

    Returns
    -------
    dict of str to Times
    """
    calls = {}
    for name, function in contestants.items():
        function()
        begin = time.perf_counter()
        function()
        once = max(time.perf_counter() - begin, 1e-7)
        calls[name] = max(1, min(int(TURN / once), 1000))
    found = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    for number in range(rounds[1]):
        if number >= rounds[0] and time.perf_counter() > end:
            break
        for name, function in contestants.items():
            count = calls[name]
            if count > 1 or found[name][-1:] < [0.02]:
                time.sleep(REST)
                for _ in range(WARM):  # so that what fits in the caches is measured in them, for all alike
                    function()
            begin = time.perf_counter()
            for _ in range(count):
                function()
            found[name].append((time.perf_counter() - begin) / count)
    return {name: Times(values) for name, values in found.items()}
