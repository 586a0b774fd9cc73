"""Norms of whole tensors, for `step` of the optimizers that need them."""

import numpy as np

from .. import kernels


def norm(array):
    """The Euclidean norm, in the array's own type.

    Tensors of up to `kernels.WHOLE_SUM` elements are summed exactly as MXNet sums them: one element at a
    time, relative to the largest magnitude so far (the BLAS algorithm). Larger ones, where such a sum loses
    digits, are summed in float64.

    Parameters
    ----------
    array : ndarray
    """
    array = np.asarray(array)
    real = array.dtype.type
    if array.size > kernels.WHOLE_SUM:
        return real(np.sqrt(np.sum(np.square(array, dtype=np.float64))))
    sizes = np.abs(array).ravel()
    sizes = sizes[sizes != 0]
    if not sizes.size or np.isnan(sizes).any():
        return real(sizes.sum())
    # At each new largest magnitude, the sum so far is rescaled to it.
    records = np.flatnonzero(np.diff(np.maximum.accumulate(sizes), prepend=real(0)))
    scale, total = real(0), real(0)
    with np.errstate(all="ignore"):
        for begin, end in zip(records, [*records[1:], sizes.size]):
            ratio, scale = scale / sizes[begin], sizes[begin]
            total = real(1) + total * ratio * ratio
            total = np.add.accumulate(np.append(total, np.square(sizes[begin + 1 : end] / scale)))[-1]
        return scale * np.sqrt(total)


def trust_ratio(weight_norm, update_norm, lower_bound=None, upper_bound=None):
    """The weight's norm over the update's; 1 where either is zero or NaN.

    Parameters
    ----------
    weight_norm, update_norm : numpy.float32 or numpy.float64
    lower_bound, upper_bound : float, optional
        Limits of the weight's norm; None and 0: no limit.
    """
    real = type(weight_norm)
    if lower_bound:
        weight_norm = max(weight_norm, real(lower_bound))
    if upper_bound:
        weight_norm = min(weight_norm, real(upper_bound))
    return weight_norm / update_norm if weight_norm > 0 and update_norm > 0 else real(1)


def plain_norm(array):
    """As `norm`, but summing plain squares one by one, as MXNet 1.9's multi_sum_sq does."""
    if not 0 < array.size <= kernels.WHOLE_SUM:
        return norm(array)
    return np.sqrt(np.add.accumulate(np.square(array).ravel())[-1])
