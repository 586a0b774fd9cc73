"""How far two training runs are apart."""

import collections
import dataclasses

import numpy as np
from cases import weights_of

from .expect import expected


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

    Where a weight moves by the sign of a number (Signum), that number may lie on either side of zero, if it
    is a rounding away from it: the two weights may then be apart by as much as two of the largest steps.

    Parameters
    ----------
    case : Case
    """

    def __init__(self, case):
        self.total = Deviation()
        #: Where float32 masters need not be equal, one may be rounded up and the other down. The masters are
        #: compared separately.
        self.half_ulps = 1 if case.master and expected(case).limit else 0
        self.keys = case.keys
        self.by_sign = (
            case.optimizer == "signum" and case.dtype == "float16" and case.settings["momentum"] > 0
        )
        self._before = weights_of(case)
        self._largest = collections.defaultdict(float)
        for position, weight in enumerate(self._before):
            largest = float(np.abs(weight).max(initial=0))
            self._largest[f"weight {position}"] = largest
            if case.optimizer == "test":  # its state is the weight
                self._largest[f"state {case.keys[position]!r}"] = largest

    def add(self, step, expected, got):
        """Compare two (weights, states) snapshots made after `step`."""
        for position, (one, other) in enumerate(zip(expected[0], got[0])):
            turned = self._turned(position, expected, got) if self.by_sign else None
            self._arrays(step, f"weight {position}", one, other, turned)
        self._before = expected[0]
        if expected[1].keys() != got[1].keys():
            self._differs(step, "states", f"of {[*got[1]]} instead of {[*expected[1]]}")
            return
        for key, state in expected[1].items():
            self._trees(step, f"state {key!r}", state, got[1][key])

    def _turned(self, position, expected, got):
        """Where the two momenta have different signs, and the weights are as close as that explains."""
        (one, states), (other, same) = expected, got
        key = self.keys[position]
        if key not in states:
            return None
        signs = np.sign(states[key]) != np.sign(same[key])
        steps = np.abs(one[position].astype(np.float64) - self._before[position]).max(initial=0)
        apart = np.abs(one[position].astype(np.float64) - other[position])
        return signs & (apart <= 2.01 * steps)

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

    def _arrays(self, step, name, expected, got, turned=None):
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
        if turned is not None:
            differ &= ~turned
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
