"""The one stream of random numbers: SGLD's noise and `mxopt.random` draw from it."""

from __future__ import annotations

import os

import numpy as np

_stream = None
_owner = None


def seed(seed_state, ctx="all"):
    """Restart the stream; the numbers are those of NumPy's generator, not MXNet's.

    Parameters
    ----------
    seed_state : int
    ctx : ignored
        Accepted because MXNet has a stream for each device.
    """
    global _stream, _owner
    _stream, _owner = np.random.default_rng(int(seed_state) % 2**64), os.getpid()


def generator() -> np.random.Generator:
    """The generator in use.

    A forked child draws from a stream of its own: two workers that drew the same noise would be no help to a
    sampler. It is spawned from the parent's, so it is as reproducible as the parent is.
    """
    global _stream, _owner
    pid = os.getpid()
    if _stream is None:
        _stream, _owner = np.random.default_rng(), pid
    elif _owner != pid:
        _stream, _owner = np.random.default_rng([*_stream.bit_generator.random_raw(4), pid]), pid
    return _stream
