"""Bad input: one clear line, and nothing has changed."""

import copy
import functools
import inspect
import itertools
import math
import warnings

import numpy as np
import pytest
from runs import assert_same_bits, everything, gradients, tensors

import mxopt as mx
import mxopt.v1
from mxopt.saving.attributes import hyper_parameters

SHAPES = [(6, 4)] * 10
BAD = 2  # the third of ten


class Call:
    """Ten good tensors, stepped once, of which a test spoils one."""

    def __init__(self, name="adam", dtype="float32", **settings):
        self.updater = mx.get_updater(mx.create(name, **{"param_idx2name": {BAD: "fc_weight"}, **settings}))
        self.optimizer = self.updater.optimizer
        self.indices = list(range(10))
        self.weights, self.grads = tensors(SHAPES, dtype), gradients(SHAPES, dtype)
        self.updater(self.indices, self.grads, self.weights)

    def step(self):
        self.updater(self.indices, self.grads, self.weights)

    def picture(self):
        """All that an error must leave alone."""
        optimizer = {k: v for k, v in vars(self.optimizer).items() if k != "lr_scheduler"}
        scheduler = self.optimizer.lr_scheduler
        return (
            everything(self.updater, [w for w in self.weights if isinstance(w, np.ndarray)]),
            list(self.updater.states),
            copy.deepcopy(optimizer),
            scheduler and dict(vars(scheduler)),
        )

    def refuses(self, error, words, step=None):
        arrays, keys, optimizer, scheduler = self.picture()
        with pytest.raises(error, match=words) as caught:
            (step or self.step)()
        assert "\n" not in str(caught.value)
        after = self.picture()
        assert_same_bits(after[0], arrays)
        assert after[1] == keys
        assert after[3] == scheduler
        assert {k: v for k, v in after[2].items() if k != "param_dict"} == {
            k: v for k, v in optimizer.items() if k != "param_dict"
        }


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array):
    room = np.zeros(array.nbytes + 1, np.uint8)
    view = room[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


SPOILT = {
    "gradient of another shape": (
        "grads",
        lambda a: a[:5],
        ValueError,
        r"gradient of index 2 \('fc_weight'\) must fit its weight of shape \(6, 4\), got shape \(5, 4\)",
    ),
    "gradient with as many elements": ("grads", lambda a: a.reshape(4, 6), ValueError, r"got shape \(4, 6\)"),
    "integer gradient": (
        "grads",
        lambda a: a.astype(int),
        TypeError,
        r"gradient of index 2 .*float32, float64, float16 or bfloat16, got int64; cast",
    ),
    "complex gradient": ("grads", lambda a: a.astype(complex), TypeError, "got complex128"),
    "gradient of objects": ("grads", lambda a: a.astype(object), TypeError, "got object"),
    "gradient in the other byte order": ("grads", lambda a: a.astype(">f4"), TypeError, "got >f4"),
    "gradient that is a list": (
        "grads",
        lambda a: a.tolist(),
        TypeError,
        "gradient of index 2 .* must be an array, got list; make one",
    ),
    "gradient that is None": (
        "grads",
        lambda a: None,
        TypeError,
        "gradient of index 2 .* must be an array, got NoneType",
    ),
    "misaligned gradient": ("grads", misaligned, ValueError, "gradient of index 2 .* is not aligned"),
    "masked gradient": ("grads", np.ma.masked_invalid, TypeError, "masked"),
    "weight of another shape": (
        "weights",
        lambda a: a[:5].copy(),
        ValueError,
        "must fit its weight of shape",
    ),
    "integer weight": ("weights", lambda a: a.astype(int), TypeError, "weight of index 2 .* got int64"),
    "read-only weight": (
        "weights",
        read_only,
        ValueError,
        "weight of index 2 .* is read-only; pass a writable copy",
    ),
    "misaligned weight": ("weights", misaligned, ValueError, "weight of index 2 .* is not aligned"),
    "weight that is a list": (
        "weights",
        lambda a: a.tolist(),
        TypeError,
        "weight of index 2 .* must be an array, got list",
    ),
    "weight that repeats itself": (
        "weights",
        lambda a: np.lib.stride_tricks.as_strided(a.copy(), a.shape, (0, 4)),
        ValueError,
        "repeats its own elements",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_one_bad_tensor_of_ten(what, fused, name):
    where, spoil, error, words = SPOILT[what]
    call = Call(name, use_fused_step=fused)
    spoilt = getattr(call, where)
    spoilt[BAD] = spoil(spoilt[BAD])
    call.refuses(error, words)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_overlapping_arrays(fused):
    call = Call(use_fused_step=fused)
    call.weights[BAD] = call.weights[5]
    call.refuses(ValueError, r"weight of index 2 \('fc_weight'\) and weight of index 5 share memory")
    call = Call(use_fused_step=fused)
    call.weights[BAD] = call.updater.states[4][1]
    call.refuses(ValueError, "weight of index 2 .* and state 'var' of index 4 share memory")
    call = Call(use_fused_step=fused)
    call.grads[BAD] = call.weights[9]
    call.refuses(ValueError, "gradient of index 2 .* and weight of index 9 share memory")
    call = Call(use_fused_step=fused)
    room = np.zeros((7, 4), np.float32)
    call.weights[0], call.weights[1] = room[:6], room[1:]
    call.refuses(ValueError, "weight of index 0 and weight of index 1 share memory")


def test_overlap_among_thousands_of_tensors():
    weights = [np.ones(4, np.float32) for _ in range(3000)]
    updater = mx.get_updater(mx.create("sgd"))
    weights[2500] = weights[17]
    with pytest.raises(ValueError, match="weight of index 17 and weight of index 2500 share memory"):
        updater(list(range(3000)), [np.ones(4, np.float32) for _ in weights], weights)
    assert all((w == 1).all() for w in weights)


def test_shared_states_beside_a_strided_tensor():
    updater = mx.get_updater(mx.create("sgd", momentum=0.9))
    weights = [np.ones((4, 3), np.float32), np.ones((4, 3), np.float32), np.ones((3, 4), np.float32).T]
    grads = [np.ones((4, 3), np.float32) for _ in weights]
    updater([0, 1, 2], grads, weights)
    updater.states[1] = updater.states[0]
    with pytest.raises(ValueError, match="state 'mom' of index 0 and state 'mom' of index 1 share memory"):
        updater([0, 1, 2], grads, weights)


def test_interleaved_views_do_not_overlap():
    room = np.ones((6, 8), np.float32)
    left, right = room[:, ::2], room[:, 1::2]
    mx.get_updater(mx.create("sgd", learning_rate=1.0))(
        [0, 1], [np.ones((6, 4), np.float32), np.full((6, 4), 2, np.float32)], [left, right]
    )
    assert (room == np.array([0, -1] * 4)).all()


def test_one_gradient_for_two_weights_is_fine():
    grad = np.ones(4, np.float32)
    weights = [np.zeros(4, np.float32), np.zeros(4, np.float32)]
    mx.get_updater(mx.create("sgd", learning_rate=1.0))([0, 1], [grad, grad], weights)
    assert (weights[0] == -1).all() and (weights[1] == -1).all()


STATES = {
    "wrong shape": (
        lambda m, v: (m[:3].copy(), v),
        ValueError,
        r"state 'mean' of index 2 .* must fit its weight of shape \(6, 4\)",
    ),
    "one of two": (lambda m, v: m, ValueError, r"must hold 2 arrays \(mean, var\), got 1"),
    "None": (lambda m, v: None, ValueError, r"must hold 2 arrays \(mean, var\), got 0"),
    "three": (lambda m, v: (m, v, m.copy()), ValueError, "must hold 2 arrays .*, got 3"),
    "a number": (lambda m, v: (m, 3.0), TypeError, "state of index 2 .* got float"),
    "integers": (lambda m, v: (m, v.astype(int)), TypeError, "state 'var' of index 2 .* got int64"),
    "read-only": (lambda m, v: (read_only(m), v), ValueError, "state 'mean' of index 2 .* is read-only"),
    "twice the same": (
        lambda m, v: (m, m),
        ValueError,
        "state 'mean' of index 2 .* and state 'var' of index 2 .* share memory",
    ),
}


@pytest.mark.parametrize("what", STATES)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_bad_state(what, fused):
    spoil, error, words = STATES[what]
    call = Call(use_fused_step=fused)
    call.updater.states[BAD] = spoil(*call.updater.states[BAD])
    before = [w.copy() for w in call.weights]
    with pytest.raises(error, match=words):
        call.step()
    assert_same_bits(call.weights, before)
    assert set(call.optimizer._index_update_count.values()) == {1}


def test_master_pair_is_asked_for():
    call = Call(dtype="float16", multi_precision=True)
    call.updater.states[BAD] = call.updater.states[BAD][1]
    with pytest.raises(
        TypeError, match="must be the pair of the float32 master and the state.*create_state_multi_precision"
    ):
        call.step()


LENGTHS = {
    "weights": lambda c: c.weights.pop(),
    "grads": lambda c: c.grads.pop(),
    "indices": lambda c: c.indices.pop(),
}


@pytest.mark.parametrize("what", LENGTHS)
def test_lists_of_other_lengths(what):
    call = Call()
    LENGTHS[what](call)
    call.refuses(ValueError, "same length")


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_index_twice_in_a_call(fused):
    call = Call("sgd", use_fused_step=fused)
    call.indices[BAD] = 7
    call.refuses(ValueError, "index 7 occurs twice in one call")


def test_index_that_is_not_an_index():
    call = Call()
    for bad in (1.5, None, (1, 2), object()):
        call.indices[BAD] = bad
        call.refuses(TypeError, "an index must be an int or a str")


def test_index_that_cannot_be_a_key_of_a_direct_call():
    call = Call("sgd")
    call.indices[BAD] = []
    call.refuses(
        TypeError,
        "unhashable",
        lambda: call.optimizer.update(call.indices, call.weights, call.grads, [None] * 10),
    )


def sparse(rows, shape=(6, 4), dtype="float32"):
    return mx.RowSparseArray(np.ones((len(rows), *shape[1:]), dtype), rows, shape)


@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "standard"])
def test_row_sparse_gradient_changed_after_it_was_made(lazy):
    """Its rows were valid when it was made; the engine checks them again."""
    for value, error, words in (
        (40, IndexError, r"row index 40 of the gradient of index 2 .* is outside its weight of 6 rows"),
        (-1, IndexError, "row index -1 of the gradient"),
        (2**62, IndexError, "row index 4611686018427387904"),
        (1, ValueError, "must ascend without repeats"),
        (0, ValueError, "must ascend without repeats"),
    ):
        call = Call(lazy_update=lazy)
        call.grads[BAD] = sparse([1, 3, 5])
        call.grads[BAD].indices[1 if value in (0, 1) else 2] = value
        call.refuses(error, words)


@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "standard"])
def test_row_sparse_gradient_of_another_shape(lazy):
    for shape in ((7, 4), (6, 5), (6,), (6, 4, 1), (5, 4)):
        call = Call(lazy_update=lazy)
        call.grads[BAD] = sparse([1, 3], shape)
        call.refuses(ValueError, "gradient of index 2 .* must fit its weight of shape")


def test_row_sparse_gradient_whose_data_was_cut():
    call = Call(lazy_update=True)
    call.grads[BAD] = sparse([1, 3])
    call.grads[BAD].data = call.grads[BAD].data[:1]
    call.refuses(ValueError, "gradient of index 2 .* must fit")
    call.grads[BAD].data = np.ones((2, 3), np.float32)
    call.refuses(ValueError, "gradient of index 2 .* must fit")


def test_row_sparse_gradient_for_a_number():
    weight = np.array(1.0, np.float32)
    grad = mx.RowSparseArray(np.ones(1, np.float32), [0], (1,))
    grad.shape = ()
    with pytest.raises(ValueError, match="row-sparse, but its weight has no rows"):
        mx.get_updater(mx.create("sgd"))(0, grad, weight)
    assert weight == 1


@pytest.mark.parametrize("name", ["learning_rate", "wd", "clip_gradient", "beta1", "beta2", "epsilon"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.1", [1, 2], object], ids=str)
def test_hyper_parameter_that_is_not_a_number(name, value):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be a (finite )?number, got"):
        mx.create("adam", **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("beta1", 1.0), ("beta1", -0.1), ("beta2", 1.5), ("epsilon", -1e-8)]
)
def test_hyper_parameter_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        mx.create("adam", **{name: value})


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize(
    ("attribute", "words"),
    [("lr", "learning_rate must be a finite number, got nan"), ("wd", "wd must be a finite number, got nan")],
)
def test_hyper_parameter_spoilt_later(attribute, words, fused):
    call = Call(use_fused_step=fused)
    vars(call.optimizer)[attribute] = math.nan  # bypasses the check on assignment
    before = everything(call.updater, call.weights)
    with pytest.raises(ValueError, match=words):
        call.step()
    assert_same_bits(everything(call.updater, call.weights), before)
    assert set(call.optimizer._index_update_count.values()) == {1}
    assert call.optimizer.num_update == 1


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_scheduler_that_fails(fused):
    class Failing(mx.lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            self.base_lr *= 0.5
            if num_update > 1:
                raise RuntimeError("no rate today")
            return self.base_lr

    call = Call(use_fused_step=fused, learning_rate=None, lr_scheduler=Failing(0.1))
    call.refuses(RuntimeError, "no rate today")


def test_new_indices_are_forgotten_after_an_error():
    updater = mx.get_updater(mx.create("adam"))
    weights = tensors(SHAPES)
    grads = gradients(SHAPES)
    grads[BAD] = grads[BAD][:2]
    with pytest.raises(ValueError, match="gradient of index 2 must fit"):
        updater(list(range(10)), grads, weights)
    assert updater.states == {} and updater.states_synced == {}
    assert updater.optimizer._index_update_count == {} and updater.optimizer.num_update == 0


def test_unknown_names_and_keywords_get_the_nearest():
    with pytest.raises(ValueError, match="unknown optimizer 'adma'; did you mean 'adam'"):
        mx.create("adma")
    with pytest.raises(TypeError, match="Adam has no argument 'learning_rat'; did you mean 'learning_rate'"):
        mx.create("adam", learning_rat=0.1)
    with pytest.raises(TypeError, match="SGD has no argument 'momentun'; did you mean 'momentum'"):
        mx.optimizer.SGD(momentun=0.9)
    with pytest.raises(TypeError, match="name of an optimizer must be a string, got Adam"):
        mx.create(mx.create("adam"))
    with pytest.raises(TypeError, match="only a class can be registered"):
        mx.register(mx.create("adam"))


def test_lazy_needs_the_fused_step():
    with pytest.raises(ValueError, match="lazy_update=True needs use_fused_step=True"):
        mx.create("adam", lazy_update=True, use_fused_step=False)


@pytest.mark.parametrize("name", ["n", "threads"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_number_of_threads(name, value):
    with pytest.raises(ValueError, match="must be an integer of 1 or more"):
        mx.set_num_threads(value)


WINDOWS = {
    "stride 0": ((5, 4), (0, 4)),
    "sliding windows": ((5, 4), (4, 4)),
    "windows that slide backwards": ((4, 4), (-4, 4)),
    "windows two apart": ((3, 3), (8, 4)),
    "an odd lattice": ((3, 4), (12, 8)),
}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("what", WINDOWS)
def test_arrays_that_overlap_themselves_are_refused(what, fused):
    memory = np.zeros(60, np.float32)
    shape, strides = WINDOWS[what]
    array = np.lib.stride_tricks.as_strided(memory[20:], shape, strides)
    grad = np.ones(shape, np.float32)
    for name in ("sgd", "sgd with momentum"):
        opt = mx.create("sgd", momentum=0.9 if "momentum" in name else 0.0, use_fused_step=fused)
        weight, state = (np.zeros(shape, np.float32), array) if "momentum" in name else (array, None)
        with pytest.raises(ValueError, match="repeats its own elements"):
            opt.update(0, weight, grad, state)
        assert not memory.any()


def test_odd_lattices_without_overlap_are_stepped():
    memory = np.zeros(30, np.float32)
    weight = np.lib.stride_tricks.as_strided(memory, (2, 3), (12, 8))  # 0 2 4 and 3 5 7
    mx.create("sgd", learning_rate=1.0).update(0, weight, np.ones((2, 3), np.float32), None)
    assert np.flatnonzero(memory).tolist() == [0, 2, 3, 4, 5, 7] and memory.sum() == -6


def test_dtypes_without_a_number_of_their_own_are_refused():
    try:
        from numpy._core._multiarray_umath import _get_sfloat_dtype
    except ImportError:
        from numpy.core._multiarray_umath import _get_sfloat_dtype
    odd = np.ones(8).view(_get_sfloat_dtype()(1.0))
    assert odd.dtype.num == -1
    for weight, grad in ((odd, np.ones(8)), (np.ones(8), odd)):
        with pytest.raises(TypeError, match="must be float32, float64, float16 or bfloat16"):
            mx.create("sgd").update(0, weight, grad, None)


@pytest.mark.parametrize("kind", [tuple, list])
def test_states_within_states_without_end_are_refused(kind):
    deep = None
    for _ in range(200_000):
        deep = kind([deep])
    circle = []
    circle.append(circle)
    for state in (deep, circle):
        with pytest.raises(ValueError, match="more than 16 levels"):
            mx.create("sgd", momentum=0.9).update(0, np.ones(3), np.ones(3), state)
    while deep is not None:  # not all at once: the interpreter would recurse
        (deep,) = deep


# -- numbers that float32 does not hold: MXNet refuses them, and the kernels would turn them into infinity

BOTH = pytest.mark.parametrize("package", [mx, mxopt.v1], ids=["2.x", "1.x"])


def numbers_of(cls):
    """The constructor's arguments that are numbers, by name."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p.name for p in parameters if isinstance(p.default, float) and p.name != "rescale_grad"]


@BOTH
def test_a_constructor_takes_what_float32_holds(package):
    tried = 0
    for cls in package.optimizer.Optimizer.opt_registry.values():
        for name in [*numbers_of(cls), "learning_rate", "wd", "clip_gradient"]:
            for value, words in ((1e39, "1e[+]39"), (1e-46, "1e-46"), (-1e-39, "-1e-39")):
                with pytest.raises(ValueError, match=f"{name} must be .*got {words}"):
                    cls(**{name: value})
            tried += 1
    assert tried > 60
    with pytest.raises(ValueError, match="learning_rate must be a finite number that float32 holds"):
        package.create("sgd").set_learning_rate(-1e39)
    package.create("sgd", learning_rate=3e38, wd=1.2e-38, clip_gradient=0.0)


@BOTH
@pytest.mark.parametrize("name", ["ftrl", "ftml"])
def test_a_scheduled_rate_that_is_zero_in_float32_is_refused_where_it_divides(package, name):
    optimizer = package.create(name, learning_rate=None, lr_scheduler=lambda count: 1e-46)
    weight = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="got 1e-46"):
        package.get_updater(optimizer)(0, np.ones(3, np.float32), weight)
    assert (weight == 1).all()


@BOTH
def test_what_becomes_tiny_by_itself_is_taken(package):
    weight, grad = np.ones(3, np.float32), np.ones(3, np.float32)
    scheduled = package.create("sgd", learning_rate=None, lr_scheduler=lambda count: 1e-46)
    scheduled.set_lr_mult({0: 1e-46})
    package.get_updater(scheduled)(0, grad, weight)
    assert (weight == 1).all()
    nadam = package.get_updater(package.create("nadam", beta1=1e-9))
    for _ in range(8):
        nadam(0, grad, weight)
    assert 0 < nadam.optimizer.m_schedule < 1e-46
    again = package.get_updater(package.create("nadam"))
    again.set_states(nadam.get_states(dump_optimizer=True))
    assert again.optimizer.m_schedule == nadam.optimizer.m_schedule


@BOTH
@pytest.mark.parametrize("name", ["lr", "wd", "momentum", "rescale_grad", "clip_gradient"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_set_later_is_held_by_float32_too(package, name, dtype):
    optimizer = package.create("sgd", momentum=0.9)
    updater, weight = package.get_updater(optimizer), np.ones(3, dtype)
    updater(0, np.ones(3, dtype), weight)
    before = weight.copy(), dict(optimizer._index_update_count)
    kept = getattr(optimizer, name)
    vars(optimizer)[name] = 1e39  # bypasses the check on assignment
    word = "learning_rate" if name == "lr" else name
    with pytest.raises(ValueError, match=f"{word} must be a finite number that float32 holds"):
        updater(0, np.ones(3, dtype), weight)
    np.testing.assert_array_equal(weight, before[0])
    assert optimizer._index_update_count == before[1]
    setattr(optimizer, name, kept)
    updater(0, np.ones(3, dtype), weight)
    assert (weight != before[0]).all()


@BOTH
def test_a_schedule_and_multipliers_stay_within_float32(package):
    weight, grad = np.ones(3, np.float32), np.ones(3, np.float32)
    optimizer = package.create("sgd", learning_rate=1e30, param_idx2name={0: "w"})
    optimizer.set_lr_mult({"w": 1e10})
    with pytest.raises(ValueError, match="learning_rate must be a finite number that float32 holds"):
        package.get_updater(optimizer)(0, grad, weight)
    with pytest.raises(ValueError, match="multiplier of 'w' must be a finite number that float32 holds"):
        optimizer.set_lr_mult({"w": 1e39})
    scheduled = package.create("sgd", learning_rate=None, lr_scheduler=lambda count: 10.0 ** (38 + count))
    with pytest.raises(ValueError, match="learning_rate must be a finite number that float32 holds"):
        package.get_updater(scheduled)(0, grad, weight)
    assert (weight == 1).all()


@BOTH
@pytest.mark.parametrize(
    "make",
    [np.float32, np.array, lambda x: np.array([x], np.float32), lambda x: mx.nd.array([x])],
    ids=["scalar", "0-d", "one", "NDArray"],
)
def test_arrays_of_one_element_are_numbers_everywhere(package, make):
    def stepped(number, later):
        names = {"learning_rate": 0.5, "wd": 0.25, "momentum": 0.5, "clip_gradient": 2.0}
        given = {name: number(value) for name, value in names.items()}
        optimizer = package.create("sgd", **({"momentum": 0.9} if later else given))
        if later:
            for name, value in given.items():
                setattr(optimizer, "lr" if name == "learning_rate" else name, value)
        optimizer.rescale_grad = number(0.5)
        updater, weight = package.get_updater(optimizer), np.ones(3, np.float32)
        for _ in range(3):
            updater(0, np.full(3, 3, np.float32), weight)
        optimizer.set_learning_rate(number(0.25))
        optimizer.lr_scheduler = lambda count: number(0.125)
        updater(0, np.full(3, 3, np.float32), weight)
        return weight

    for later in (False, True):
        np.testing.assert_array_equal(stepped(make, later), stepped(float, later))


@BOTH
@pytest.mark.parametrize("name", ["lr", "wd", "momentum", "clip_gradient"])
@pytest.mark.parametrize("value", ["0.5", [0.5], object()], ids=["str", "list", "object"])
def test_what_a_step_finds_and_is_no_number_is_named(package, name, value):
    optimizer, weight = package.create("sgd", momentum=0.9), np.ones(3, np.float32)
    vars(optimizer)[name] = value  # bypasses the check on assignment
    word = "learning_rate" if name == "lr" else name
    with pytest.raises(TypeError, match=f"{word} must be a number, got"):
        package.get_updater(optimizer)(0, np.ones(3, np.float32), weight)
    assert (weight == 1).all()


def outcome(call):
    """The error of a call, None without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of negative rates
        try:
            call()
        except (TypeError, ValueError) as error:
            return type(error), str(error)
    return None


EVERY = [
    pytest.param(package, name, id=f"{name}-{dialect}")
    for package, dialect in ((mx, "2.x"), (mxopt.v1, "1.x"))
    for name in package.list_optimizers()
]


@pytest.mark.parametrize(("package", "name"), EVERY)
def test_what_is_set_later_is_judged_as_in_the_constructor(package, name):
    judged = hyper_parameters(type(package.create(name))) & vars(package.create(name)).keys()
    assert {"lr", "wd", "clip_gradient"} <= judged
    arguments = {"lr": "learning_rate", "float_stable_eps": "eps"}
    values = ("0.5", [0.5], math.nan, math.inf, 1e39, 1e-46, -0.5, 1.0, 2.0, 0, 0.25, np.float32(0.5))
    refused = set()
    for attribute, value in itertools.product(judged, values):
        argument = arguments.get(attribute, attribute)
        optimizer = package.create(name)
        before = getattr(optimizer, attribute)
        error = outcome(functools.partial(package.create, name, **{argument: value}))
        assert outcome(functools.partial(setattr, optimizer, attribute, value)) == error, (attribute, value)
        assert getattr(optimizer, attribute) is (before if error else value)
        if error:
            refused.add(attribute)
    assert refused >= {"lr", "wd", "clip_gradient"}


def test_attributes_of_a_custom_class_mean_what_its_author_says():
    class Odd(mx.SGD):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.momentum = "adaptive"

    odd = Odd()
    odd.momentum = None
    assert odd.momentum is None


@pytest.mark.parametrize("value", [None, "0.5"])
def test_a_rate_that_nothing_else_decides_is_a_number(value):
    optimizer = mx.create("adam")
    with pytest.raises(TypeError, match="learning_rate must be a number, got"):
        optimizer.lr = value
    optimizer = mx.create("adam", learning_rate=None, lr_scheduler=lambda count: 0.5)
    optimizer.lr = None


@BOTH
@pytest.mark.parametrize("value", ["3", None, 2.5, math.nan, True, -1])
def test_counts_are_integers(package, value):
    with pytest.raises(ValueError, match="begin_num_update must be an integer of 0 or more, got"):
        package.create("adam", begin_num_update=value)
    assert package.create("adam", begin_num_update=np.int64(3)).num_update == 3


@pytest.mark.parametrize("value", ["3", None, [1]])
def test_a_count_that_is_no_number_is_named(value):
    optimizer, weights = mx.create("adam"), [np.ones(3, np.float32) for _ in range(2)]
    updater, grads = mx.get_updater(optimizer), [np.ones(3, np.float32)] * 2
    updater([0, 1], grads, weights)
    before = everything(updater, weights)
    optimizer._index_update_count[1] = value
    with pytest.raises(TypeError, match="the update count of index 1 must be a number, got"):
        updater([0, 1], grads, weights)
    assert_same_bits(everything(updater, weights), before)
