"""States as their classes declare them: one declaration, from which everything else follows."""

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1
from mxopt import slots
from mxopt.saving import orders
from mxopt.slots import NONE, ROW, TENSOR, WIDE, Form, StateSlot

EVERY = [
    pytest.param(package, name, id=f"{dialect}-{name}")
    for dialect, package in (("2.x", mx), ("1.x", mxopt.v1))
    for name in package.list_optimizers()
]


def variants(package, name):
    """The optimizer with every one of its slots' conditions true, and with every one false."""
    conditions = {slot.when for slot in package.create(name).state_slots if slot.when}
    for value in (0, 0.5) if conditions else (0,):
        yield package.create(name, **dict.fromkeys(conditions, value))


@pytest.mark.parametrize(("package", "name"), EVERY)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_created_states_are_those_declared(package, name, dtype):
    weight = np.full((3, 2), 2, dtype)
    for optimizer in variants(package, name):
        assert optimizer.declares_states
        built, state = slots.structure(optimizer), optimizer.create_state(0, weight)
        assert slots.fits(built, state)
        found = dict(zip(optimizer.state_names, orders._leaves(state)))
        for leaf in slots.leaves(built):
            array = found[leaf.name]
            if not leaf.present:
                assert array is None
                continue
            assert array.dtype == leaf.slot.dtype_for(weight.dtype)
            assert np.all(array == (2 if leaf.slot.start == "weight" else 0))
    told = package.describe(name)
    assert all(array in told.state for array in told.states)


@pytest.mark.parametrize(("package", "name"), EVERY)
def test_files_never_ask_for_a_state_of_a_weight_that_is_not_there(package, name, monkeypatch):
    optimizer = package.create(name)
    monkeypatch.setattr(type(optimizer), "check_weight", lambda *_: pytest.fail("asked"))
    arrange = orders.Arrangement(optimizer, optimizer)
    assert arrange.spelled == slots.spell(slots.structure(optimizer))


def factored(shape, dtype):
    return {"rows": ((shape[0], 1), dtype), "columns": ((1, shape[1]), dtype)}


@pytest.fixture
def unusual():
    """A class with every form of state that none of the built-in ones has."""

    class Unusual(mx.optimizer.Optimizer):
        state_slots = (
            StateSlot("mean", "float16", when="momentum", absent=NONE),
            StateSlot("var", WIDE, Form("by row and column", factored)),
            StateSlot("seen", "int32", ROW),
            StateSlot("norm", WIDE, TENSOR),
        )

        def __init__(self, momentum=0.9, **kwargs):
            super().__init__(**kwargs)
            self.momentum = momentum

        def step(self, indices, weights, grads, states):
            for index, weight, grad, (mean, (rows, columns), seen, norm) in zip(
                indices, weights, grads, states
            ):
                self._update_count(index)
                if mean is not None:
                    mean += grad.astype(mean.dtype)
                rows += np.mean(grad * grad, axis=1, keepdims=True)
                columns += np.mean(grad * grad, axis=0, keepdims=True)
                seen += 1
                norm += 1
                weight -= grad

    mx.register(Unusual)
    yield Unusual
    del mx.optimizer.opt_registry["unusual"]


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_a_class_with_new_forms_is_created_stepped_and_described(unusual, momentum):
    optimizer = mx.create("unusual", momentum=momentum)
    assert optimizer.state_names == ("mean", "var_rows", "var_columns", "seen", "norm")
    updater = mx.get_updater(optimizer)
    for _ in range(2):
        updater(0, np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))
    mean, (rows, columns), seen, norm = updater.states[0]
    assert (mean is None) == (momentum == 0)
    if momentum:
        assert mean.dtype == np.float16 and mean.shape == (3, 2)
    assert rows.shape == (3, 1) and columns.shape == (1, 2) and norm.shape == ()
    assert seen.dtype == np.int32 and seen.tolist() == [[2]] * 3
    assert slots.fits(slots.structure(optimizer), updater.states[0])
    assert mx.describe("unusual").state == (
        "(mean, (var_rows, var_columns), seen, norm) if momentum, "
        "else (None, (var_rows, var_columns), seen, norm): "
        "mean zeros of the weight's shape in float16, "
        "var zeros by row and column in float32, float64 for float64 weights, "
        "seen zeros of shape (rows, 1) in int32, "
        "norm zeros of shape () in float32, float64 for float64 weights."
    )


def test_states_that_are_built_otherwise_do_not_fit(unusual):
    built = slots.structure(mx.create("adam"))
    assert slots.fits(built, (np.zeros(3), np.zeros(3)))
    for wrong in ((np.zeros(3), None), [np.zeros(3), np.zeros(3)], (np.zeros(3),), np.zeros(3), None):
        assert not slots.fits(built, wrong)
    optimizer = mx.create("unusual")
    good = optimizer.create_state(0, np.ones((3, 2), np.float32))
    for at, wrong in ((0, None), (1, np.zeros(3)), (2, None), (3, (np.zeros(()),))):
        assert slots.fits(slots.structure(optimizer), good)
        assert not slots.fits(slots.structure(optimizer), (*good[:at], wrong, *good[at + 1 :]))


def test_rules_and_slots_cannot_drift():
    class Swapped(mx.optimizer.Adam):
        state_slots = (StateSlot("var"), StateSlot("mean"))

    with pytest.raises(TypeError, match="Swapped keeps the state 'var' where its rule 'adam' takes 'mean'"):
        mx.register(Swapped)

    class Lacking(mx.optimizer.Adam):
        state_slots = (StateSlot("mean"),)

    with pytest.raises(
        TypeError, match="Lacking keeps the state 'nothing' where its rule 'adam' takes 'var'"
    ):
        mx.register(Lacking)
