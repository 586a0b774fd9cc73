"""Gradients that the last step has already used: refused, warned about or left out, and never by mistake."""

import warnings

import numpy as np
import pytest

import mxopt
from mxopt import gluon, nd
from mxopt.gluon import stale_gradients


def ones(*shape):
    return np.ones(shape, np.float32)


def test_a_stale_gradient_is_named():
    params = [gluon.Parameter(name, np.zeros(2, np.float32)) for name in ("seen", "forgotten")]
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 1.0})
    params[0].grad()[:] = 1
    with pytest.raises(UserWarning, match="no new gradient since the last step for 'forgotten'"):
        trainer.step(1)
    assert params[0].data().tolist() == [0, 0]
    assert trainer._optimizer._index_update_count == {}
    trainer.step(1, ignore_stale_grad=True)
    assert params[0].data().tolist() == [-1, -1]
    assert params[1].data().tolist() == [0, 0]
    params[0].set_grad(ones(2))
    params[1].grad()[0] = 3
    trainer.step(1)
    assert params[1].data().tolist() == [-3, 0]
    with pytest.raises(UserWarning, match="'seen', 'forgotten'"):
        trainer.step(1)


@pytest.mark.parametrize("write", [
    lambda grad: grad.__setitem__(slice(None), 1),
    lambda grad: grad.__iadd__(1),
    lambda grad: grad[0:2].__setitem__(0, 1),
    lambda grad: nd.elemwise_add(grad, nd.ones((2,)), out=grad),
    lambda grad: np.add(grad, 1, out=grad),
    lambda grad: np.copyto(grad, ones(2)),
    lambda grad: np.dot(np.eye(2, dtype="f4"), ones(2), out=grad),
    lambda grad: grad.fill(1),
], ids=["assigned", "added to", "a slice", "out=", "ufunc", "copyto", "dot", "fill"])  # fmt: skip
def test_writing_to_the_gradient_makes_it_fresh(write):
    param = gluon.Parameter("w", np.zeros(2, np.float32))
    trainer = gluon.Trainer([param], "sgd", {"learning_rate": 1.0})
    with pytest.raises(UserWarning):
        trainer.step(1)
    write(param.grad())
    trainer.step(1)
    assert param.data()[0] < 0


# -- an array of the caller's own, which can only be looked at -------------------------------------------


def drawn(shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def trainer_of(*grads, **settings):
    params = [gluon.Parameter(f"w{i}", np.zeros(g.shape, g.dtype), grad=g) for i, g in enumerate(grads)]
    return gluon.Trainer(params, "sgd", {"learning_rate": 1.0, **settings})


def told(trainer, **options):
    """What a step says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.step(1, **options)
    return [str(warning.message) for warning in caught if "multi_precision" not in str(warning.message)]


KINDS = {
    "small": lambda: drawn((3, 4)),
    "float16": lambda: drawn((3, 4), dtype="float16"),
    "no dimension": lambda: drawn(()),
    "strided": lambda: drawn((6, 8))[::2, ::-1],
    "large": lambda: drawn((100, 70)),
    "large Fortran": lambda: np.asfortranarray(drawn((100, 70))),
    "large strided": lambda: drawn((200, 70))[::-2],
    "large float64": lambda: drawn(5000, dtype="float64"),
    "rows": lambda: mxopt.RowSparseArray(drawn((2, 3)), [1, 4], (6, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_gradient_twice_is_warned_of_by_name(kind):
    grad = KINDS[kind]()
    trainer = trainer_of(grad)
    assert told(trainer) == []
    (message,) = told(trainer)
    assert "'w0': the gradient is bit for bit that of the last step" in message
    assert told(trainer) == []  # once a parameter


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_was_written_is_not(kind):
    grad = KINDS[kind]()
    trainer = trainer_of(grad)
    values = grad.data if kind == "rows" else grad
    for _ in range(4):
        assert told(trainer) == []
        values *= 1.5


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("change", [0, 1, 254, 255], ids="element {}".format)
def test_one_element_that_changed_is_enough(change, dtype):
    """In an array that is remembered whole."""
    grad = np.ones(256, dtype)
    trainer = trainer_of(grad)
    for step in range(3):
        grad[change] = step
        assert told(trainer) == []


@pytest.mark.parametrize("shape", [(500, 16), (8000,), (8, 1000)])
def test_rows_that_move_in_a_large_gradient_are_new(shape):
    """The gradient of an embedding kept dense: the same numbers in other rows, nearly all elements zero."""
    grad = np.zeros(shape, np.float32)
    trainer = trainer_of(grad)
    for step in range(12):
        grad[:] = 0
        grad[(step * 5) % len(grad)] = 1
        assert told(trainer) == []


def test_a_large_constant_gradient_is_warned_of_once_a_checksum_has_told():
    trainer = trainer_of(ones(100, 70))
    assert [len(told(trainer)) for _ in range(4)] == [0, 0, 1, 0]


def test_many_names_do_not_make_a_long_message():
    trainer = trainer_of(*(drawn(3, seed) for seed in range(9)))
    told(trainer)
    (message,) = told(trainer)
    assert "'w0', 'w1', 'w2', 'w3', 'w4' and 4 more: the gradient" in message


def test_only_the_repeated_ones_are_named():
    grads = [drawn(3, seed) for seed in range(3)]
    trainer = trainer_of(*grads)
    told(trainer)
    grads[0] += 1
    grads[2] += 1
    assert ["'w1': the" in message and "'w0'" not in message for message in told(trainer)] == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_ignore_stale_grad_leaves_a_repeated_one_out(kind):
    """As MXNet leaves out a parameter that `backward` did not reach."""
    grad, other = KINDS[kind](), ones(2)
    trainer = trainer_of(grad, other)
    assert told(trainer, ignore_stale_grad=True) == []
    first = trainer._params[0].data().asnumpy()
    other *= 2
    assert told(trainer, ignore_stale_grad=True) == []
    np.testing.assert_array_equal(trainer._params[0].data(), first)
    assert trainer._params[1].data().tolist() == [-3, -3]
    assert trainer.optimizer._index_update_count == {0: 1, 1: 2}


@pytest.mark.parametrize("mark", [
    lambda param, grad: setattr(param, "fresh", True),
    lambda param, grad: setattr(param.data(), "_fresh_grad", True),
    lambda param, grad: param.grad().__setitem__(slice(None), grad.copy()),
    lambda param, grad: nd.elemwise_mul(param.grad(), nd.ones((2,)), out=param.grad()),
], ids=["fresh", "_fresh_grad", "written through grad()", "out="])  # fmt: skip
def test_a_repeated_gradient_may_be_said_to_be_new(mark):
    grad = ones(2)
    trainer = trainer_of(grad)
    for _ in range(3):
        mark(trainer._params[0], grad)
        assert told(trainer) == []
        mark(trainer._params[0], grad)
        assert told(trainer, ignore_stale_grad=True) == []
    assert trainer._params[0].data().tolist() == [-6, -6]
    assert len(told(trainer)) == 1  # said for one step only


def test_a_gradient_clipped_between_allreduce_and_update_is_compared_with_what_it_became():
    grad = drawn(5)
    trainer = trainer_of(grad)
    for step in range(3):
        if step < 2:
            grad[:] = drawn(5, step + 1)
        trainer.allreduce_grads()
        gluon.utils.clip_global_norm([grad], 0.1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer.update(1)
        assert len(caught) == (step == 2)


def test_copies_on_several_devices_are_compared_with_their_sum():
    grads = [drawn(3, 1), drawn(3, 2)]
    param = gluon.Parameter("w", [np.zeros(3, np.float32), np.zeros(3, np.float32)], grad=grads)
    trainer = gluon.Trainer([param], "sgd", {"learning_rate": 1.0}, update_on_kvstore=False)
    assert told(trainer) == []
    np.testing.assert_array_equal(grads[0], grads[1])  # the reduction has written to them
    assert len(told(trainer)) == 1


def test_a_failed_step_does_not_make_a_gradient_stale():
    grad = drawn(3)
    trainer = trainer_of(grad)
    told(trainer)
    grad[:] = drawn(3, 1)
    with pytest.raises(ValueError, match="batch_size"):
        trainer.step(0)
    with pytest.raises(ValueError, match="learning_rate"):
        trainer.optimizer.lr = np.nan
        trainer.step(1)
    trainer.optimizer.lr = 1.0
    assert told(trainer) == []


def test_a_frozen_parameter_is_not_looked_at():
    grad, other = drawn(3), drawn(2)
    trainer = trainer_of(grad, other)
    told(trainer)
    trainer._params[0].grad_req = "null"
    other += 1
    assert told(trainer) == []


@pytest.mark.parametrize("size", [10, 5000])
def test_gradients_of_torch_are_looked_at(size):
    torch = pytest.importorskip("torch")
    weight = torch.zeros(size, requires_grad=True)
    trainer = gluon.Trainer({"w": weight}, "sgd")
    factors = torch.linspace(1, 2, size)
    (weight * factors).sum().backward()
    assert told(trainer) == []
    (message,) = told(trainer)
    assert "'w'" in message
    weight.grad = None
    (weight * factors.flip(0)).sum().backward()
    assert told(trainer) == []
    weight.grad.zero_()
    assert told(trainer) == []


@pytest.mark.parametrize("kind", ["own", "torch"])
def test_looking_reads_little_of_a_large_gradient(kind, monkeypatch):
    """The whole array is checksummed only if a sample has repeated and is too uniform to tell."""
    if kind == "own":
        grad = drawn(100_000)
        trainer = trainer_of(grad)
    else:
        torch = pytest.importorskip("torch")
        weight = torch.zeros(100_000, requires_grad=True)
        weight.grad = torch.from_numpy(drawn(100_000))
        trainer, grad = gluon.Trainer({"w": weight}, "sgd"), weight.grad.numpy()
    summed = []
    monkeypatch.setattr(stale_gradients, "_checksum", lambda array: summed.append(array.size))
    for _ in range(3):
        told(trainer)
        grad *= 2
    assert summed == []
    grad[:] = 1
    told(trainer)
    told(trainer)
    assert summed == [100_000]
    seen, contents = stale_gradients.compare(None, [grad])
    assert not seen
    assert [len(sample) < 300 and checksum is None for sample, checksum in contents] == [True]
