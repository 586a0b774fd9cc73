"""Groups of parameters with hyper-parameters of their own."""

import numpy as np
import pytest

import mxopt
import mxopt.v1

NAMES = ["fc_weight", "fc_bias", "head_weight", "head_bias"]
dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])


def drawn(seed):
    rng = np.random.RandomState(seed)
    return [rng.normal(size=(3, 2)).astype(np.float32) for _ in NAMES]


def made(mx, **options):
    return mx.optimizer.Groups(
        mx.create("adam", learning_rate=0.1, wd=0.01),
        {
            "*_bias": {"wd": 0, "beta1": 0.5},
            "head_weight": mx.create("sgd", learning_rate=0.5, momentum=0.9),
            "head_b*": {"learning_rate": 0.25},
        },
        **options,
    )


def alone(mx, name):
    """The optimizer of a name, without groups."""
    if name == "head_weight":
        return mx.create("sgd", learning_rate=0.5, momentum=0.9)
    changes = {"fc_weight": {}, "fc_bias": {"wd": 0, "beta1": 0.5}, "head_bias": {"learning_rate": 0.25}}
    return mx.create("adam", **{"learning_rate": 0.1, "wd": 0.01, **changes[name]})


@dialects
@pytest.mark.parametrize("keys", [NAMES, [3, 5, 7, 9]], ids=["names", "indices"])
@pytest.mark.parametrize("together", [True, False], ids=["lists", "one by one"])
def test_each_parameter_is_stepped_by_its_group(mx, keys, together):
    names = {} if keys is NAMES else {"param_idx2name": dict(zip(keys, NAMES))}
    updater, weights, expected = mx.get_updater(made(mx, **names)), drawn(0), drawn(0)
    others = [mx.get_updater(alone(mx, name)) for name in NAMES]
    for step in range(1, 5):
        grads = drawn(step)
        if together:
            updater(keys, grads, weights)
        else:
            for call in zip(keys, grads, weights):
                updater(*call)
        for i, other in enumerate(others):
            other(0, grads[i], expected[i])
        np.testing.assert_array_equal(weights, expected)
    assert set(updater.optimizer._index_update_count.values()) == {4}
    assert updater.optimizer.num_update == 4


@dialects
@pytest.mark.parametrize("suffix", [".states", ".safetensors"])
def test_a_loaded_run_goes_on_with_the_same_bits(mx, suffix, tmp_path):
    def scheduled():
        scheduler = mx.lr_scheduler.FactorScheduler(2, factor=0.5, base_lr=0.25)
        base = mx.create("adam", learning_rate=None, lr_scheduler=scheduler)
        return mx.get_updater(mx.optimizer.Groups(base, {"*_bias": {"beta2": 0.5}}))

    updater, weights, path = scheduled(), drawn(0), tmp_path / f"run{suffix}"
    for step in range(3):
        updater(NAMES, drawn(step), weights)
    updater.save_states(path)
    kept = [weight.copy() for weight in weights]
    for step in range(3, 8):
        updater(NAMES, drawn(step), weights)
    for resumed in (scheduled(), updater):  # a new one, and one that went on
        again = [weight.copy() for weight in kept]
        resumed.load_states(path)
        for step in range(3, 8):
            resumed(NAMES, drawn(step), again)
        np.testing.assert_array_equal(again, weights)


@dialects
def test_a_trainer_scales_all_groups(mx):
    weights, expected = drawn(0), drawn(0)
    trainer = mx.gluon.Trainer(dict(zip(NAMES, weights)), made(mx))
    for step in range(1, 4):
        grads = drawn(step)
        trainer.step(4, grads=dict(zip(NAMES, grads)))
        for i, name in enumerate(NAMES):
            if step == 1:
                expected[i] = expected[i], mx.get_updater(alone(mx, name))
                expected[i][1].optimizer.rescale_grad = 0.25
            expected[i][1](0, grads[i], expected[i][0])
    for weight, (other, _) in zip(weights, expected):
        np.testing.assert_array_equal(weight, other)


def test_half_precision_and_rows():
    table = np.ones((4, 2), np.float16)
    opt = mxopt.optimizer.Groups(
        mxopt.create("sgd", learning_rate=0.5, momentum=0.5, multi_precision=True), {"table": {"momentum": 0}}
    )
    updater = mxopt.get_updater(opt)
    rows = mxopt.RowSparseArray(np.ones((1, 2), np.float16), [2], (4, 2))
    updater(["table", "w"], [rows, np.ones(2, np.float16)], [table, np.ones(2, np.float16)])
    assert table[:, 0].tolist() == [1, 1, 0.5, 1]
    assert updater.states["w"][0].dtype == np.float32


def test_what_is_in_which_group():
    opt = made(mxopt, param_idx2name=dict(enumerate(NAMES)))
    assert opt.members() == {
        None: ["fc_weight"],
        "*_bias": ["fc_bias"],
        "head_weight": ["head_weight"],
        "head_b*": ["head_bias"],
    }
    assert type(opt.optimizer_of(2)).__name__ == "SGD"
    rates = {row.name: (row.lr, row.wd) for row in opt.effective()}
    assert rates == {
        "fc_weight": (0.1, 0.01),
        "fc_bias": (0.1, 0),
        "head_weight": (0.5, 0),
        "head_bias": (0.25, 0.01),
    }


def test_a_rate_for_all_leaves_those_that_have_their_own():
    opt = made(mxopt, param_idx2name=dict(enumerate(NAMES)))
    opt.set_learning_rate(0.01)
    assert opt.learning_rate == 0.01
    assert [row.lr for row in sorted(opt.effective(), key=lambda row: row.index)] == [0.01, 0.01, 0.5, 0.25]


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        ({"*_bias": {"weight_decay": 0}}, TypeError, "Adam has no argument 'weight_decay'; pass wd=0"),
        ({"*_bias": {"beta1": 2}}, ValueError, r"beta1 must be within \[0, 1\), got 2"),
        ({"*_bias": {"rescale_grad": 2}}, ValueError, "rescale_grad must be the same for all groups"),
        ({"*_bias": "sgd"}, TypeError, "make one with create"),
        ({"*_bias": 0.5}, TypeError, "group '[*]_bias' must be a dict of arguments or an Optimizer, got 0.5"),
        ([{"wd": 0}], TypeError, "groups must be a dict of names or patterns"),
    ],
)
def test_groups_that_cannot_be(groups, error, words):
    with pytest.raises(error, match=words):
        mxopt.optimizer.Groups(mxopt.create("adam"), groups)


@pytest.mark.parametrize("together", [True, False], ids=["lists", "one by one"])
def test_a_group_without_parameters_is_told_once(together):
    updater = mxopt.get_updater(mxopt.optimizer.Groups(mxopt.create("sgd"), {"fc_wieght": {"wd": 0.5}}))
    weights, grads = drawn(0), drawn(1)
    with pytest.warns(
        UserWarning, match="group 'fc_wieght', but no parameter.*did you mean 'fc_weight'"
    ) as told:
        for _ in range(3):
            for call in [(NAMES, grads, weights)] if together else zip(NAMES, grads, weights):
                updater(*call)
    assert len(told) == 1
