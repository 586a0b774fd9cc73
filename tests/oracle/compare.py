"""How far two training runs are apart."""

import collections
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Deviation:
    """The largest difference between two results.

    Attributes
    ----------
    relative : float
        Largest absolute difference, divided by the largest magnitude that the tensor has had.
    ulp : int
        Largest number of floating-point numbers between two elements; it explodes where subtraction cancels.
    where : str
        What differed most.
    zero_signs : bool
        Whether 0 met -0.
    """

    relative: float = 0.0
    ulp: int = 0
    where: str = ""
    zero_signs: bool = False

    def __or__(self, other):
        farther = other if (other.relative, other.ulp) > (self.relative, self.ulp) else self
        return dataclasses.replace(
            farther, ulp=max(self.ulp, other.ulp), zero_signs=self.zero_signs or other.zero_signs
        )

    def __str__(self):
        if self.relative:
            return f"{self.relative:.0e} ({self.ulp} ulp)"
        return "exact but for 0 and -0" if self.zero_signs else "exact"


_INTEGERS = {2: np.int16, 4: np.int32, 8: np.int64}


def _ordinals(array):
    """Integers in the order of the floats, 0 and -0 alike, one apart for neighbours."""
    bits = array.view(_INTEGERS[array.itemsize]).astype(object if array.itemsize == 8 else np.int64)
    return np.where(bits < 0, -(bits + 2 ** (8 * array.itemsize - 1)), bits)


class Comparison:
    """Compares two runs snapshot by snapshot.

    Differences are relative to the largest magnitude that the tensor has had so far: a number that passes
    near zero carries the roundings of the sizes it came from.

    Parameters
    ----------
    half_ulps : int, default 0
        How far float16 weights may be apart where their float32 masters need not be equal: then one may be
        rounded up and the other down. The masters are compared for themselves.
    """

    def __init__(self, half_ulps=0):
        self.total = Deviation()
        self.half_ulps = half_ulps
        self._largest = collections.defaultdict(float)

    def add(self, step, expected, got):
        """Compare two (weights, states) snapshots made after `step`."""
        for position, (one, other) in enumerate(zip(expected[0], got[0])):
            self._arrays(step, f"weight {position}", one, other)
        if expected[1].keys() != got[1].keys():
            self._differs(step, "states", f"of {[*got[1]]} instead of {[*expected[1]]}")
            return
        for key, state in expected[1].items():
            self._trees(step, f"state {key!r}", state, got[1][key])

    def _differs(self, step, name, how):
        self.total |= Deviation(np.inf, 2**31, f"step {step}, {name}: {how}")

    def _trees(self, step, name, expected, got):
        if isinstance(expected, tuple) and isinstance(got, tuple) and len(expected) == len(got):
            for position, (one, other) in enumerate(zip(expected, got)):
                self._trees(step, f"{name}[{position}]", one, other)
        elif isinstance(expected, np.ndarray) and isinstance(got, np.ndarray):
            self._arrays(step, name, expected, got)
        elif expected is not None or got is not None:
            self._differs(step, name, f"{_shape_of(got)} instead of {_shape_of(expected)}")

    def _arrays(self, step, name, expected, got):
        if (expected.dtype, expected.shape) != (got.dtype, got.shape):
            told = f"{got.dtype} {got.shape} instead of {expected.dtype} {expected.shape}"
            self._differs(step, name, told)
            return
        expected, got = np.ascontiguousarray(expected), np.ascontiguousarray(got)
        finite = expected[np.isfinite(expected)]
        if finite.size:
            self._largest[name] = max(self._largest[name], float(np.abs(finite).max()))
        both_nan = np.isnan(expected) & np.isnan(got)
        differ = (expected != got) & ~both_nan
        signs = (np.signbit(expected) != np.signbit(got)) & ~differ & ~both_nan
        self.total |= Deviation(zero_signs=bool(signs.any()))
        if not differ.any():
            return
        if not (np.isfinite(expected[differ]).all() and np.isfinite(got[differ]).all()):
            self._differs(step, name, "not finite on one side")
            return
        distance = np.abs(expected[differ].astype(np.float64) - got[differ].astype(np.float64)).max()
        ulp = np.abs(_ordinals(expected[differ]) - _ordinals(got[differ])).max()
        if expected.dtype == np.float16 and ulp <= self.half_ulps:
            return
        self.total |= Deviation(float(distance / self._largest[name]), int(ulp), f"step {step}, {name}")


def _shape_of(state):
    if isinstance(state, tuple):
        return f"({', '.join(map(_shape_of, state))})"
    return "None" if state is None else "array"
