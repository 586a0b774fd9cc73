"""The one stream of random numbers: SGLD's noise and `mxopt.random` draw from it.

Normal numbers are a function of the seed and of their place in the stream (see kernels/noise.h), so that
threads can make them in parallel and SGLD need not hold them in memory; all other numbers come from NumPy's
generator.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import kernels

_stream: np.random.Generator | None = None
_normals: Any = None
_owner: int | None = None


def seed(seed_state, ctx="all"):
    """Restart the stream; the numbers are not MXNet's.

    Parameters
    ----------
    seed_state : int
        Any integer; equal seeds give equal numbers.
    ctx : ignored
        Accepted because MXNet has a stream for each device.
    """
    _start(int(seed_state) % 2**64)


def _start(entropy):
    global _stream, _normals, _owner
    sequence = np.random.SeedSequence(entropy)
    _stream = np.random.Generator(np.random.PCG64(sequence))
    _normals = kernels.Stream(int(sequence.spawn(1)[0].generate_state(1, np.uint64)[0]))
    _owner = os.getpid()


def generator() -> np.random.Generator:
    """The generator in use.

    A forked child draws from a stream of its own, since workers that draw the same noise are of no use to a
    sampler. It is spawned from the parent's, so it is as reproducible as the parent.
    """
    if _stream is None:
        _start(None)
    elif _owner != os.getpid():
        _start([*(int(word) for word in _stream.bit_generator.random_raw(4)), _normals.place, os.getpid()])
    assert _stream is not None
    return _stream


def places(n):
    """Reserve the next `n` normal numbers of the stream: their key and their place.

    Returns
    -------
    tuple of int
    """
    generator()
    return _normals.take(n)


def position():
    """The position in the stream of normal numbers: its key and the next number's place.

    Returns
    -------
    tuple of int
    """
    generator()
    return _normals.key, _normals.place


def checked_position(value):
    """A position from a file, as `position` gave it, or None.

    Raises
    ------
    ValueError
    """
    if value is None:
        return None
    pair = list(value) if isinstance(value, (tuple, list)) else []
    if len(pair) != 2 or not all(type(part) is int and 0 <= part < 2**64 for part in pair):
        raise ValueError(
            f"noise_position must be a key and a place, integers from 0 to 2**64 - 1, got {value!r}"
        )
    return tuple(pair)


def move_to(key, place):
    """Continue from a `position`."""
    global _normals
    generator()
    _normals = kernels.Stream(key, place)


def fill(out):
    """Write the next normal numbers into a flat float32 or float64 array."""
    kernels.normals(*places(out.size), out)


def state():
    """The state that decides the numbers to come, to compare or record."""
    return repr((generator().bit_generator.state, _normals.key, _normals.place))
