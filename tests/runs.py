"""Short training runs, for tests that compare two ways of doing the same."""

import numpy as np

import mxopt as mx
from mxopt import kernels

#: The engine converts 128 elements at a time and steps 512: one of these ends within its first 128, one just
#: after a whole block. Work is shared among threads from 65,536 elements on; tests of that bring their own.
SHAPES = ((7, 5), (1027,), (3, 1), (130, 17))
MATRICES = ((7, 5), (13, 79), (3, 1), (130, 17))


def shapes_of(name):
    from cases import OPTIMIZERS

    return MATRICES if OPTIMIZERS[name].matrices else SHAPES


def tensors(shapes, dtype="float32", seed=0):
    """Weights or gradients of both signs, some zero, a few large."""
    rng = np.random.RandomState(seed)
    made = []
    for shape in shapes:
        values = rng.standard_normal(shape) * np.where(rng.uniform(size=shape) < 0.02, 30.0, 1.0)
        made.append(np.where(rng.uniform(size=shape) < 0.05, 0.0, values).astype(dtype))
    return made


def gradients(shapes, dtype="float32", step=0):
    return tensors(shapes, dtype, seed=1000 + step)


def rows_of(rows, step, share=0.4):
    """Some row numbers of a weight, ascending; at least one."""
    rng = np.random.RandomState(77 + step)
    return np.unique(np.append(np.flatnonzero(rng.uniform(size=rows) < share), rng.randint(rows)))


def flat(state):
    """All arrays of a nested state, in order."""
    if state is None:
        return []
    if isinstance(state, (tuple, list)):
        return [array for part in state for array in flat(part)]
    return list(state.arrays) if isinstance(state, kernels.Narrow) else [state]


def everything(updater, weights):
    """Weights and states of a run, as bytes-comparable copies."""
    return [w.copy() for w in weights] + [a.copy() for i in updater.states for a in flat(updater.states[i])]


def assert_same_bits(got, expected, but=""):
    assert len(got) == len(expected)
    for number, (a, b) in enumerate(zip(got, expected)):
        assert a.dtype == b.dtype and a.shape == b.shape, (number, a.dtype, b.dtype, a.shape, b.shape)
        if a.tobytes() != b.tobytes():
            differ = np.flatnonzero(a.ravel().view(f"u{a.itemsize}") != b.ravel().view(f"u{a.itemsize}"))
            raise AssertionError(
                f"{but} array {number} of shape {a.shape} differs in {len(differ)} elements, first at "
                f"{differ[0]}: {a.ravel()[differ[0]]!r} is not {b.ravel()[differ[0]]!r}"
            )


def run(
    name,
    settings=(),
    *,
    shapes=None,
    dtype="float32",
    steps=4,
    lists=True,
    convert=None,
    grad_dtype=None,
    gradient=None,
    weights=None,
    package=mx,
):
    """Train for a few steps.

    Parameters
    ----------
    lists : bool
        One call with all tensors, or one call a tensor.
    convert : callable, optional
        Applied to every weight and gradient before the run (another memory layout, say).
    gradient : callable, optional
        (step, position, dense gradient) -> what the updater is given.

    Returns
    -------
    list of arrays
        Weights, then all states.
    """
    mx.random.seed(5)
    shapes = shapes or shapes_of(name)
    updater = package.get_updater(package.create(name, **dict(settings)))
    weights = tensors(shapes, dtype) if weights is None else weights
    if convert:
        weights = [convert(w) for w in weights]
    for step in range(steps):
        grads = gradients(shapes, grad_dtype or dtype, step)
        if convert:
            grads = [convert(g) for g in grads]
        if gradient:
            grads = [gradient(step, i, g) for i, g in enumerate(grads)]
        if lists:
            updater(list(range(len(weights))), grads, weights)
        else:
            for i, (g, w) in enumerate(zip(grads, weights)):
                updater(i, g, w)
    return everything(updater, weights)


def trained(package, name, weight, grad, updates=1, **keywords):
    """Update a copy of one weight; return the updater and the copy."""
    updater = package.get_updater(package.create(name, **keywords))
    weight = weight.copy()
    for _ in range(updates):
        updater(0, grad, weight)
    return updater, weight
