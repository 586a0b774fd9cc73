"""SGLD's noise: what it is, where it comes from, and that it costs no memory."""

import math
import threading
import tracemalloc

import numpy as np
import pytest
from runs import assert_same_bits

import mxopt as mx
import mxopt.v1 as v1
from mxopt import kernels

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def noise(weight, package=mx, seed=3, learning_rate=0.04, **keywords):
    """The weight after one step without a gradient."""
    mx.random.seed(seed)
    weight = weight.copy()
    optimizer = package.create("sgld", learning_rate=learning_rate, **keywords)
    package.get_updater(optimizer)(0, np.zeros_like(weight), weight)
    return weight


@packages
@either_way
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_is_normal_with_the_learning_rate_as_variance(package, fused, dtype):
    drawn = noise(np.zeros(200_000, dtype), package, use_fused_step=fused) / 0.2
    # Five standard errors of the first four moments of 200,000 normal numbers.
    for power, (moment, spread) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], 1):
        assert abs((drawn.astype(float) ** power).mean() - moment) < 5 * (spread / 200_000) ** 0.5


@either_way
def test_the_seed_decides(fused):
    weight = np.ones((300, 1000), np.float32)
    once, again, other = (noise(weight, seed=seed, use_fused_step=fused) for seed in (3, 3, 4))
    assert_same_bits([once], [again])
    assert (once != other).mean() > 0.99


@either_way
def test_a_generator_of_the_users_own(fused):
    results = []
    for seed in (7, 7, 8):
        optimizer = mx.create("sgld", use_fused_step=fused)
        optimizer.generator = np.random.default_rng(seed)
        weight = np.ones(100_000, np.float32)
        mx.get_updater(optimizer)(0, weight.copy(), weight)
        results.append(weight)
    assert_same_bits([results[0]], [results[1]])
    assert (results[0] != results[2]).mean() > 0.99


def test_a_generator_is_not_saved():
    optimizer = mx.create("sgld")
    optimizer.generator = np.random.default_rng(7)
    updater, other = mx.get_updater(optimizer), mx.get_updater(mx.create("sgld", learning_rate=0.5))
    other.set_states(updater.get_states(dump_optimizer=True))
    assert other.optimizer.lr == 0.1
    assert other.optimizer.generator is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_stream_for_fused_and_step(dtype):
    """The drift is 0 and the first product exact, so that the noise itself is compared."""
    weight = np.zeros((3, 70_001), dtype)
    assert_same_bits(
        [noise(weight, use_fused_step=True, learning_rate=0.25)],
        [noise(weight, use_fused_step=False, learning_rate=0.25)],
    )


def test_noise_follows_the_elements_not_the_memory():
    weight = np.zeros((301, 700), np.float32)
    assert_same_bits([np.ascontiguousarray(noise(np.asfortranarray(weight)))], [noise(weight)])


def test_lazy_rows_alone_get_noise():
    mx.random.seed(1)
    weight = np.zeros((6, 50_000), np.float32)
    gradient = mx.RowSparseArray(np.zeros((2, 50_000), np.float32), [1, 4], weight.shape)
    mx.get_updater(mx.create("sgld", lazy_update=True, learning_rate=0.04))(0, gradient, weight)
    assert (weight[[0, 2, 3, 5]] == 0).all()
    assert_same_bits([weight[[1, 4]]], [noise(np.zeros((2, 50_000), np.float32), seed=1)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_takes_less_than_a_megabyte(dtype):
    weight, grad = np.zeros(3_000_000, dtype), np.zeros(3_000_000, dtype)
    updater = mx.get_updater(mx.create("sgld"))
    updater(0, grad[:10].copy(), weight[:10])  # what is loaded on first use
    del updater.states[0]
    tracemalloc.start()
    updater(0, grad, weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert (weight != 0).all()


@pytest.mark.filterwarnings("ignore:learning_rate is negative")
@either_way
def test_a_negative_learning_rate_is_refused(fused):
    with pytest.warns(UserWarning, match="learning_rate is negative, -0.1"):
        updater = mx.get_updater(mx.create("sgld", learning_rate=-0.1, use_fused_step=fused))
    weight = np.ones(3)
    with pytest.raises(
        ValueError, match="learning_rate of index 0 must be 0 or more, since SGLD takes its root"
    ):
        updater(0, np.ones(3), weight)
    assert (weight == 1).all()
    assert not updater.optimizer._index_update_count


def test_threads_may_step_at_the_same_time():
    weights = [np.zeros(200_000, np.float32) for _ in range(4)]
    optimizers = [mx.create("sgld") for _ in weights]

    def step(optimizer, weight):
        for _ in range(3):
            optimizer.update(0, weight, np.zeros_like(weight), None)

    threads = [threading.Thread(target=step, args=pair) for pair in zip(optimizers, weights)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.isfinite(weight).all() and weight.std() > 0.1 for weight in weights)


# --- the normal numbers themselves --------------------------------------------------------------------------


def normals(n, key=7, place=0, dtype=np.float32):
    out = np.empty(n, dtype)
    kernels.normals(key, place, out)
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_depend_on_their_place_alone(dtype):
    whole = normals(10_000, dtype=dtype)
    for begin, end in ((0, 1), (1, 130), (63, 64), (127, 129), (500, 9_999)):
        assert_same_bits([normals(end - begin, place=begin, dtype=dtype)], [whole[begin:end]])
    far = 2**40 + 5
    assert_same_bits([normals(50, place=far + 10, dtype=dtype)], [normals(60, place=far, dtype=dtype)[10:]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_normal_and_independent(dtype):
    n = 1_000_000
    numbers = normals(n, dtype=dtype).astype(float)
    # Kolmogorov-Smirnov: one stream in 8,000 exceeds a distance of 2.2 / sqrt(n); this stream is fixed.
    numbers.sort()
    cumulated = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in numbers[:: n // 20_000]])
    assert np.abs(cumulated - np.arange(0, n, n // 20_000) / n).max() < 2.2 / math.sqrt(n)
    tails = (np.abs(numbers) > 4).mean() / math.erfc(4 / math.sqrt(2))
    assert 0.3 < tails < 2
    # Neighbours, other steps, other streams: correlations of independent numbers, and of their squares.
    rows = [
        normals(n, key, place, dtype).astype(float)
        for key, place in ((7, 0), (7, 1), (7, 32), (7, n), (8, 0))
    ]
    for row in rows[1:]:
        for power in (1, 2):
            assert abs(np.corrcoef(rows[0] ** power, row**power)[0, 1]) < 5 / math.sqrt(n)


def test_seed_and_step_is_seed_and_draw():
    """What MXNet's own test of SGLD relies on."""
    stepped = noise(np.zeros((40, 301), np.float32), learning_rate=0.25)
    mx.random.seed(3)
    assert_same_bits([stepped], [np.asarray(mx.random.normal(0, 0.5, shape=(40, 301), dtype="float32"))])


def test_any_number_of_threads_makes_the_same_noise():
    ends = []
    for threads in (1, 2, 3):
        with mx.num_threads(threads):
            ends.append(noise(np.zeros(300_001, np.float32)))
    assert_same_bits(ends[:1] * 2, ends[1:])


def test_lists_and_the_users_generators_take_the_numbers_in_order():
    mx.random.seed(3)
    weights = [np.zeros(n, np.float32) for n in (5, 100_000, 77)]
    mx.get_updater(mx.create("sgld", learning_rate=0.04))([0, 1, 2], [w.copy() for w in weights], weights)
    assert_same_bits([np.concatenate(weights)], [noise(np.zeros(100_082, np.float32))])


def continued(package, data, steps, weight, grad, **keywords):
    """The weight after more steps of an updater that loads a file."""
    updater = package.get_updater(package.create("sgld", **keywords))
    updater.set_states(data)
    weight = weight.copy()
    for _ in range(steps):
        updater(0, grad, weight)
    return weight


@packages
@either_way
@pytest.mark.parametrize("dump", [False, True], ids=["states", "with optimizer"])
def test_a_resumed_run_draws_the_noise_of_an_uninterrupted_one(package, fused, dump):
    mx.random.seed(11)
    updater = package.get_updater(package.create("sgld", use_fused_step=fused))
    weight, grad = np.zeros(5000, np.float32), np.ones(5000, np.float32)
    for _ in range(3):
        updater(0, grad, weight)
    data, saved = updater.get_states(dump_optimizer=dump), weight.copy()
    for _ in range(3):
        updater(0, grad, weight)
    mx.random.seed(12)  # another process has another stream
    assert_same_bits([continued(package, data, 3, saved, grad, use_fused_step=fused)], [weight])


def test_loading_moves_the_stream_and_nothing_else_does():
    mx.random.seed(5)
    updater = mx.get_updater(mx.create("sgld"))
    updater(0, np.ones(9, np.float32), np.ones(9, np.float32))
    position = updater.optimizer.noise_position
    data = updater.get_states()
    mx.random.normal(shape=7)
    assert updater.optimizer.noise_position == (position[0], position[1] + 7)
    adam = mx.get_updater(mx.create("adam"))
    adam.set_states(adam.get_states())
    assert updater.optimizer.noise_position == (position[0], position[1] + 7)
    updater.set_states(data)
    assert updater.optimizer.noise_position == position


def test_a_run_with_a_generator_of_its_own_leaves_the_stream_alone():
    mx.random.seed(5)
    optimizer = mx.create("sgld")
    optimizer.generator = np.random.default_rng(7)
    updater = mx.get_updater(optimizer)
    assert optimizer.noise_position is None
    data = updater.get_states()
    before = mx.create("sgld").noise_position
    mx.get_updater(mx.create("sgld")).set_states(data)
    assert mx.create("sgld").noise_position == before
    shared = mx.get_updater(mx.create("sgld")).get_states()
    mx.random.seed(6)
    before = mx.create("sgld").noise_position
    updater.set_states(shared)
    assert mx.create("sgld").noise_position == before


@pytest.mark.parametrize("value", ["7", [1], [1, -1], [1, 2**64], [1.0, 2], [True, 2], {"a": 1}])
def test_a_position_that_is_none_is_refused_and_moves_nothing(value):
    before = mx.create("sgld").noise_position
    optimizer = mx.create("sgld")
    with pytest.raises(ValueError, match="noise_position must be a key and a place"):
        optimizer.noise_position = value
    assert optimizer.noise_position == before
