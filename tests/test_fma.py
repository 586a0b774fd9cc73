"""x * y + z rounded once, on every instruction set: what Schedule-Free SGD makes of its iterate."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from processes import printed

import mxopt as mx

#: Doubles that are floats too, so that -lr is what the rule multiplies by.
RATE = float(np.float32((1 + 2.0**-23) * 2.0**-12))


def operands():
    """Gradients and iterates: random ones of all sizes, and pairs whose sum lies just beside a tie."""
    rng = np.random.default_rng(5)
    grads = rng.standard_normal(3000) * 2.0 ** rng.integers(-60, 60, 3000)
    iterates = rng.standard_normal(3000) * 2.0 ** rng.integers(-60, 60, 3000)
    near = [-s * (1 - 2.0**-23) * 2.0**-12 for s in (1, -1) for _ in range(64)]
    beside = [1 + k * 2.0**-23 for _ in (1, -1) for k in range(64)]
    rest = [np.inf, np.nan, 0.0, -0.0, 3e38, 1e-30]
    return tuple(
        np.array([*a, *b, *rest], np.float32) for a, b in ((grads, near), (iterates, beside))
    )  # fmt: skip


def print_sums():
    grad, weight = operands()
    updater = mx.get_updater(mx.create("schedulefreesgd", learning_rate=RATE))
    updater(0, grad, weight.copy())
    print(json.dumps(updater.states[0][0].view(np.int32).tolist()))


def nearest(exact):
    """The float nearest to a Fraction, ties to even."""
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(to)) for to in (-np.inf, np.inf)] + [guess]
    return min(around, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1))


def test_sums_are_rounded_once_on_every_instruction_set():
    grad, iterate = operands()
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.array([
            nearest(Fraction(-RATE) * Fraction(float(g)) + Fraction(float(z)))
            if np.isfinite(g) and np.isfinite(z) and np.isfinite(np.float32(-RATE * float(g) + float(z)))
            else np.float32(-RATE * float(g) + float(z))
            for g, z in zip(grad, iterate)
        ])  # fmt: skip
    code = "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); import test_fma; test_fma.print_sums()"
    path = json.dumps([str(Path(__file__).parent)])
    for isa in mx.kernels.available_instruction_sets():
        found = np.array(json.loads(printed("-c", code, path, MXOPT_ISA=isa)), np.int32).view(np.float32)
        np.testing.assert_array_equal(found, expected, err_msg=isa)
