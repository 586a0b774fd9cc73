"""``nd.contrib.multi_*_update``: the optimizers' rules, called by hand."""

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import nd

CASES = [(mxopt, name) for name in ("lamb", "lans", "adamw", "adabelief")] + [(mxopt.v1, "lamb")]
SETTINGS = {"beta1": 0.87, "beta2": 0.98, "epsilon": 1e-5, "clip_gradient": 0.4}


def drawn(seed, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (5,), (2, 1))]


def zeros(arrays, dtype="float32"):
    return [nd.zeros(array.shape, dtype=dtype) for array in arrays]


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "masters"])
@pytest.mark.parametrize(("mx", "name"), CASES, ids=lambda x: getattr(x, "__name__", x))
def test_a_loop_of_calls_gives_what_the_optimizer_gives(mx, name, mixed):
    dtype = "float16" if mixed else "float32"
    rates = [0.1, 0.03, 0.007]
    optimizer = mx.optimizer.create(name, learning_rate=1.0, multi_precision=mixed, wd=0.01, **SETTINGS)
    if name in ("adamw", "adabelief"):
        optimizer.correct_bias = False
    optimizer.set_lr_mult(dict(enumerate(rates)))
    updater = mx.optimizer.get_updater(optimizer)
    expected, weights = drawn(1, dtype), drawn(1, dtype)
    mean, var = zeros(weights), zeros(weights)
    masters = [[weight.astype(np.float32) for weight in weights]] if mixed else []
    operator = getattr(mx.nd.contrib, f"multi_{'mp_' * mixed}{name}_update")
    for step in range(1, 4):
        grads = drawn(step + 1, dtype)
        updater([0, 1, 2], grads, expected)
        if name in ("adamw", "adabelief"):
            more = {"rescale_grad": nd.ones((1,)), "lrs": [1] * 3, "wds": [0.01] * 3, "etas": rates}
        else:
            more = {"step_count": [step] * 3, "lrs": rates, "wds": [0.01] * 3}
        operator(weights, grads, mean, var, *masters, out=weights, **more, **SETTINGS)
    for found, wanted in zip(weights, expected):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["adamw", "adabelief"])
def test_a_rate_before_etas_is_multiplied(name):
    """To the last digits: two products round twice."""
    found = []
    for lr, eta in ((1.0, 0.03), (0.3, 0.1)):
        weights = drawn(1)
        mean, var = zeros(weights), zeros(weights)
        getattr(nd.contrib, f"multi_{name}_update")(
            weights, drawn(2), mean, var, 1.0, [lr] * 3, [0.0] * 3, [eta] * 3, out=weights
        )
        found.append(weights)
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"lrs": [0.1]}, ValueError, "multi_lamb_update takes one lr for each of the 3 weights, got 1"),
        ({"wds": None}, TypeError, "multi_lamb_update needs wds"),
        ({"step": 3}, TypeError, "no argument 'step'"),
        ({"betaa1": 0.9}, TypeError, "no argument 'betaa1'; did you mean 'beta1'"),
        ({"grads": "short"}, ValueError, "lists of equal lengths, got 3, 2, 3, 3, 3"),
        ({"grads": "other"}, ValueError, r"gradient of index 0 must fit its weight of shape \(3, 4\)"),
        ({"out": "short"}, ValueError, "one out for each of the 3 weights, got 2"),
        ({"out": "float16"}, ValueError, "out must have the weight's shape"),
        ({"lrs": [0.1, 0.1, np.nan]}, ValueError, "finite"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_wrong_call_changes_nothing(change, error, words):
    weights, grads = drawn(1), drawn(2)
    mean, var = zeros(weights), zeros(weights)
    given = {"grads": grads, "out": weights, "step_count": [1] * 3, "lrs": [0.1] * 3, "wds": [0.0] * 3}
    more = {"short": {"grads": grads[:2], "out": weights[:2]}, "other": {"grads": grads[::-1]},
            "float16": {"out": drawn(3, "float16")}}  # fmt: skip
    for word, value in change.items():
        given[word] = more[value][word] if isinstance(value, str) else value
    given = {word: value for word, value in given.items() if value is not None}
    grads = given.pop("grads")
    with pytest.raises(error, match=words):
        nd.contrib.multi_lamb_update(weights, grads, mean, var, **given)
    for array, before in zip(weights, drawn(1)):
        np.testing.assert_array_equal(array, before)
    assert not any(array.asnumpy().any() for array in (*mean, *var))


def test_an_out_that_is_another_array_gets_the_new_weight():
    weight, grad = nd.ones((3,)), nd.ones((3,))
    out = nd.zeros((3,))
    assert nd.sgd_update(weight, grad, lr=0.5, out=out) is out
    assert (weight.tolist(), out.tolist()) == ([1] * 3, [0.5] * 3)
    with pytest.raises(ValueError, match="finite"):
        nd.sgd_update(weight, grad, lr=np.inf, out=out)
    assert out.tolist() == [0.5] * 3


def test_each_dialect_has_its_own():
    assert not hasattr(mxopt.v1.nd.contrib, "multi_lans_update")
    assert mxopt.v1.nd.contrib.multi_lamb_update is not nd.contrib.multi_lamb_update
    assert callable(mxopt.v1.nd._internal._multi_lamb_update)
