"""The raw update operators beside MXNet's: weights and states, with and without out=."""

import re

import mxnet
import numpy as np
import pytest

from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

DIALECT = dialects_here()[0]
OLD = DIALECT == "1.x"
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
    "contrib.adamw_update": (2, {**COMMON, "beta1": 0.87, "eta": 0.5}),
    "contrib.adabelief_update": (2, {**COMMON, "beta1": 0.87, "eta": 0.5, "epsilon": 1e-4}),
}
del SINGLE["ftml_update"][1]["clip_gradient"]
if OLD:
    del SINGLE["contrib.adabelief_update"]
#: those whose rescale_grad is an array of one number
SCALED = ("adamw", "adabelief")
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


#: AdamW and AdaBelief have kernels for float32 only. FTML and Ftrl round every intermediate to float16 there,
#: mxopt only the result.
COMPARED = {name: ["float32"] if "contrib" in name else ["float32", "float64", "float16"] for name in SINGLE}
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
        if "contrib" in name:
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
    "name",
    ["mp_sgd_update", "mp_sgd_mom_update", "mp_nag_mom_update", "contrib.mp_adamw_update",
     *([] if OLD else ["contrib.mp_adabelief_update"])],
)  # fmt: skip
def test_operator_with_a_master(name):
    states = {"mp_sgd_update": 0}.get(name, 2 if "contrib" in name else 1)
    settings = dict(COMMON) if "contrib" not in name else {**COMMON, "eta": 0.5}
    settings.update({"momentum": 0.9} if states == 1 else {})
    found = []
    for package in (mxnet, ours()):
        weight, grad, *rest = drawn(states, "float32", 5)
        arrays = made(package, [weight.astype("float16"), grad.astype("float16"), *rest, weight])
        if "contrib" in name:
            settings["rescale_grad"] = package.nd.array([0.3])
        operator(package, name)(*arrays, out=arrays[0], **settings)
        found.append(settle([arrays[0], *arrays[2:]]))
    for theirs, mine in zip(*found):
        np.testing.assert_array_equal(mine, theirs)


LISTS = ["adamw", "lamb"] if OLD else ["adamw", "adabelief", "lamb", "lans"]


@pytest.mark.parametrize("scalars", ["given", "defaults"])
@pytest.mark.parametrize("form", ["contrib", "_internal"])
@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "masters"])
@pytest.mark.parametrize("name", LISTS)
def test_operator_for_lists_of_contrib(name, mixed, form, scalars):
    rng = np.random.RandomState(23)
    rates = {"lrs": rng.uniform(0.001, 0.1, 3).tolist(), "wds": rng.uniform(0, 0.1, 3).tolist()}
    settings = {"clip_gradient": 0.2, "beta1": 0.87, "beta2": 0.98, "epsilon": 1e-5}
    if name in ("adamw", "adabelief"):
        rates = {**rates, "etas": rates["lrs"], "lrs": [1.0] * 3}
    else:
        settings.update(rescale_grad=0.3, lower_bound=0.5, upper_bound=1.5)
        rates["step_count"] = (1, 2, 7)
    if scalars == "defaults":
        settings = {}
    found = []
    for package in (mxnet, ours()):
        columns = []
        for i in range(3):
            weight, grad, mean, var = drawn(2, "float32", 7 + i, shape=(4, 2 + i))
            arrays = [weight.astype("float16"), grad.astype("float16")] if mixed else [weight, grad]
            columns.append(made(package, [*arrays, mean, var] + [weight] * mixed))
        out = [column[0] for column in columns]
        rescale = [package.nd.array([0.3])] if "etas" in rates else []
        full = f"multi_{'mp_' * mixed}{name}_update"
        if form == "contrib":
            lists = [list(arrays) for arrays in zip(*columns)]
            operator(package, f"contrib.{full}")(*lists, *rescale, out=out, **rates, **settings)
        else:
            flat = [array for column in columns for array in column] + rescale
            more = dict(rates)
            if not rescale:
                more["learning_rates"] = more.pop("lrs")
            more["num_weights" if rescale else "num_tensors"] = 3
            operator(package, f"_internal._{full}")(*flat, out=out, **more, **settings)
        found.append(settle([array for column in columns for array in (column[0], *column[2:])]))
    for theirs, mine in zip(*found):
        if OLD and name == "lamb" and mixed:
            # 1.9 rounds the squares of a float16 weight to float16 for its norm
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("rescale", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("name", [name for name in LISTS if name in SCALED])
def test_a_rescale_grad_that_says_overflow_skips_the_update(name, rescale):
    for package in (mxnet, ours()):
        arrays = made(package, drawn(2, "float32", 3))
        before = settle(arrays)
        scale = package.nd.array([rescale])
        settings = {"lr": 1.0, "eta": 0.1, "wd": 0.1}
        operator(package, f"contrib.{name}_update")(*arrays, scale, out=arrays[0], **settings)
        settings = {"lrs": [1.0], "etas": [0.1], "wds": [0.1]}
        lists = [[array] for array in arrays]
        operator(package, f"contrib.multi_{name}_update")(*lists, scale, out=lists[0], **settings)
        for after, array in zip(settle(arrays), before):
            np.testing.assert_array_equal(after, array)


@pytest.mark.parametrize("place", ["nd", "nd.contrib", "nd.sparse", "nd._internal"])
def test_every_update_operator_of_mxnet_is_here(place):
    theirs, mine = mxnet, ours()
    for part in place.split("."):
        theirs, mine = getattr(theirs, part), getattr(mine, part)
    pattern = re.compile(
        r"^(?!_backward).*_update(_phase\d)?$|^(multi_)?all_finite$|^multi_(lars|sum_sq)$|^reset_arrays$"
    )
    names = [name for name in dir(theirs) if pattern.match(name)]
    assert len(names) >= 5
    assert [name for name in names if not callable(getattr(mine, name, None))] == []


@pytest.mark.parametrize("preloaded", [False, True], ids=["rates as numbers", "rates as arrays"])
@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "masters"])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
def test_operator_for_lists(momentum, mixed, preloaded):
    name = f"{'preloaded_' * preloaded}multi_{'mp_' * mixed}sgd_{'mom_' * momentum}update"
    rng = np.random.RandomState(29)
    rates = {"lrs": rng.uniform(0.001, 0.1, 3).tolist(), "wds": rng.uniform(0, 0.1, 3).tolist()}
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
        # MXNet's kernels for rows order some operations differently than its dense ones
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("width", [1, 5, 20, 64, 1000])
def test_group_adagrad_update(width):
    found = []
    for package in (mxnet, ours()):
        weight, grad, history = made(package, drawn(1, "float32", 11, shape=(5, width)))
        history = history[:, :1].copy()
        if package is mxnet:  # its kernel takes nothing else
            weight, history = weight.tostype("row_sparse"), history.tostype("row_sparse")
        rows = package.nd.array([0, 3], dtype="int64")
        grad = package.nd.sparse.row_sparse_array((grad[0:2], rows), shape=(5, width))
        settings = {"lr": 0.1, "rescale_grad": 0.7, "clip_gradient": 0.5, "epsilon": 0.01}
        operator(package, "contrib.group_adagrad_update")(weight, grad, history, out=weight, **settings)
        found.append(settle([weight, history]))
    for theirs, mine in zip(*found):
        np.testing.assert_array_equal(mine, theirs)


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
