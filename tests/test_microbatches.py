"""`accumulate` and `clip_global_norm`: the bits of a step, and what half a step allows."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import RowSparseArray, microbatches

BOTH = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
#: The first is large enough for several threads and memory that is used again.
SHAPES = [(300, 400), (7, 3), (1,)]


def drawn(seed, dtype=np.float32, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def updater_of(mx=mxopt, name="adam", keywords=(), **options):
    return mx.get_updater(mx.create(name, **dict(keywords)), **options)


def pairwise(batches):
    """The sum over micro-batches, in the promised order."""
    if len(batches) == 1:
        return [np.array(g, microbatches.summed_dtype(g.dtype)) for g in batches[0]]
    cut = microbatches.middle(0, len(batches))
    return [a + b for a, b in zip(pairwise(batches[:cut]), pairwise(batches[cut:]))]


@BOTH
@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.filterwarnings("ignore:states of float16")
def test_bits_do_not_depend_on_lists_or_threads(mx, count, dtype):
    plain, weights = updater_of(mx), drawn(99, dtype)
    for step in range(3):
        plain([0, 1, 2], pairwise([drawn(step * count + k, dtype) for k in range(count)]), weights)
    expected = [weight.tobytes() for weight in weights]
    for threads, together in [(1, True), (2, True), (2, False)]:
        with mxopt.num_threads(threads):
            one, weights = updater_of(mx, accumulate=count), drawn(99, dtype)
            held = drawn(0, dtype)
            for seed in range(3 * count):
                for to, values in zip(held, drawn(seed, dtype)):
                    to[...] = values  # as scripts do: one array, written again and again
                if together:
                    one([0, 1, 2], held, weights)
                else:
                    for index in range(3):
                        one(index, held[index], weights[index])
        assert [weight.tobytes() for weight in weights] == expected


def test_tiny_numbers_are_summed_as_numpy_sums_them():
    tiny = np.full((300, 400), 3e-39, np.float32)
    one, weight = (
        updater_of(mxopt, "sgd", {"learning_rate": 1.0, "rescale_grad": 1e9}, accumulate=4),
        np.zeros_like(tiny),
    )
    for _ in range(4):
        one(0, tiny, weight)
    np.testing.assert_array_equal(weight, -(((tiny + tiny) + (tiny + tiny)) * np.float32(1e9)))


def test_memory_of_sums_is_used_again_only_if_nobody_holds_it():
    kept = []

    @mxopt.optimizer.register
    class Keeping(mxopt.optimizer.Optimizer):
        def create_state(self, index, weight):
            return None

        def update(self, index, weight, grad, state):
            kept.append(grad)

    try:
        one, weight = mxopt.get_updater(Keeping(), accumulate=2), np.zeros((300, 400), np.float32)
        for seed in range(6):
            one(0, drawn(seed)[0], weight)
        for step, sums in enumerate(kept):
            np.testing.assert_array_equal(sums, drawn(2 * step)[0] + drawn(2 * step + 1)[0])
    finally:
        del mxopt.optimizer.Optimizer.opt_registry["keeping"]
    one, weight = updater_of(accumulate=4), np.zeros((300, 400), np.float32)
    places = set()
    for seed in range(12):
        one(0, drawn(seed)[0], weight)
        places |= {id(a) for spare in one._window._spare.values() for a in spare}
    assert len(places) == 2  # as many as the tree is deep


def test_memory_of_the_caller_is_not_kept():
    one, weight = updater_of(accumulate=2), np.zeros((300, 400), np.float32)
    grads = [drawn(seed)[0] for seed in range(4)]
    before = [grad.copy() for grad in grads]
    for grad in grads:
        one(0, grad, weight)
    ours = [a for spare in one._window._spare.values() for a in spare]
    assert ours and not any(a is grad for a in ours for grad in grads)
    del grads[0]
    for seed in range(4):
        one(0, drawn(seed)[0], weight)
    for grad, values in zip(grads, before[1:]):
        np.testing.assert_array_equal(grad, values)


@BOTH
def test_rows(mx):
    def rows(seed):
        rng = np.random.default_rng(seed)
        picked = np.flatnonzero(rng.random(50) < 0.3)
        return RowSparseArray(rng.standard_normal((len(picked), 4)).astype(np.float32), picked, (50, 4))

    results = []
    for way in range(2):
        one = updater_of(mx, "sgd", {"lazy_update": True}, accumulate=3 if way else None)
        weight = drawn(9, shapes=[(50, 4)])[0]
        for step in range(2):
            parts = [rows(3 * step + k) for k in range(3)]
            if way:
                for part in parts:
                    one(0, part, weight)
            else:
                touched = np.unique(np.concatenate([part.indices for part in parts]))
                a, b, c = (part.todense() for part in parts)
                one(0, RowSparseArray(((a + b) + c)[touched], touched, (50, 4)), weight)
        results.append(weight)
    np.testing.assert_array_equal(*results)


# -- within a step --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
@pytest.mark.parametrize(
    "options", [{}, {"loss_scale": "dynamic"}, {"ema": 0.9}, {"clip_global_norm": 1.0}], ids=str
)
def test_a_copy_within_a_step_goes_on_with_the_partial_sum(mx, way, options):
    one, weights = updater_of(mx, accumulate=4, **options), drawn(99)
    for seed in range(7):  # a step and three quarters
        one([0, 1, 2], drawn(seed), weights)
    other = pickle.loads(pickle.dumps(one)) if way == "pickle" else copy.deepcopy(one)
    copies = [weight.copy() for weight in weights]
    for each, some in ((one, weights), (other, copies)):
        for seed in range(7, 12):
            each([0, 1, 2], drawn(seed), some)
    assert [weight.tobytes() for weight in copies] == [weight.tobytes() for weight in weights]


@BOTH
def test_a_file_within_a_step_is_refused_in_one_line(mx, tmp_path):
    one, weights = updater_of(mx, accumulate=4), drawn(99)
    for seed in range(4):
        one([0, 1, 2], drawn(seed), weights)
    data = one.get_states()
    for seed in range(4, 7):
        one([0, 1, 2], drawn(seed), weights)
    before = [weight.tobytes() for weight in weights]
    acts = [
        one.get_states,
        lambda: one.save_states(tmp_path / "states"),
        lambda: one.save_states(tmp_path / "states", background=True),
        lambda: one.set_states(data),
    ]
    for act in acts:
        with pytest.raises(
            RuntimeError, match=r"^[^\n]*3 of the 4 micro-batches[^\n]*drop_micro_batches\(\)$"
        ):
            act()
    assert not (tmp_path / "states").exists()
    one([0, 1, 2], drawn(7), weights)
    assert [weight.tobytes() for weight in weights] != before
    one([0, 1, 2], drawn(8), weights)
    one.drop_micro_batches()
    one.save_states(tmp_path / "states")


def test_a_trainer_refuses_a_file_within_a_step(tmp_path):
    trainer = mxopt.gluon.Trainer({"w": np.zeros(3, np.float32)}, "adam", accumulate=2)
    trainer.step(1, grads={"w": np.ones(3, np.float32)})
    for act in (trainer.save_states, trainer.load_states):
        with pytest.raises(RuntimeError, match="1 of the 2 micro-batches"):
            act(tmp_path / "states")
    trainer.step(1, grads={"w": np.ones(3, np.float32)})
    trainer.save_states(tmp_path / "states")


@BOTH
def test_a_run_that_died_within_a_step_repeats_it(mx):
    """A file is of whole steps: a resumed run starts the step anew, with the bits of one that lived."""
    one, weights = updater_of(mx, accumulate=3), drawn(99)
    for seed in range(3):
        one([0, 1, 2], drawn(seed), weights)
    data, saved = one.get_states(), [weight.copy() for weight in weights]
    for seed in range(3, 6):
        one([0, 1, 2], drawn(seed), weights)
    dying, others = updater_of(mx, accumulate=3), [weight.copy() for weight in saved]
    dying.set_states(data)
    for seed in (3, 4):
        dying([0, 1, 2], drawn(seed), others)
    assert [weight.tobytes() for weight in others] == [weight.tobytes() for weight in saved]
    again = updater_of(mx, accumulate=3)
    again.set_states(data)
    for seed in range(3, 6):
        again([0, 1, 2], drawn(seed), others)
    assert [weight.tobytes() for weight in others] == [weight.tobytes() for weight in weights]


# -- clipping -------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("name", sorted({*mxopt.list_optimizers()} - {"sgld"}))
@pytest.mark.filterwarnings("ignore:states of float16")
def test_clipped_steps_have_the_bits_of_clipped_gradients(mx, name, max_norm, dtype, fused):
    if name not in mx.list_optimizers():
        return
    results = []
    for by_hand in (True, False):
        one = updater_of(mx, name, {"use_fused_step": fused}, clip_global_norm=None if by_hand else max_norm)
        weights = drawn(99, dtype, [(30, 40), (7, 3)])
        for seed in range(3):
            grads = drawn(seed, dtype, [(30, 40), (7, 3)])
            before = [grad.tobytes() for grad in grads]
            if by_hand:
                grads = [grad.astype(microbatches.summed_dtype(grad.dtype)) for grad in grads]
                mxopt.clip_global_norm(grads, max_norm)
            one([0, 1], grads, weights)
            assert by_hand or [grad.tobytes() for grad in grads] == before
        assert one.optimizer.rescale_grad == 1 and type(one.optimizer.rescale_grad) is float
        results.append([weight.tobytes() for weight in weights])
    assert results[0] == results[1]


LAYOUTS = ["large", "rows", "all rows", "exact rows", "columns", "strided", "cautious", "momentum gone"]


@BOTH
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in LAYOUTS
        for name in ("sgd", "adam", "groupadagrad", "lamb")
        if (kind, name) not in (("rows", "lamb"), ("exact rows", "lamb"), ("cautious", "groupadagrad"))
    ],
)
@pytest.mark.parametrize("rescale", [1.0, 1 / 96])
def test_clipping_in_every_layout(mx, kind, name, rescale):
    keywords = {"rescale_grad": rescale}
    if kind.endswith("rows"):
        keywords["lazy_update"] = {"rows": True, "all rows": False, "exact rows": "exact"}[kind]
    if kind == "cautious":
        keywords["cautious"] = True
    if kind == "momentum gone" and name == "sgd":
        keywords["momentum"] = 0.9
    shape = (900, 700) if kind == "large" else (50, 6)
    results = []
    for by_hand in (True, False):
        one = updater_of(mx, name, keywords, clip_global_norm=None if by_hand else 0.5)
        (weight,) = drawn(99, shapes=[shape])
        if kind == "columns":
            weight = np.asfortranarray(weight)
        if kind == "strided":
            weight = np.repeat(weight, 2, axis=1)[:, ::2]
        for seed in range(3):
            if kind == "momentum gone" and name == "sgd":
                one.optimizer.momentum = 0.0 if seed == 1 else 0.9
            (grad,) = drawn(seed, shapes=[shape])
            if kind.endswith("rows"):
                grad = RowSparseArray(grad[[0, 3, 4, 49]], [0, 3, 4, 49], shape)
            if by_hand:
                mxopt.clip_global_norm([grad], 0.5)
            one(0, grad, weight)
        one.flush()
        results.append(np.ascontiguousarray(weight).tobytes())
    assert results[0] == results[1]


@BOTH
def test_custom_classes_get_clipped_gradients(mx):
    seen = []

    class Seeing(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return None

        def update(self, index, weight, grad, state):
            seen.append(np.array(grad))

    one, grads = mx.get_updater(Seeing(), clip_global_norm=0.5), drawn(1)
    one([0, 1, 2], grads, drawn(2))
    mxopt.clip_global_norm(grads, 0.5)
    for found, expected in zip(seen, grads):
        np.testing.assert_array_equal(found, expected)


@BOTH
def test_a_norm_that_is_not_finite(mx):
    bad = drawn(1)
    bad[1][2, 1] = np.inf
    one, weights = updater_of(mx, keywords={"skip_nonfinite": True}, clip_global_norm=1.0), drawn(2)
    before = [weight.tobytes() for weight in weights]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one([0, 1, 2], bad, weights)
    assert one.optimizer.skipped == 1 and [weight.tobytes() for weight in weights] == before
    one([0, 1, 2], drawn(3), weights)
    assert one.optimizer.skipped == 1 and [weight.tobytes() for weight in weights] != before
    plain = updater_of(mx, clip_global_norm=1.0)
    with pytest.warns(UserWarning, match="the global norm is inf"):
        plain([0, 1, 2], bad, weights)
    assert np.isnan(weights[1][2, 1])


def test_a_failure_leaves_rescale_grad():
    class Failing(mxopt.lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            raise KeyboardInterrupt

    one = updater_of(keywords={"lr_scheduler": Failing(), "learning_rate": None}, clip_global_norm=0.5)
    weights = drawn(2)
    before = [weight.tobytes() for weight in weights]
    with pytest.raises(KeyboardInterrupt):
        one([0, 1, 2], drawn(1), weights)
    assert one.optimizer.rescale_grad == 1.0 and [weight.tobytes() for weight in weights] == before
