"""Gradient compression of stores: two bits per element, the remainder kept for later steps."""

from __future__ import annotations

import numpy as np

from .. import checks

#: How many elements' codes fit in a byte.
_A_BYTE = 4


class TwoBit:
    """Sends +threshold, -threshold or nothing for each element; the rest is added to the next gradient.

    Parameters
    ----------
    threshold : float
    """

    def __init__(self, threshold=0.5):
        self.threshold = checks.number("threshold", threshold)
        if not self.threshold > 0:
            raise ValueError(f"threshold must be greater than 0, got {threshold!r}")
        self._left = {}

    def encode(self, key, gradient):
        """The codes of a gradient, four to a byte; the remainder is kept by key.

        Parameters
        ----------
        key : int or str
        gradient : float32 array
        """
        left = self._left.get(key)
        if left is None:
            left = self._left[key] = np.zeros(gradient.shape, np.float32)
        left += gradient
        threshold = np.float32(self.threshold)
        # as in MXNet, an infinity is sent again and again, a NaN never
        above, below = left >= threshold, left <= -threshold
        left[above] -= threshold
        left[below] += threshold
        codes = np.zeros(-(-gradient.size // _A_BYTE) * _A_BYTE, np.uint8)
        codes[: gradient.size] = above.ravel() + 2 * below.ravel().astype(np.uint8)
        codes = codes.reshape(-1, _A_BYTE)
        return codes[:, 0] | codes[:, 1] << 2 | codes[:, 2] << 4 | codes[:, 3] << 6

    def decode(self, codes, shape):
        """The gradient that the codes represent."""
        values = np.array([0, self.threshold, -self.threshold, 0], np.float32)
        every = np.stack([codes >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).reshape(-1)
        return values[every[: int(np.prod(shape, dtype=np.int64))]].reshape(shape)


def from_parameters(parameters):
    """The compression that the arguments of ``set_gradient_compression`` ask for.

    Parameters
    ----------
    parameters : dict
        ``type`` and ``threshold``; others are ignored, as in MXNet.
    """
    if not isinstance(parameters, dict) or "type" not in parameters:
        raise ValueError(
            f"compression_params must be a dict with 'type', such as {{'type': '2bit'}}, got {parameters!r}"
        )
    kind = parameters["type"]
    if kind == "none":
        return None
    if kind != "2bit":
        raise ValueError(f"unknown type of gradient compression {kind!r}; use '2bit' or 'none'")
    return TwoBit(float(parameters.get("threshold", 0.5)))
