"""How far two training runs are apart."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Deviation:
    """The largest difference between two results.

    Attributes
    ----------
    relative : float
        Largest absolute difference, divided by the largest magnitude in that tensor.
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


def array_deviation(expected, got, where):
    """Compare two arrays; another dtype or shape, or NaN beside a number, is an infinite difference."""
    expected, got = np.atleast_1d(expected), np.atleast_1d(got)
    if expected.dtype != got.dtype or expected.shape != got.shape:
        told = f"{where}: {got.dtype} {got.shape} instead of {expected.dtype} {expected.shape}"
        return Deviation(np.inf, 2**31, told)
    both_nan = np.isnan(expected) & np.isnan(got)
    differ = (expected != got) & ~both_nan
    zero_signs = bool(np.any((np.signbit(expected) != np.signbit(got)) & ~differ & ~both_nan))
    if not differ.any():
        return Deviation(zero_signs=zero_signs)
    if not np.isfinite(expected[differ]).all() or not np.isfinite(got[differ]).all():
        return Deviation(np.inf, 2**31, f"{where}: not finite on one side", zero_signs)
    expected, got = np.ascontiguousarray(expected), np.ascontiguousarray(got)
    wide = expected.astype(np.float64), got.astype(np.float64)
    distance = np.abs(wide[0] - wide[1])[differ].max()
    largest = np.abs(wide[0][np.isfinite(wide[0])]).max()
    ulp = int(np.max(np.abs(_ordinals(expected[differ]) - _ordinals(got[differ]))))
    return Deviation(float(distance / (largest or 1.0)), ulp, where, zero_signs)


def tree_deviation(expected, got, where):
    """Compare two states: None, an array, or a tuple of such; another structure is an infinite difference."""
    if expected is None and got is None:
        return Deviation()
    if isinstance(expected, tuple) and isinstance(got, tuple) and len(expected) == len(got):
        total = Deviation()
        for position, (one, other) in enumerate(zip(expected, got)):
            total |= tree_deviation(one, other, f"{where}[{position}]")
        return total
    if isinstance(expected, np.ndarray) and isinstance(got, np.ndarray):
        return array_deviation(expected, got, where)
    return Deviation(np.inf, 2**31, f"{where}: {_shape_of(got)} instead of {_shape_of(expected)}")


def _shape_of(state):
    if isinstance(state, tuple):
        return f"({', '.join(map(_shape_of, state))})"
    return "None" if state is None else "array"


def snapshot_deviation(expected, got, step):
    """Compare two (weights, states) snapshots."""
    total = Deviation()
    for position, (one, other) in enumerate(zip(expected[0], got[0])):
        total |= array_deviation(one, other, f"step {step}, weight {position}")
    if expected[1].keys() != got[1].keys():
        return total | Deviation(
            np.inf, 2**31, f"step {step}: states of {[*got[1]]} instead of {[*expected[1]]}"
        )
    for key, state in expected[1].items():
        total |= tree_deviation(state, got[1][key], f"step {step}, state {key!r}")
    return total
