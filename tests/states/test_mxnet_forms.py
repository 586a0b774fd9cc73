"""The forms of MXNet's files that no example shows: all protocols, Python 2, old layouts, odd values."""

import collections
import pickle
import struct

import fake_mxnet
import mxnet_files
import numpy as np
import pytest
from fake_mxnet import ARRAY, NDArray, OldNDArray, Optimizer, v1, v2, without_magic

from mxopt.sparse import RowSparseArray
from mxopt.states import DamagedStateFile, ForeignStateFile, StateMismatch, mxnet, mxnet_pickle
from mxopt.states.mxnet_arrays import V2, V3, CSRArray, read_array, write_array

PROTOCOLS = range(6)


def content():
    counts = {0: 3, "w": 4}
    attributes = {
        "lr": 0.1,
        "clip_gradient": None,
        "lr_mult": {"w": 2.0, 5: 0.0},
        "multi_precision": True,
        "aggregate_num": float("inf"),
        "sym_info": ({"w": {"__lr_mult__": "2"}}, ["w", "b"]),
        "num_update": 2**40,
        "wd": np.float32(0.1),
        "begin_num_update": np.int64(7),
        "momentum": np.float64(0.9),
        "nesterov": np.bool_(True),
        "table": collections.OrderedDict([("b", -1), ("a", -(2**70))]),
        "_all_index_update_counts": {0: counts},
        "_index_update_count": counts,
    }
    return {
        0: (NDArray(v2(ARRAY)), None),
        "w": NDArray(v2(ARRAY)),
        -(2**33): NDArray(None),
        "naïve": None,
    }, attributes


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "paths",
    [
        {"NDArray": "mxnet.ndarray.ndarray", "Optimizer": "mxnet.optimizer.optimizer:SGD"},
        {"NDArray": "mxnet.ndarray", "Optimizer": "mxnet.optimizer:SGD"},
        {"NDArray": "mxnet.numpy:ndarray", "Optimizer": "mxnet.optimizer.sgd:SGD"},
        {"NDArray": "mxnet.ndarray.ndarray", "Optimizer": "my_project.optimizers:Custom"},
    ],
    ids=["1.9", "0.11", "2.0", "own class"],
)
def test_every_protocol_and_module_path(protocol, paths):
    states, attributes = content()
    with fake_mxnet.modules(**paths):
        data = pickle.dumps((states, Optimizer(**attributes)), protocol)
    got = mxnet.read(data)
    mxnet_files.assert_same(got.states, {0: (ARRAY, None), "w": ARRAY, -(2**33): None, "naïve": None})
    assert got.optimizer.path == paths["Optimizer"].replace(":", ".")
    attributes["table"] = dict(attributes["table"])
    mxnet_files.assert_same(got.optimizer.attributes, attributes)
    assert (
        got.optimizer.attributes["_index_update_count"]
        is got.optimizer.attributes["_all_index_update_counts"][0]
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_the_first_releases(protocol):
    old = OldNDArray()
    old.handle = without_magic(ARRAY)
    with fake_mxnet.modules(OldNDArray="mxnet.ndarray:NDArray"):
        data = pickle.dumps({0: old}, protocol)
    mxnet_files.assert_same(mxnet.read(data).states, {0: ARRAY})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_small_arrays_do_not_use_up_what_a_file_may_take(protocol, monkeypatch):
    """However many arrays there are, the parts of each are freed once it is made."""
    monkeypatch.setattr(mxnet_pickle, "_BUDGET", 20_000)
    with fake_mxnet.modules(NDArray="mxnet.ndarray.ndarray"):
        data = pickle.dumps({i: (NDArray(v2(ARRAY)), NDArray(v2(ARRAY[:1]))) for i in range(2_000)}, protocol)
    states = mxnet.read(data).states
    assert len(states) == 2_000
    mxnet_files.assert_same(states[1_999], (ARRAY, ARRAY[:1]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_keys_become_strings(protocol):
    assert list(mxnet.read(pickle.dumps({b"fc_weight": None}, protocol)).states) == ["fc_weight"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_integers_as_keys_become_integers(protocol):
    (key,) = mxnet.read(pickle.dumps({np.int64(3): None}, protocol)).states
    assert type(key) is int
    assert key == 3


def latin(data):
    return data.decode("latin-1").encode()


def python2_array_protocol2(raw):
    text = latin(raw)
    return (
        b"cmxnet.ndarray.ndarray\nNDArray\nq\x02N\x85q\x03Rq\x04}q\x05U\x06handleq\x06c__builtin__\nbytearray\n"
        b"q\x07X" + struct.pack("<I", len(text)) + text + b"q\x08U\x07latin-1q\x09\x86q\x0aRq\x0bsb"
    )


def python2_array_protocol0(raw):
    text = (
        raw.decode("latin-1").replace("\\", "\\u005c").replace("\n", "\\u000a").encode("raw-unicode-escape")
    )
    return (
        b"cmxnet.ndarray\nNDArray\np2\n(Ntp3\nRp4\n(dp5\nS'handle'\np6\nc__builtin__\nbytearray\np7\n"
        b"(V" + text + b"\np8\nS'latin-1'\np9\ntp10\nRp11\nsb"
    )


def test_python_2_protocol_2():
    data = b"\x80\x02}q\x01(K\x00" + python2_array_protocol2(v2(ARRAY)) + b"U\x03w\xc3\xa4NU\x02\xe9xNu."
    mxnet_files.assert_same(mxnet.read(data).states, {0: ARRAY, "wä": None, "éx": None})


def test_python_2_protocol_0():
    data = (
        b"(dp1\nI0\n"
        + python2_array_protocol0(v2(ARRAY))
        + b"sS'it\\'s\\n'\np12\nNsI-5\nI01\nsL12345678901L\nF0.5\ns."
    )
    mxnet_files.assert_same(mxnet.read(data).states, {0: ARRAY, "it's\n": None, -5: True, 12345678901: 0.5})


def test_python_2_optimizer_protocol_0():
    data = (
        b"((dp1\nccopy_reg\n_reconstructor\np2\n(cmxnet.optimizer\nSGD\np3\nc__builtin__\nobject\np4\nNtp5\nRp6\n"
        b"(dp7\nS'momentum'\np8\nF0.9\nsS'lr_mult'\np9\n(dp10\nsbtp11\n."
    )
    got = mxnet.read(data)
    assert got.optimizer.path == "mxnet.optimizer.SGD"
    assert got.optimizer.attributes == {"momentum": 0.9, "lr_mult": {}}


def test_python_2_numpy_scalar():
    data = (
        b"(dp1\nI0\ncnumpy.core.multiarray\nscalar\np2\n(cnumpy\ndtype\np3\n(S'f4'\np4\nI0\nI1\ntp5\nRp6\n"
        b"(I3\nS'<'\np7\nNNNI-1\nI-1\nI0\ntp8\nbS'\\x00\\x00\\x80?'\np9\ntp10\nRp11\ns."
    )
    mxnet_files.assert_same(mxnet.read(data).states, {0: np.float32(1)})


def test_parameters_that_old_releases_pickled_along_are_left_out():
    states, attributes = content()

    class Cyclic:
        pass

    attributes["param_dict"] = {0: None}
    with fake_mxnet.modules(NDArray="mxnet.ndarray", Optimizer="mxnet.optimizer:SGD"):
        data = pickle.dumps((states, Optimizer(**attributes)), 2)
    assert "param_dict" not in mxnet.read(data).optimizer.attributes


# the bytes of one array


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (v2(ARRAY), ARRAY),
        (v2(ARRAY, magic=V3), ARRAY),
        (v2(ARRAY, device=2), ARRAY),
        (v1(ARRAY), ARRAY),
        (without_magic(ARRAY), ARRAY),
        (v2(np.array(5, "i8"), magic=V3), np.array(5, "i8")),
        (v2(np.zeros((0, 3), "f2")), np.zeros((0, 3), "f2")),
        (v2(np.array([True, False])), np.array([True, False])),
        (struct.pack("<Iii", V2, 0, 0), None),
        (struct.pack("<Iii", V3, 0, -1), None),
        (struct.pack("<I", 0), None),
    ],
    ids=[
        "V2",
        "V3",
        "gpu",
        "V1",
        "no magic",
        "V3 scalar",
        "no rows",
        "bool",
        "V2 none",
        "V3 none",
        "no magic none",
    ],
)
def test_layouts(data, expected):
    mxnet_files.assert_same(read_array(memoryview(data), "here"), expected)
    for length in range(len(data)):
        with pytest.raises((DamagedStateFile, ForeignStateFile), match="^here: "):
            read_array(memoryview(data[:length]), "here")
    with pytest.raises(ForeignStateFile, match="1 bytes are left over"):
        read_array(memoryview(data + b"\0"), "here")


def sparse(
    indices=(1, 4), shape=(6, 3), stored=(2, 3), stype=1, magic=V2, index_flag=6, index_shape=None, flag=0
):
    data = struct.pack("<Ii", magic, stype)
    for lengths in (stored, shape):
        data += struct.pack(f"<i{len(lengths)}q", len(lengths), *lengths)
    data += struct.pack("<iiii", 1, 0, flag, index_flag)
    index_shape = (len(indices),) if index_shape is None else index_shape
    data += struct.pack(f"<i{len(index_shape)}q", len(index_shape), *index_shape)
    return data + np.arange(np.prod(stored), dtype="f4").tobytes() + np.array(indices, "i8").tobytes()


def test_row_sparse_layout():
    got = read_array(memoryview(sparse()), "here")
    mxnet_files.assert_same(
        got, RowSparseArray(np.arange(6, dtype="f4").reshape(2, 3), np.array([1, 4]), (6, 3))
    )


def test_csr_layout():
    data = struct.pack("<Ii i1q i2q iii ii1q ii1q", V2, 2, 1, 2, 2, 3, 4, 1, 0, 0, 6, 1, 4, 6, 1, 2)
    data += (
        np.array([5, 6], "f4").tobytes()
        + np.array([0, 1, 1, 2], "i8").tobytes()
        + np.array([3, 0], "i8").tobytes()
    )
    got = read_array(memoryview(data), "here")
    assert isinstance(got, CSRArray)
    assert got.shape == (3, 4)
    assert (got.data.tolist(), got.indptr.tolist(), got.indices.tolist()) == ([5, 6], [0, 1, 1, 2], [3, 0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (sparse(indices=(4, 1)), "must ascend from 0 to 5"),
        (sparse(indices=(1, 1)), "must ascend"),
        (sparse(indices=(-1, 1)), "must ascend"),
        (sparse(indices=(1, 6)), "must ascend"),
        (sparse(indices=(1, 2, 3)), "stores elements of shape"),
        (sparse(stored=(2, 2)), "stores elements of shape"),
        (sparse(index_flag=4), "must be int64"),
        (sparse(index_shape=(2, 1)), "must have one dimension"),
        (sparse(magic=V3), "storage type 1, which layout V3 does not know"),
        (sparse(stype=3), "storage type 3"),
        (sparse(stype=-1), "storage type -1"),
        (sparse(flag=4), "of dtype int32"),
        (struct.pack("<Iii", V2, 0, 33), "33 dimensions"),
        (struct.pack("<Iii", V2, 0, -2), "-2 dimensions"),
        (struct.pack("<I", 33), "33 dimensions"),
        (struct.pack("<Iiiq iii", V2, 0, 1, -1, 1, 0, 0), "negative length"),
        (struct.pack("<Iiiq iii", V2, 0, 1, 1, 1, 0, 13), "unknown type flag 13"),
        (struct.pack("<Iiiq iii", V2, 0, 1, 1, 1, 0, -1), "unknown type flag -1"),
        (
            struct.pack("<Iiiq iii", V2, 0, 1, 2**62, 1, 0, 0),
            "needs 18446744073709551616 bytes and 0 are there",
        ),
        (struct.pack("<Iii4q iii", V2, 0, 4, *[2**62] * 4, 1, 0, 0), "needs .* bytes and 0 are there"),
        (struct.pack("<Iii3q iii", V2, 0, 3, 2**62, 2**62, 0, 1, 0, 0), "cannot be made"),
        (v2(np.array([True]))[:-1] + b"\2", "must hold 0 and 1 only"),
    ],
)  # fmt: skip
def test_layouts_that_lie(data, words):
    with pytest.raises((ForeignStateFile, DamagedStateFile), match=words):
        read_array(memoryview(data), "here")


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1", "i4", "i1", "i8", "?"])
@pytest.mark.parametrize("layout", [V2, V3], ids=["V2", "V3"])
def test_what_is_written_is_read(dtype, layout):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    data = b"".join(bytes(part) for part in write_array(array.T, layout, "w"))
    assert data == v2(np.ascontiguousarray(array.T), layout)
    mxnet_files.assert_same(read_array(memoryview(data), "here"), np.ascontiguousarray(array.T))


def test_what_a_layout_cannot_say():
    with pytest.raises(StateMismatch, match="w has no dimensions"):
        write_array(np.array(1.0), V2, "w")
    with pytest.raises(StateMismatch, match="w has dtype complex64"):
        write_array(np.zeros(1, "c8"), V3, "w")
    with pytest.raises(StateMismatch, match="w has dtype int16"):
        write_array(np.zeros(1, "i2"), V2, "w")


def test_row_sparse_states_are_written_in_the_layout_that_has_them():
    states = {0: RowSparseArray(np.ones((1, 2), "f4"), np.array([3]), (5, 2)), 1: ARRAY}
    got = mxnet.read(b"".join(mxnet.to_pieces(states, None, "mxnet-2.x")))
    mxnet_files.assert_same(got.states, states)
    assert got.layouts == {"V2"}


@pytest.mark.parametrize("format", mxnet.FORMATS)
@pytest.mark.parametrize("name", mxnet_files.NAMES)
def test_every_example_is_written_back_as_it_was_read(name, format):
    content = mxnet.read(mxnet_files.data(name))
    data = b"".join(mxnet.to_pieces(content.states, content.optimizer, format))
    again = mxnet.read(data)
    mxnet_files.assert_same(again.states, content.states)
    if content.optimizer is not None:
        mxnet_files.assert_same(again.optimizer, content.optimizer)
        assert (
            again.optimizer.attributes["_index_update_count"]
            is again.optimizer.attributes["_all_index_update_counts"][0]
        )


def test_headers_alone_say_shape_and_place():
    data = mxnet_files.data("1.9.1-adam")
    layouts = mxnet.read(data, headers_only=True).states
    for key, state in mxnet_files.Expected("1.9.1-adam").states.items():
        assert [(layout.dtype, layout.shape) for layout in layouts[key]] == [
            (a.dtype.name, a.shape) for a in state
        ]
