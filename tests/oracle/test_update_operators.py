"""The raw update operators beside MXNet's: weights and states, with and without out=."""

import mxnet
import numpy as np
import pytest

from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

DIALECT = dialects_here()[0]
OLD = DIALECT == "1.9"
RHO, MOMENTUM = ("gamma1", "gamma2") if OLD else ("rho", "momentum")
COMMON = {"lr": 0.0123, "wd": 0.017, "rescale_grad": 0.3, "clip_gradient": 0.21}
NOT_DECAYED = {key: value for key, value in COMMON.items() if key != "wd"}

#: operator: (number of states, scalars)
SINGLE = {
    "sgd_update": (0, COMMON),
    "sgd_mom_update": (1, {**COMMON, "momentum": 0.9}),
    "nag_mom_update": (1, {**COMMON, "momentum": 0.9}),
    "signsgd_update": (0, COMMON),
    "signum_update": (1, {**COMMON, "momentum": 0.9, "wd_lh": 0.01}),
    "ftml_update": (3, {**NOT_DECAYED, "wd": 0.017, "t": 3, "clip_grad": 0.21}),
    "adam_update": (2, {**COMMON, "beta1": 0.87, "epsilon": 1e-6}),
    "rmsprop_update": (1, {**COMMON, RHO: 0.93}),
    "rmspropalex_update": (3, {**COMMON, RHO: 0.93, MOMENTUM: 0.4, "clip_weights": 0.9}),
    "ftrl_update": (2, {**COMMON, "lamda1": 0.02}),
    "lamb_update_phase1": (2, {"t": 4, "wd": 0.017, "rescale_grad": 0.3, "clip_gradient": 0.21}),
    "contrib.adamw_update": (2, {**NOT_DECAYED, "wd": 0.017, "eta": 0.5}),
}
del SINGLE["ftml_update"][1]["clip_gradient"]
#: MXNet 2's kernel takes powf of the rounded beta; see the comparison of the optimizer
CLOSE = {} if OLD else {"ftml_update": 1e-6}


def ours():
    return mxopt_for(DIALECT).package


def operator(package, name):
    place = package.nd
    for part in name.split("."):
        place = getattr(place, part)
    return place


def drawn(states, dtype, seed, shape=(5, 7)):
    rng = np.random.RandomState(seed)
    weight, grad = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape)
    return [array.astype(dtype) for array in
            (weight, grad, *(rng.uniform(0.1, 1, shape) for _ in range(states)))]  # fmt: skip


def made(package, arrays):
    return [package.nd.array(array, dtype=array.dtype) for array in arrays]


def settle(arrays):
    return [np.array(array.asnumpy()) for array in arrays]


#: MXNet's AdamW has a kernel for float32 only. FTML and Ftrl round every intermediate to float16 there, mxopt
#: only the result.
COMPARED = {name: ["float32"] if "adamw" in name else ["float32", "float64", "float16"] for name in SINGLE}
for name in ("ftml_update", "ftrl_update"):
    COMPARED[name].remove("float16")


@pytest.mark.parametrize("scalars", ["given", "defaults"])
@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name in SINGLE for dtype in COMPARED[name]])
def test_operator(name, dtype, scalars):
    states, settings = SINGLE[name]
    if scalars == "defaults":
        settings = {key: settings[key] for key in ("lr", "t", "eta") if key in settings}
        settings.update({"wd": 0.0} if "lamb" in name else {})
    found = []
    for package in (mxnet, ours()):
        arrays = made(package, drawn(states, dtype, 3))
        more = dict(settings)
        if "adamw" in name:
            more["rescale_grad"] = package.nd.array([more.get("rescale_grad", 1.0)])
        update = operator(package, name)
        weight = arrays[0].asnumpy()
        # MXNet's AdamW leaves the rescaled gradient in the caller's array
        fresh = update(arrays[0], arrays[1].copy(), *(state.copy() for state in arrays[2:]), **more)
        np.testing.assert_array_equal(arrays[0].asnumpy(), weight)  # only written through out=
        update(*arrays, out=arrays[0], **more)
        found.append(settle([fresh, arrays[0], *arrays[2:]]))
    for theirs, mine in zip(*found):
        if dtype == "float32" and name not in CLOSE:
            np.testing.assert_array_equal(mine, theirs)
        else:
            # other dtypes: float64 takes its scalars unrounded here, float16 is rounded once
            rtol = {"float16": 4e-3, "float64": 1e-5}.get(dtype, CLOSE.get(name))
            np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    "name", ["mp_sgd_update", "mp_sgd_mom_update", "mp_nag_mom_update", "contrib.mp_adamw_update"]
)
def test_operator_with_a_master(name):
    states = {"mp_sgd_update": 0, "contrib.mp_adamw_update": 2}.get(name, 1)
    settings = dict(COMMON) if "adamw" not in name else {**COMMON, "eta": 0.5}
    settings.update({"momentum": 0.9} if states == 1 else {})
    found = []
    for package in (mxnet, ours()):
        weight, grad, *rest = drawn(states, "float32", 5)
        arrays = made(package, [weight.astype("float16"), grad.astype("float16"), *rest, weight])
        if "adamw" in name:
            settings["rescale_grad"] = package.nd.array([0.3])
        operator(package, name)(*arrays, out=arrays[0], **settings)
        found.append(settle([arrays[0], *arrays[2:]]))
    for theirs, mine in zip(*found):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("preloaded", [False, True], ids=["rates as numbers", "rates as arrays"])
@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "masters"])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
def test_operator_for_lists(momentum, mixed, preloaded):
    name = f"{'preloaded_' * preloaded}multi_{'mp_' * mixed}sgd_{'mom_' * momentum}update"
    rates = {"lrs": (0.1, 0.0123, 0.3), "wds": (0.0, 0.01, 0.017)}
    found = []
    for package in (mxnet, ours()):
        columns = []
        for i in range(3):
            weight, grad, mom = drawn(1, "float32", 7 + i, shape=(4, 2 + i))
            arrays = [weight.astype("float16"), grad.astype("float16")] if mixed else [weight, grad]
            columns.append(made(package, arrays + [mom] * momentum + [weight] * mixed))
        flat = [array for column in columns for array in column]
        settings = {"rescale_grad": 0.3, "clip_gradient": 0.2, "num_weights": 3}
        settings.update({"momentum": 0.9} if momentum else {})
        if preloaded:
            flat += [package.nd.array(rates["lrs"]), package.nd.array(rates["wds"])]
        else:
            settings.update(rates)
        operator(package, name)(*flat, out=[column[0] for column in columns], **settings)
        found.append(settle([array for column in columns for array in (column[0], *column[2:])]))
    for theirs, mine in zip(*found):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "standard"])
@pytest.mark.parametrize(("name", "states"), [("sgd_update", 0), ("sgd_mom_update", 1), ("adam_update", 2)])
def test_operator_with_a_row_sparse_gradient(name, states, lazy):
    found = []
    for package in (mxnet, ours()):
        weight, grad, *rest = made(package, drawn(states, "float32", 11))
        rows = package.nd.array([0, 3], dtype="int64")
        grad = package.nd.sparse.row_sparse_array((grad[0:2], rows), shape=(5, 7))
        with quiet():
            operator(package, name)(weight, grad, *rest, out=weight, lr=0.1, wd=0.01, lazy_update=lazy)
        found.append(settle([weight, *rest]))
    for theirs, mine in zip(*found):
        # MXNet's kernels for rows order some operations otherwise than its dense ones
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=2e-7)


def test_lamb_in_two_phases():
    found = []
    for package in (mxnet, ours()):
        weight, grad, mean, var = made(package, drawn(2, "float32", 13))
        g = package.nd.lamb_update_phase1(weight, grad, mean, var, t=2, wd=0.1, beta1=0.9, beta2=0.999)
        r1, r2 = package.nd.array([1.25]), package.nd.array([0.75])
        package.nd.lamb_update_phase2(weight, g, r1, r2, lr=0.1, lower_bound=0.1, upper_bound=1.0, out=weight)
        found.append(settle([weight, g, mean, var]))
    for theirs, mine in zip(*found):
        np.testing.assert_array_equal(mine, theirs)


def test_lars_and_finite_checks():
    found = []
    for package in (mxnet, ours()):
        lrs, weights, grads, wds = made(package, drawn(2, "float32", 17, shape=(6,)))
        scaled = package.nd.multi_lars(lrs, weights.abs(), grads, wds, eta=0.001, eps=1e-8, rescale_grad=0.5)
        arrays = made(package, drawn(0, "float32", 19))
        sums = package.nd.multi_sum_sq(*arrays, num_arrays=2)
        finite = package.nd.multi_all_finite(*arrays, num_arrays=2)
        arrays[1][2] = float("nan")
        finite = [finite, package.nd.all_finite(arrays[0]), package.nd.all_finite(arrays[1])]
        found.append(settle([scaled, sums, *finite]))
    for theirs, mine in zip(*found):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
