"""A NaN that a step makes is the same one wherever it is made: on every instruction set, in every element."""

import json
from pathlib import Path

import numpy as np
import pytest
from cases import OPTIMIZERS, SETTINGS, every_setting
from processes import printed
from runs import everything, flat

import mxopt as mx

SPECIAL = np.array([np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0, 1.0, -2.0, 1e30, -1e30])
pytestmark = pytest.mark.filterwarnings("ignore:states of float16 weights")
DTYPES = ["float32", "float64", "float16"]
#: Of 1 to 16 elements some are left over from vectors of any length; 67 are vectors and three more.
SHAPES = ((5, 13), (67, 1), (1, 3), (16, 4), (1, 1))


def hostile(shape, dtype, seed):
    """Numbers that make NaNs, and NaNs of both signs, which a sum of two has to choose from."""
    with np.errstate(over="ignore"):
        return np.random.default_rng(seed).choice(SPECIAL, shape).astype(dtype)


def step(updater, weights, grads):
    with np.errstate(all="ignore"):  # of what NumPy computes on the way
        updater(list(range(len(weights))), grads, weights)


def updated(name, settings, weights, gradients):
    """An updater that has stepped weights with each list of gradients."""
    mx.random.seed(5)
    updater = mx.get_updater(mx.create(name, **{**settings, "use_fused_step": True}))
    for grads in gradients:
        step(updater, weights, grads)
    return updater


def spoil(updater, weights):
    """Replace weights and states by hostile numbers: a NaN in a state need not be seen in the weight."""
    arrays = [array for i in updater.states for array in flat(updater.states[i])]
    for seed, array in enumerate([*weights, *arrays]):
        if array.dtype.kind == "f" and array.shape in SHAPES:
            array[...] = hostile(array.shape, array.dtype, seed)


def run(name, settings, weights, gradients):
    """Weights and states after the steps."""
    return everything(updated(name, settings, weights, gradients), weights)


def print_bits():
    bits = {}
    for name in OPTIMIZERS:
        if name == "muon":  # where infinities cancel in its products depends on NumPy's BLAS
            continue
        for label, settings in SETTINGS[name].items():
            for dtype in DTYPES:
                weights = [hostile(shape, dtype, k) for k, shape in enumerate(SHAPES)]
                gradients = [
                    [hostile(shape, dtype, 100 * step + k) for k, shape in enumerate(SHAPES)]
                    for step in (1, 2, 3)
                ]
                arrays = run(name, settings, weights, gradients)
                bits[f"{name}, {label}, {dtype}"] = [array.tobytes().hex() for array in arrays]
    print(json.dumps(bits))


def test_nans_have_the_same_bits_on_every_instruction_set():
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); import test_nans; test_nans.print_bits()"
    )
    path = json.dumps([str(Path(__file__).parent)])
    available = mx.kernels.available_instruction_sets()
    found = {
        isa: json.loads(printed("-W", "ignore", "-c", code, path, MXOPT_ISA=isa).splitlines()[-1])
        for isa in available
    }
    for isa in available:
        differ = [key for key in found[isa] if found[isa][key] != found["baseline"][key]]
        assert not differ, f"{isa} and baseline differ: {differ}"


@pytest.mark.parametrize(("name", "settings"), every_setting())
def test_a_step_makes_one_kind_of_nan(name, settings):
    """Other NaNs were there before, in arrays that the step has not written."""
    for dtype in DTYPES:
        weights = [hostile(shape, dtype, k) for k, shape in enumerate(SHAPES)]
        gradients = [[hostile(shape, dtype, 9 + k) for k, shape in enumerate(SHAPES)]] * 3
        updater = updated(name, settings, weights, gradients[:2])
        spoil(updater, weights)
        before = everything(updater, weights)
        step(updater, weights, gradients[2])
        for array, old in zip(everything(updater, weights), before):
            if array.dtype.kind == "f" and array.tobytes() != old.tobytes():
                nans = array[np.isnan(array)]
                assert nans.tobytes() == np.full_like(nans, np.nan).tobytes(), (dtype, array.shape)


@pytest.mark.parametrize(("name", "settings"), every_setting(lambda row: not row.noise and not row.matrices))
def test_nans_have_the_same_bits_in_every_element(name, settings):
    """The elements left over from vectors are computed by other code, and a lone element by that alone."""
    for dtype in DTYPES:
        for weight in SPECIAL:
            for grad in SPECIAL:
                with np.errstate(over="ignore"):
                    weights = [np.full(67, weight).astype(dtype)]
                    gradients = [[np.full(67, grad).astype(dtype)]] * 2
                for array in run(name, settings, weights, gradients):
                    if array.size == 67 and np.isnan(array).any():
                        one = array[:1].tobytes()
                        assert array.tobytes() == one * 67, (dtype, weight, grad)
