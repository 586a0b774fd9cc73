"""States of live updaters: our format, MXNet's, and everything that can be wrong with either."""

import copy
import itertools
import warnings
from contextlib import nullcontext as nothing

import mxnet_files
import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt.states import DamagedStateFile, ForeignStateFile, StateFileError, StateMismatch, mxnet, native


def trained(name="adam", steps=5, names=None, keys=(0, 1), dtype="f4", **arguments):
    """An updater after some steps, and its weights."""
    updater = mxopt.get_updater(mxopt.create(name, param_idx2name=names, **arguments))
    weights = [np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3), np.ones(4, dtype)]
    step(updater, weights, steps, keys)
    return updater, weights


def step(updater, weights, steps=1, keys=(0, 1), seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        grads = [rng.normal(size=w.shape).astype(w.dtype) for w in weights]
        updater(list(keys), grads, weights)


def picture(updater):
    """All that loading may change, as values."""
    optimizer = updater.optimizer
    attributes = {name: copy.deepcopy(value) for name, value in vars(optimizer).items()}
    scheduler = optimizer.lr_scheduler
    return (
        id(optimizer),
        attributes,
        copy.deepcopy(updater.states),
        scheduler and dict(vars(scheduler)),
        (updater._undecided, updater._row_sparse),
    )


def assert_unchanged(updater, before):
    mxnet_files.assert_same(updater.states, before[2])
    now = picture(updater)
    assert now[0] == before[0]
    assert repr(now[1]) == repr(before[1])
    assert now[3] == before[3]
    assert all(part is kept for part, kept in zip(now[4], before[4]))


def assert_goes_on_alike(one, weights, other, keys=(0, 1)):
    """Both updaters take the same further steps to the same bits."""
    weights, others = copy.deepcopy(weights), copy.deepcopy(weights)
    step(one, weights, 3, keys, seed=1)
    step(other, others, 3, keys, seed=1)
    mxnet_files.assert_same(others, weights)
    mxnet_files.assert_same(plain(other.states), plain(one.states))


def plain(state):
    """With plain arrays in place of the NDArrays that custom classes get."""
    if isinstance(state, dict):
        return {key: plain(part) for key, part in state.items()}
    if isinstance(state, (tuple, list)):
        return type(state)(map(plain, state))
    return np.asarray(state) if isinstance(state, np.ndarray) else state


def schedules():
    return {
        "factor": mxopt.lr_scheduler.FactorScheduler(3, 0.5, base_lr=0.01),
        "multifactor": mxopt.lr_scheduler.MultiFactorScheduler([2, 6], 0.5, base_lr=0.01),
        "poly": mxopt.lr_scheduler.PolyScheduler(100, base_lr=0.01, warmup_steps=3),
        "cosine": mxopt.lr_scheduler.CosineScheduler(100, base_lr=0.01, final_lr=0.001),
    }


# our format


@pytest.mark.parametrize("dump", [False, True], ids=["states", "dump"])
def test_a_resumed_run_goes_on_with_the_same_bits(dump):
    updater, weights = trained()
    resumed = mxopt.get_updater(mxopt.create("adam"))
    report = resumed.set_states(updater.get_states(dump_optimizer=dump))
    assert report.kept == (0, 1)
    assert resumed.optimizer._index_update_count == {0: 5, 1: 5}
    assert resumed.optimizer._index_update_count is resumed.optimizer._all_index_update_counts[0]
    assert_goes_on_alike(updater, weights, resumed)


@pytest.mark.parametrize("schedule", schedules())
def test_a_dump_carries_everything(schedule):
    names = {0: "fc_weight", 1: "fc_bias"}
    updater, weights = trained(
        names=names, lr_scheduler=schedules()[schedule], learning_rate=0.01, beta1=0.8, wd=0.1,
        clip_gradient=0.5, rescale_grad=0.25, begin_num_update=2,
    )  # fmt: skip
    updater.optimizer.set_lr_mult({"fc_bias": 2.0, 0: 0.5})
    updater.optimizer.set_wd_mult({"fc_bias": 0.0})
    step(updater, weights, 2)
    resumed = mxopt.get_updater(mxopt.create("sgd"))
    resumed.set_states(updater.get_states(dump_optimizer=True))
    ours, theirs = resumed.optimizer.__getstate__(), updater.optimizer.__getstate__()
    assert type(resumed.optimizer) is mxopt.Adam
    assert vars(ours.pop("lr_scheduler")) == vars(theirs.pop("lr_scheduler"))
    assert ours == theirs
    assert_goes_on_alike(updater, weights, resumed)


def test_a_file_on_disk_is_what_get_states_gives(tmp_path):
    updater, _ = trained()
    updater.save_states(tmp_path / "a.states", dump_optimizer=True)
    assert (tmp_path / "a.states").read_bytes() == updater.get_states(dump_optimizer=True)
    other = mxopt.get_updater(mxopt.create("adam"))
    other.load_states(tmp_path / "a.states")
    mxnet_files.assert_same(other.states, updater.states)


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("format", ["mxopt", "mxnet-2.x"])
def test_200_000_small_parameters(format, momentum):
    """More tensors than anybody has, of one element each: files that are nearly all header."""
    updater = mxopt.get_updater(mxopt.create("sgd", momentum=momentum))
    for i in range(200_000):
        updater.states[i] = np.full(1, i, "f4") if momentum else None
        updater.optimizer._index_update_count[i] = 5
    other = mxopt.get_updater(mxopt.create("sgd"))
    other.set_states(updater.get_states(dump_optimizer=True, format=format))
    assert other.states.keys() == updater.states.keys()
    assert not momentum or all(array == [i] for i, array in other.states.items())
    assert other.optimizer._index_update_count == updater.optimizer._index_update_count


def test_arrays_are_called_by_what_they_are():
    updater, _ = trained(names={0: "fc_weight", 1: "fc_bias"}, multi_precision=True, dtype="f2")
    tensors = native.read_header(updater.get_states()).tensors
    parts = ("master", "mean", "var")
    assert set(tensors) == {f"states/{o}/{p}" for o, p in itertools.product(("fc_weight", "fc_bias"), parts)}


def test_a_failed_load_changes_nothing():
    updater, _ = trained(lr_scheduler=schedules()["factor"], learning_rate=0.01)
    step_more, _ = trained(steps=9, lr_scheduler=schedules()["factor"], learning_rate=0.01)
    for dump in (False, True):
        data = bytearray(step_more.get_states(dump_optimizer=dump))
        before = picture(updater)
        for position in range(0, len(data), 7):
            data[position] ^= 4
            with pytest.raises(StateFileError):
                updater.set_states(data)
            data[position] ^= 4
        assert_unchanged(updater, before)


def test_states_of_another_optimizer_name_both():
    data = trained("adam")[0].get_states()
    updater, _ = trained("sgd", momentum=0.9)
    before = picture(updater)
    with pytest.raises(
        StateMismatch, match="the file holds states of 'adam' and this updater's optimizer is 'sgd'"
    ):
        updater.set_states(data)
    assert_unchanged(updater, before)


def test_states_of_another_structure_name_both():
    data = trained("sgd", momentum=0.9)[0].get_states()
    updater = mxopt.get_updater(mxopt.create("sgd"))
    with pytest.raises(StateMismatch, match=r"state of index 0 is float32 \(2, 3\), .* 'sgd' .* keeps None"):
        updater.set_states(data)


def test_masters_for_an_optimizer_that_keeps_none_are_refused():
    data = trained("adam", dtype="f2", multi_precision=True)[0].get_states()
    updater = mxopt.get_updater(mxopt.create("adam"))
    before = picture(updater)
    words = r"index 0 has a float32 master, .* 'adam' has multi_precision=False; create it with"
    with pytest.raises(StateMismatch, match=words):
        updater.set_states(data)
    assert_unchanged(updater, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda w: w.reshape(3, 2),
            r"index 0 is \(float32 \(2, 3\), .* and the updater's is \(float32 \(3, 2\)",
        ),
        (
            lambda w: w.astype("f8"),
            r"index 0 is \(float32 \(2, 3\), .* and the updater's is \(float64 \(2, 3\)",
        ),
    ],
    ids=["shape", "dtype"],
)
def test_states_of_another_shape_or_dtype_name_both(change, words):
    updater, weights = trained()
    data = updater.get_states()
    other = mxopt.get_updater(mxopt.create("adam"))
    weight = change(weights[0])
    other(0, np.ones_like(weight), weight)
    before = picture(other)
    with pytest.raises(StateMismatch, match=words):
        other.set_states(data)
    assert_unchanged(other, before)


def test_a_dump_of_other_shapes_names_both():
    data = trained()[0].get_states(dump_optimizer=True)
    other = mxopt.get_updater(mxopt.create("adam"))
    other(0, np.ones((3, 2), "f4"), np.ones((3, 2), "f4"))
    before = picture(other)
    with pytest.raises(
        StateMismatch, match=r"index 0 is \(float32 \(2, 3\), .* the updater's is \(float32 \(3, 2\)"
    ):
        other.set_states(data)
    assert_unchanged(other, before)


def edited(data, edit):
    """The file with its document changed and every checksum right."""
    tree = native.loads(data)
    edit(tree)
    return native.dumps(tree)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda a: a.update(gamma3=1.0), r"this mxopt does not know \['gamma3'\]"),
        (lambda a: a.pop("beta2"), r"the file lacks \['beta2'\]"),
        (lambda a: a.update(beta1=1.5), "beta1 must be"),
        (lambda a: a.update(beta1="0.9"), "beta1 must be a number"),
        (lambda a: a.update(lr_mult=[1]), "lr_mult must be a dict"),
        (lambda a: a.update(wd_mult={0: "x"}), "multiplier of 0 must be a number"),
        (lambda a: a.update(begin_num_update=-1), "counts are integers from 0 on"),
    ],
    ids=["surplus", "missing", "out of range", "wrong type", "no dict", "no number", "no count"],
)
def test_a_dump_with_other_hyper_parameters_is_refused(edit, words):
    updater, _ = trained()
    data = edited(updater.get_states(dump_optimizer=True), lambda tree: edit(tree["optimizer"]["attributes"]))
    before = picture(updater)
    with pytest.raises(StateMismatch, match=words):
        updater.set_states(data)
    assert_unchanged(updater, before)


@pytest.mark.parametrize("part", ["optimizer", "names", "counts", "progress", "states", "writer"])
@pytest.mark.parametrize("value", [None, 1, [], {}], ids=repr)
def test_a_document_without_its_parts_is_refused(part, value):
    updater, _ = trained()
    data = edited(updater.get_states(), lambda tree: tree.update({part: value}))
    if value == {} and part in ("names", "progress", "states"):
        updater.set_states(data, strict=False)
        return
    with pytest.raises(StateFileError, match=part):
        updater.set_states(data)


# names


NAMES = {0: "a", 1: "b"}


def test_reordered_parameters_are_matched_by_name():
    updater, weights = trained(names=NAMES)
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={0: "b", 1: "a"}))
    report = other.set_states(updater.get_states())
    assert (report.kept, report.new, report.dropped) == (("a", "b"), (), ())
    mxnet_files.assert_same(other.states, {1: updater.states[0], 0: updater.states[1]})
    assert other.optimizer._index_update_count == {0: 5, 1: 5}


def test_a_dump_takes_the_indices_that_the_names_have_here():
    updater, weights = trained(names=NAMES)
    updater.optimizer.set_lr_mult({0: 0.25})
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={0: "b", 1: "a"}))
    other.set_states(updater.get_states(dump_optimizer=True))
    assert other.optimizer.idx2name == {0: "b", 1: "a"}
    assert other.optimizer.lr_mult == {1: 0.25}


def test_added_and_removed_parameters_are_reported():
    updater, _ = trained(names=NAMES)
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={0: "c", 1: "a"}))
    before = picture(other)
    with pytest.raises(
        StateMismatch, match=r"not in the file \['c'\], only in the file \['b'\]; pass strict=False"
    ):
        other.set_states(updater.get_states())
    assert_unchanged(other, before)
    report = other.set_states(updater.get_states(), strict=False)
    assert (report.kept, report.new, report.dropped) == (("a",), ("c",), ("b",))
    assert list(other.states) == [1]
    assert other.optimizer._index_update_count == {1: 5}
    assert str(report) == "1 kept, 1 new, 1 dropped"


def test_a_renamed_parameter_is_told_by_rename():
    updater, _ = trained(names=NAMES)
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={0: "a", 1: "c"}))
    report = other.set_states(updater.get_states(), rename={"b": "c"})
    assert report.kept == ("a", "c")
    mxnet_files.assert_same(other.states, updater.states)


def test_a_parameter_without_a_state_yet_is_not_new():
    updater, _ = trained(names={**NAMES, 2: "frozen"})
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={**NAMES, 2: "frozen"}))
    assert other.set_states(updater.get_states()).new == ()


def test_names_as_keys_meet_names_of_indices():
    updater, _ = trained(keys=("a", "b"))
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={0: "b", 1: "a"}))
    other.set_states(updater.get_states())
    mxnet_files.assert_same(other.states, {1: updater.states["a"], 0: updater.states["b"]})
    back = mxopt.get_updater(mxopt.create("adam"))
    back("a", np.ones((2, 3), "f4"), np.ones((2, 3), "f4"))
    back.set_states(other.get_states())
    mxnet_files.assert_same(back.states, updater.states)


def test_names_that_are_all_strange_give_way_to_the_order():
    updater, _ = trained(names=NAMES)
    other = mxopt.get_updater(mxopt.create("adam", param_idx2name={0: "net2_a", 1: "net2_b"}))
    with pytest.warns(UserWarning, match="matched by their order"):
        other.set_states(updater.get_states())
    mxnet_files.assert_same(other.states, updater.states)


# optimizers of one's own


@pytest.fixture
def own_class(monkeypatch):
    registry = mxopt.Optimizer.opt_registry
    monkeypatch.setattr(mxopt.dialects.V2.registry, "classes", registry)

    @mxopt.register
    class Signed(mxopt.Optimizer):
        def __init__(self, power=2, **kwargs):
            super().__init__(**kwargs)
            self.power = power
            self.history = {"norms": [], "buffer": np.zeros(2, "f4")}

        def create_state(self, index, weight):
            return [weight.copy(), {"count": 0}]

        def update(self, index, weight, grad, state):
            self._update_count(index)
            weight[:] -= self._get_lr(index) * np.sign(grad)
            state[1]["count"] += 1
            self.history["norms"].append(float(abs(grad).sum()))

    yield Signed
    del registry["signed"]


class Halving(mxopt.lr_scheduler.LRScheduler):
    def __init__(self, every, **kwargs):
        super().__init__(**kwargs)
        self.every, self.seen = every, []

    def __call__(self, num_update):
        self.seen.append(num_update)
        return self.base_lr * 0.5 ** (num_update // self.every)


def test_a_custom_optimizer_and_scheduler_are_saved_by_their_attributes(own_class):
    updater, weights = trained("signed", power=3, lr_scheduler=Halving(2, base_lr=0.5))
    other = mxopt.get_updater(mxopt.create("signed"))
    other.set_states(updater.get_states(dump_optimizer=True))
    assert type(other.optimizer) is own_class
    assert type(other.optimizer.lr_scheduler) is Halving
    assert vars(other.optimizer.lr_scheduler) == vars(updater.optimizer.lr_scheduler)
    assert other.optimizer.history["norms"] == updater.optimizer.history["norms"]
    assert other.optimizer.power == 3
    assert_goes_on_alike(updater, weights, other)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            print,
            r"optimizer\['attributes'\]\['hook'\] is a builtins.builtin_function_or_method, which is not "
            r"data",
        ),
        (lambda w: w, r"optimizer\['attributes'\]\['hook'\] is a builtins.function, which is not data"),
    ],
    ids=["builtin", "lambda"],
)
def test_what_is_not_data_is_refused_when_saving(own_class, value, words, tmp_path):
    updater, _ = trained("signed")
    updater.optimizer.hook = value
    updater.get_states()
    (tmp_path / "a.states").write_bytes(b"old")
    with pytest.raises(StateMismatch, match=words):
        updater.save_states(tmp_path / "a.states", dump_optimizer=True)
    assert (tmp_path / "a.states").read_bytes() == b"old"


def test_a_class_that_is_not_registered_is_refused_when_saving():
    class Unknown(mxopt.Adam):
        pass

    updater = mxopt.get_updater(Unknown())
    with pytest.raises(StateMismatch, match="a Unknown, which is not registered"):
        updater.get_states(dump_optimizer=True)


def test_a_function_as_a_scheduler_is_refused_when_saving():
    updater, _ = trained()
    updater.optimizer.lr_scheduler = lambda n: 0.1
    with pytest.raises(
        StateMismatch, match="lr_scheduler is .* not an instance of a subclass of LRScheduler"
    ):
        updater.get_states(dump_optimizer=True)


def test_a_file_of_a_class_that_is_unknown_here_names_it(own_class):
    updater, _ = trained("signed", lr_scheduler=Halving(2))
    data = updater.get_states(dump_optimizer=True)
    other = mxopt.get_updater(mxopt.create("sgd"))
    renamed = edited(data, lambda tree: tree["optimizer"].update(name="vanished"))
    with pytest.raises(StateMismatch, match="the file's optimizer 'vanished' is not registered"):
        other.set_states(renamed)
    renamed = edited(data, lambda tree: tree["optimizer"]["scheduler"].update({"class": "Vanished"}))
    with pytest.raises(StateMismatch, match="scheduler is a 'Vanished', which is not known"):
        other.set_states(renamed)


# MXNet's files


def bare_warning():
    return pytest.warns(UserWarning, match="carries no update counts, .* pass num_update=")


DIALECTS = {"1.9.1": mxopt.v1, "2.0.0b1": mxopt}


def updater_for(name, mx=mxopt):
    """An updater with the hyper-parameters that decide the structure of the states of a file."""
    row, parts = mxnet_files.MANIFEST[name], name.split("-")
    arguments = {"multi_precision": True} if "mp" in parts else {}
    kind = row["optimizer_name"]
    if kind in ("sgd", "nag") and "plain" not in parts:
        arguments["momentum"] = 0.9
    if "centered" in parts:
        arguments["centered"] = True
    return mx.optimizer.get_updater(mx.optimizer.create(kind, **arguments))


def test_bare_states_restart_their_counts_with_a_warning():
    updater = updater_for("1.9.1-adam")
    with bare_warning():
        updater.set_states(mxnet_files.data("1.9.1-adam"))
    assert updater.optimizer._index_update_count == {}


def test_num_update_sets_the_counts_of_bare_states(recwarn):
    updater = updater_for("1.9.1-adam")
    updater.set_states(mxnet_files.data("1.9.1-adam"), num_update=40)
    assert not recwarn
    assert updater.optimizer._index_update_count == dict.fromkeys(updater.states, 40)
    assert updater.optimizer.num_update == 40


@pytest.mark.parametrize("bad", [-1, 1.5, "3", True], ids=repr)
def test_num_update_must_be_a_count(bad):
    with pytest.raises(StateMismatch, match="counts are integers from 0 on"):
        updater_for("1.9.1-adam").set_states(mxnet_files.data("1.9.1-adam"), num_update=bad)


def kinds(state):
    """How the arrays of a state are stored, in any order."""
    leaves = state if isinstance(state, tuple) else (state,)
    return {hasattr(leaf, "indices") for leaf in leaves if not isinstance(leaf, tuple)}


def dense(state):
    if isinstance(state, tuple):
        return tuple(map(dense, state))
    if hasattr(state, "indices"):
        whole = np.zeros(state.shape, state.data.dtype)
        whole[state.indices] = state.data
        return whole
    return state


def loaded(name, mx):
    updater = updater_for(name, mx)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        updater.set_states(mxnet_files.data(name))
    return updater


@pytest.mark.parametrize("name", mxnet_files.NAMES)
def test_states_in_their_own_dialect_are_what_mxnet_held(name):
    updater = loaded(name, DIALECTS[name.partition("-")[0]])
    expected = mxnet_files.Expected(name).states
    mxnet_files.assert_same(updater.states, {key: dense(state) for key, state in expected.items()})


def swapped(pair):
    return pair[::-1]


#: where the two generations keep a state in another order
IN_2X = {
    "1.9.1-sgd-mom-fp16-mp": swapped,
    "1.9.1-sgd-plain-fp16-mp": swapped,
    "1.9.1-nag-fp16-mp": swapped,
    "1.9.1-rmsprop": lambda state: state[0],
    "1.9.1-rmsprop-rsp": lambda state: state[0],
    "1.9.1-rmsprop-centered": lambda state: (state[1], state[0], state[2]),
}
IN_1X = {
    "2.0.0b1-sgd-mom-fp16-mp": swapped,
    "2.0.0b1-sgd-plain-fp16-mp": swapped,
    "2.0.0b1-nag-fp16-mp": swapped,
    "2.0.0b1-rmsprop": lambda state: (state,),
    "2.0.0b1-rmsprop-rsp": lambda state: (state,),
    "2.0.0b1-rmsprop-centered": lambda state: (state[1], state[0], state[2]),
}


@pytest.mark.parametrize("name", [n for n in mxnet_files.NAMES if "adamw" not in n])
def test_states_in_the_other_dialect_are_in_its_order(name):
    other, changed = (mxopt, IN_2X) if name.startswith("1.9.1") else (mxopt.v1, IN_1X)
    expected = {key: dense(state) for key, state in mxnet_files.Expected(name).states.items()}
    if name in changed:
        expected = {key: changed[name](state) for key, state in expected.items()}
    mxnet_files.assert_same(loaded(name, other).states, expected)


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("mx", DIALECTS.values(), ids=["1.x", "2.x"])
def test_the_order_of_a_centered_rmsprop_is_seen_in_its_contents(version, mx):
    name = f"{version}-rmsprop-centered"
    content = mxnet.read(mxnet_files.data(name))
    # both generations may have written the layout of 1.x
    data = b"".join(mxnet.to_pieces(content.states, None, "mxnet-1.x"))
    updater = updater_for(name, mx)
    updater.set_states(data, num_update=1)
    mxnet_files.assert_same(updater.states, loaded(name, mx).states)


@pytest.mark.parametrize("name", mxnet_files.NAMES)
@pytest.mark.parametrize("format", mxnet.FORMATS)
def test_what_was_loaded_is_written_for_either_generation(name, format):
    if "adamw" in name and format == "mxnet-1.x":
        with pytest.raises(StateMismatch, match="MXNet 1.x has no optimizer 'adamw'"):
            loaded(name, mxopt).get_states(format=format)
        return
    own = "2.x" if name.startswith("2") else "1.x"
    updater = loaded(name, DIALECTS[name.partition("-")[0]])
    dump = mxnet_files.MANIFEST[name]["dump_optimizer"]
    unseen = name.endswith(("mom-fp16-mp", "nag-fp16-mp")) and own not in format
    with pytest.warns(UserWarning, match="master, and no weight") if unseen else nothing():
        data = updater.get_states(dump_optimizer=dump, format=format)
    content = mxnet.read(data)
    expected = {key: dense(state) for key, state in mxnet_files.Expected(name).states.items()}
    changed = {**IN_1X, **IN_2X}.get(name)
    if changed and not format.endswith(own):
        expected = {key: changed(state) for key, state in expected.items()}
    mxnet_files.assert_same({key: dense(state) for key, state in content.states.items()}, expected)
    # what was row-sparse is so again
    stored = [kinds(state) for state in mxnet_files.Expected(name).states.values()]
    assert [kinds(state) for state in content.states.values()] == stored
    if dump and format.endswith(own):
        written, original = content.optimizer.attributes, mxnet_files.Expected(name).optimizer.attributes
        if isinstance(original["rescale_grad"], np.ndarray):
            original["rescale_grad"] = float(original["rescale_grad"][0])
        assert content.optimizer.path == mxnet_files.Expected(name).optimizer.path
        assert written.keys() == original.keys()
        scheduler, theirs = written.pop("lr_scheduler"), original.pop("lr_scheduler")
        assert written == original
        if theirs is not None:
            assert (scheduler.path, scheduler.attributes) == (theirs.path, theirs.attributes)


@pytest.mark.parametrize("version", ["1.9.1", "2.0.0b1"])
def test_a_dump_becomes_our_optimizer(version):
    updater = mxopt.get_updater(mxopt.create("sgd"))
    updater.set_states(mxnet_files.data(f"{version}-adam-dump-sched"))
    optimizer, expected = (
        updater.optimizer,
        mxnet_files.Expected(f"{version}-adam-dump-sched").optimizer.attributes,
    )
    assert type(optimizer) is mxopt.Adam
    for name in (
        "rescale_grad",
        "lr",
        "wd",
        "clip_gradient",
        "beta1",
        "beta2",
        "epsilon",
        "num_update",
        "lazy_update",
    ):
        assert getattr(optimizer, name) == expected[name], name
    assert type(optimizer.lr_scheduler) is mxopt.lr_scheduler.FactorScheduler
    assert vars(optimizer.lr_scheduler) == expected["lr_scheduler"].attributes
    assert optimizer._index_update_count == expected["_index_update_count"]
    assert optimizer._index_update_count is optimizer._all_index_update_counts[0]


@pytest.mark.parametrize("dump", [False, True], ids=["states", "dump"])
@pytest.mark.parametrize("keys", [(0, 1), ("w0", "w1"), (-3, 2**40)], ids=str)
def test_what_is_written_for_mxnet_reads_as_it_was(dump, keys):
    updater, weights = trained(keys=keys, lr_scheduler=schedules()["multifactor"], learning_rate=0.01)
    data = updater.get_states(dump_optimizer=dump, format="mxnet-2.x")
    content = mxnet.read(data)
    mxnet_files.assert_same(content.states, updater.states)
    assert content.layouts == {"V3"}
    other = mxopt.get_updater(
        mxopt.create("adam", lr_scheduler=schedules()["multifactor"], learning_rate=0.01)
    )
    other.set_states(data, num_update=None if dump else 5)
    assert_goes_on_alike(updater, weights, other, keys)


def test_what_mxnet_cannot_say_is_refused(own_class):
    updater, _ = trained("signed")
    with pytest.raises(StateMismatch, match="has no optimizer 'signed'"):
        updater.get_states(dump_optimizer=True, format="mxnet-2.x")
    updater, _ = trained(lr_scheduler=Halving(2), learning_rate=0.01)
    with pytest.raises(StateMismatch, match="MXNet has no learning-rate scheduler 'Halving'"):
        updater.get_states(dump_optimizer=True, format="mxnet-2.x")
    with pytest.raises(ValueError, match="format must be one of .*; did you mean 'mxnet-2.x'"):
        updater.get_states(format="mxnet-2")


def test_a_dump_of_an_unknown_class_still_gives_its_states():
    content = mxnet.read(mxnet_files.data("2.0.0b1-adam-dump-sched"))
    content.optimizer.module, content.optimizer.name = "my_project.optim", "MyAdam"
    data = b"".join(mxnet.to_pieces(content.states, content.optimizer, "mxnet-2.x"))
    updater = mxopt.get_updater(mxopt.create("adam"))
    with pytest.warns(UserWarning, match="my_project.optim.MyAdam, which is not registered here"):
        updater.set_states(data)
    mxnet_files.assert_same(updater.states, content.states)
    assert updater.optimizer._index_update_count == {0: 5, 1: 5}


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", DamagedStateFile, "the file is empty"),
        (
            b"PK\3\4 and more of it",
            ForeignStateFile,
            r"starts with b'PK.*safetensors file, one of MXNet is a pickle",
        ),
        (b"\x80\x04.", ForeignStateFile, "must end with one value"),
        (b"\x80\x04N.", ForeignStateFile, "expected a dict of states, got a NoneType"),
    ],
    ids=["empty", "zip", "no value", "None"],
)
def test_what_is_not_a_state_file_is_named(data, error, words):
    updater, _ = trained()
    before = picture(updater)
    with pytest.raises(error, match=words):
        updater.set_states(data)
    assert_unchanged(updater, before)


@pytest.mark.parametrize("data", [None, "adam.states", {0: None}], ids=["None", "path", "dict"])
def test_states_must_be_bytes(data):
    with pytest.raises(TypeError, match="states must be bytes, got .*; load_states reads files"):
        mxopt.get_updater(mxopt.create("adam")).set_states(data)


# dumps whose contents lie

ODD = [
    None,
    True,
    "x",
    -1,
    2**70,
    float("nan"),
    float("inf"),
    [],
    {},
    (1,),
    {"a": [1]},
    {0: {1: 2}},
    np.zeros(2),
]


def lies(tree, path=()):
    """The paths of everything in a tree that can be replaced."""
    yield path
    parts = (
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    )
    for key, part in parts:
        yield from lies(part, (*path, key))


def replaced(tree, path, value):
    if not path:
        return value
    if isinstance(tree, dict):
        return {
            key: replaced(part, path[1:], value) if key == path[0] else part for key, part in tree.items()
        }
    parts = [replaced(part, path[1:], value) if i == path[0] else part for i, part in enumerate(tree)]
    return type(tree)(parts)


def assert_taken_or_refused(data, make):
    updater = make()
    before = picture(updater)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            updater.set_states(data, strict=False)
        except StateFileError:
            assert_unchanged(updater, before)


def scheduled(name="adam", **arguments):
    return trained(
        name, lr_scheduler=schedules()["factor"], learning_rate=0.01, names={0: "a", 1: "b"}, **arguments
    )[0]


@pytest.mark.parametrize("name", ["adam", "nadam", "signed"])
def test_our_files_that_lie(name, own_class):
    tree = native.loads(scheduled(name).get_states(dump_optimizer=True))
    for path in lies(tree):
        for value in ODD:
            assert_taken_or_refused(native.dumps(replaced(tree, path, value)), lambda: scheduled("adam"))


@pytest.mark.parametrize("name", ["2.0.0b1-adam-dump-sched", "1.9.1-trainer-adam"])
def test_files_of_mxnet_that_lie(name):
    content = mxnet.read(mxnet_files.data(name))
    scheduler = content.optimizer.attributes.pop("lr_scheduler")
    tree = {"states": content.states, "attributes": content.optimizer.attributes}
    tree["scheduler"] = scheduler.attributes if scheduler else {}
    for path in lies(tree):
        if path in ((), ("states",), ("attributes",), ("scheduler",)):
            continue
        for value in ODD:
            lie = replaced(tree, path, value)
            attributes = dict(lie["attributes"])
            if scheduler:
                attributes["lr_scheduler"] = type(scheduler)(
                    scheduler.module, scheduler.name, lie["scheduler"]
                )
            optimizer = type(content.optimizer)(content.optimizer.module, content.optimizer.name, attributes)
            data = b"".join(mxnet.to_pieces(lie["states"], optimizer, "mxnet-2.x"))
            assert_taken_or_refused(data, lambda: trained("adam")[0])


# files that do not say which generation wrote them


def resumable(mx, name="sgd", **arguments):
    """An updater that keeps masters, with the same rate in both dialects."""
    optimizer = mx.optimizer.create(name, learning_rate=0.1, momentum=0.9, multi_precision=True, **arguments)
    return mx.optimizer.get_updater(optimizer)


def written_by(version, name="sgd"):
    """An updater of that generation's dialect with masters after some steps, and its weights."""
    updater = resumable(DIALECTS[version], name)
    weights = [np.linspace(-1, 1, 6, dtype="f2").reshape(2, 3), np.ones(4, "f2")]
    step(updater, weights, 3)
    return updater, weights


def bare(updater, layout):
    """Bare states in the order of the updater's dialect and a layout that either generation can write."""
    return b"".join(mxnet.to_pieces(updater.states, None, layout))


@pytest.mark.parametrize("layout", mxnet.FORMATS)
@pytest.mark.parametrize("mx", DIALECTS.values(), ids=["into 1.x", "into 2.x"])
@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("name", ["sgd", "nag", "lars"])
def test_masters_are_known_by_their_weights(name, version, mx, layout, recwarn):
    source, weights = written_by(version, name)
    data = bare(source, layout)
    other = resumable(mx, name)
    other.set_states(data, num_update=3)
    told = resumable(mx, name)
    told.set_states(data, num_update=3, format="mxnet-1.x" if version == "1.9.1" else "mxnet-2.x")
    # one parameter after the other: the first one decides for all
    for index, weight in enumerate(copy.deepcopy(weights)):
        other(index, np.zeros_like(weight), weight)
    for index, weight in enumerate(copy.deepcopy(weights)):
        told(index, np.zeros_like(weight), weight)
    mxnet_files.assert_same(other.states, told.states)
    assert not recwarn


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("mx", DIALECTS.values(), ids=["into 1.x", "into 2.x"])
def test_masters_are_known_at_once_where_the_parameters_are(version, mx, recwarn):
    source, weights = written_by(version)
    trainer = mx.gluon.Trainer(
        {"a": weights[0], "b": weights[1]}, "sgd", {"momentum": 0.9, "multi_precision": True}
    )
    updater = trainer._updaters[0]
    for layout in mxnet.FORMATS:
        updater.set_states(bare(source, layout), num_update=3)
        at = updater.optimizer.master_position
        for index, weight in enumerate(weights):
            np.testing.assert_array_equal(updater.states[index][at].astype("f2"), weight)
    assert not recwarn


def test_masters_that_no_weight_tells_are_named():
    source, weights = written_by("2.0.0b1")
    updater = resumable(mxopt, param_idx2name={0: "fc"})
    updater.set_states(bare(source, "mxnet-1.x"), num_update=3)
    words = (
        r"index 0 \('fc'\) is the float32 master, and its weight does not tell: "
        r"taken as MXNet 1.x writes it. If MXNet 2.x wrote the file, load it with format='mxnet-2.x'"
    )
    with pytest.warns(UserWarning, match=words):
        updater(0, np.zeros((2, 3), "f2"), np.zeros((2, 3), "f2"))
    # the other one still tells, and is put right
    updater(1, np.zeros(4, "f2"), weights[1])
    np.testing.assert_array_equal(updater.states[1][0].astype("f2"), weights[1])
    np.testing.assert_array_equal(updater.states[1][1], 0.9 * source.states[1][1])


def unseen():
    """An updater whose masters are those of 2.0 and are supposed to be those of 1.x, with their weights."""
    source, weights = written_by("2.0.0b1")
    updater = resumable(mxopt)
    updater.set_states(bare(source, "mxnet-1.x"), num_update=3)
    return updater, source, weights


@pytest.mark.parametrize(("format", "dump"), [("mxnet-2.x", False), ("mxnet-1.x", True)])
def test_masters_that_are_saved_unseen_in_another_order_are_named(format, dump):
    with pytest.warns(
        UserWarning, match="index 0, index 1 is the float32 master, and no weight has been seen"
    ):
        unseen()[0].get_states(dump, format=format)


@pytest.mark.parametrize(("format", "dump"), [("mxnet-1.x", False), ("mxopt", False), ("mxopt", True)])
@pytest.mark.parametrize("mx", DIALECTS.values(), ids=["into 1.x", "into 2.x"])
def test_masters_that_are_saved_unseen_can_still_be_told(format, dump, mx, recwarn):
    updater, source, weights = unseen()
    saved = updater.get_states(dump, format=format)
    again = resumable(mx)
    again.set_states(saved, num_update=3)
    if mx is mxopt.v1 and not dump:  # which keeps the pair the other way round
        again(0, np.zeros((2, 3), "f2"), weights[0].copy())
        mxnet_files.assert_same(again.states[1], swapped(source.states[1]))
    else:
        assert_goes_on_alike(source, weights, again)
    assert not recwarn


@pytest.mark.parametrize(
    "value",
    [[], {"states": 0, "readings": ["1.x", "2.x"]}, {"states": [7], "readings": ["1.x", "2.x"]},
     {"states": [[]], "readings": ["1.x", "2.x"]}, {"states": [0], "readings": ["1.x", []]}],
)  # fmt: skip
def test_what_a_file_leaves_open_must_be_there(value):
    updater = unseen()[0]
    data = edited(updater.get_states(), lambda tree: tree.update(undecided=value))
    with pytest.raises(ForeignStateFile, match="'undecided'|'states'"):
        updater.set_states(data)


def test_a_format_that_is_given_is_not_questioned(recwarn):
    source, weights = written_by("2.0.0b1")
    updater = resumable(mxopt)
    updater.set_states(bare(source, "mxnet-1.x"), num_update=3, format="mxnet-2.x")
    mxnet_files.assert_same(updater.states, source.states)
    updater.get_states()
    step(updater, [np.zeros_like(weight) for weight in weights])
    assert not recwarn


def test_a_centered_rmsprop_whose_order_cannot_be_seen_is_named():
    updater = mxopt.get_updater(mxopt.create("rmsprop", centered=True))
    weight = np.ones(4, "f4")
    updater(0, np.full(4, 0.1, "f4"), weight)
    fresh = mxopt.get_updater(mxopt.create("rmsprop", centered=True))
    with pytest.warns(
        UserWarning, match="in which order the state of index 0 is: taken as MXNet 1.x writes it"
    ):
        fresh.set_states(bare(updater, "mxnet-1.x"), num_update=1)
    # a mean of squares is not below the square of the mean
    updater(0, np.full(4, 200, "f4"), weight)
    for layout in mxnet.FORMATS:
        fresh.set_states(bare(updater, layout), num_update=2)
        mxnet_files.assert_same(fresh.states, updater.states)


@pytest.mark.parametrize("layout", mxnet.FORMATS)
def test_half_states_of_lamb_become_those_that_2x_keeps(layout):
    """1.x keeps them in float16 like the weight, 2.x in float32."""
    old = mxopt.v1.optimizer.get_updater(mxopt.v1.optimizer.create("lamb"))
    weights = [np.linspace(-1, 1, 6, dtype="f2").reshape(2, 3), np.ones(4, "f2")]
    with pytest.warns(UserWarning, match="accumulate in float16"):
        step(old, weights, 2)
    for dump in (False, True):
        new = mxopt.get_updater(mxopt.create("lamb"))
        data = old.get_states(dump, format="mxnet-1.x") if dump else bare(old, layout)
        new.set_states(data, num_update=None if dump else 2)
        for key, state in old.states.items():
            mxnet_files.assert_same(new.states[key], tuple(array.astype("f4") for array in state))
