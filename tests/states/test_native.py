"""Our own format: what goes in comes out, every safetensors reader opens it, and no damage goes unnoticed."""

import enum
import math
import zlib

import ml_dtypes
import mxnet_files
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from attacks.headers import FORGERIES, forged, forged_rows
from hypothesis import example, given
from hypothesis import strategies as st

from mxopt.sparse import RowSparseArray
from mxopt.states import (
    DamagedStateFile,
    ForeignStateFile,
    StateFileError,
    StateMismatch,
    checksums,
    header,
    native,
)
from mxopt.states.files import BLOCK


def sample():
    rng = np.random.default_rng(7)
    return {
        "states": {
            0: (rng.normal(size=(3, 2)).astype("f4"), None),
            "fc1_weight": rng.normal(size=4).astype("f2"),
            -5: RowSparseArray(rng.normal(size=(2, 3)).astype("f4"), np.array([1, 4]), (6, 3)),
        },
        "counts": {0: 7, "fc1_weight": 2**40},
        "rates": [0.1, math.inf, -0.0, 1e-8, np.float32(0.1)],
        "flags": (True, None, 'naïve "text"\n', [], {}, ()),
    }


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.floats(width=32).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.booleans().map(np.bool_),
)
DTYPES = ["f8", "f4", "f2", ml_dtypes.bfloat16, "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
ARRAYS = st.builds(
    lambda shape, dtype, seed: np.random.default_rng(seed).integers(0, 100, shape).astype(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
)
SPARSE = st.builds(
    lambda k, extra: RowSparseArray(np.full((k, 2), 1.5, "f4"), np.arange(k) * 2, (2 * k + extra, 2)),
    st.integers(0, 3),
    st.integers(0, 3),
)
TREES = st.recursive(
    st.one_of(SCALARS, ARRAYS, SPARSE),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


@example({"\x7f": 1.0})  # the one ASCII character beside the controls that JSON's writers escape
@given(TREES)
def test_a_tree_comes_back_exactly(tree):
    data = native.dumps(tree)
    mxnet_files.assert_same(native.loads(data), tree)
    assert {name for name, _ in safetensors.deserialize(data)} == native.read_header(data).tensors.keys()


def test_a_file_on_disk_reads_as_its_bytes_do(tmp_path):
    data = native.dumps(sample())
    (tmp_path / "a.states").write_bytes(data)
    with open(tmp_path / "a.states", "rb", buffering=0) as file:
        mxnet_files.assert_same(native.load(file), sample())


def test_safetensors_opens_it_and_sees_the_same_arrays():
    arrays = safetensors.numpy.load(native.dumps(sample()))
    assert arrays.keys() == {"states/0/0", "states/fc1_weight", "states/-5/data", "states/-5/indices"}
    np.testing.assert_array_equal(arrays["states/0/0"], sample()["states"][0][0])


def test_the_same_tree_gives_the_same_bytes():
    assert native.dumps(sample()) == native.dumps(sample())


def test_names_that_would_be_the_same_are_told_apart():
    a, b, c = (np.full(1, value, "f4") for value in (1, 2, 3))
    tree = {0: a, "0": b, "x": {"y": a}, "x/y": b, "x|y": c, "__metadata__": c}
    mxnet_files.assert_same(native.loads(native.dumps(tree)), tree)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6, dtype=">f4"),
        np.arange(12.0)[::3],
        np.array(1.5),
        np.arange(3.0).view(type("Sub", (np.ndarray,), {})),
    ],
    ids=["transposed", "big-endian", "strided", "no dimensions", "subclass"],
)
def test_any_memory_layout_is_saved(array):
    (got,) = native.loads(native.dumps([array]))
    mxnet_files.assert_same(got, np.array(array, array.dtype.newbyteorder("="), order="C", subok=False))


class Colour(enum.IntEnum):
    RED = 3


def test_an_enum_member_is_its_number():
    assert native.loads(native.dumps([Colour.RED])) == [3]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), r"a\[1\] is a builtins.object, which is not data"),
        (print, "builtin_function_or_method, which is not data"),
        ({1, 2}, "a builtins.set, which is not data"),
        (b"bytes", "a builtins.bytes, which is not data"),
        (1j, "complex, which is not data"),
        (np.array([object()]), "has dtype object, which a state file cannot hold"),
        (np.array(["text"]), "has dtype <U4, which a state file cannot hold"),
        (np.complex64(1), "has dtype complex64"),
        ({1.5: 0}, "has the key 1.5; keys must be int or str"),
        ({True: 0}, "has the key True; keys must be int or str"),
        ("\ud800", "not valid Unicode"),
        (1 << 2000, "an integer of 2001 bits"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_data_is_refused_with_its_place(value, words):
    with pytest.raises(StateMismatch, match=words):
        native.dumps({"a": [1, value]})


def test_a_list_that_contains_itself_is_refused():
    tree = []
    tree.append(tree)
    with pytest.raises(StateMismatch, match="contains itself"):
        native.dumps(tree)


def test_checksums_are_crc_32_whoever_computes_them():
    assert checksums.crc32(b"123456789") == zlib.crc32(b"123456789") == 0xCBF43926
    assert checksums.crc32(b"6789", checksums.crc32(b"12345")) == 0xCBF43926


def test_every_flipped_bit_is_noticed():
    data = bytearray(native.dumps(sample()))
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(StateFileError):
                native.loads(data)
            data[position] ^= 1 << bit
    native.loads(data)


def test_damage_in_an_array_names_the_array_and_the_bytes():
    data = bytearray(native.dumps({"w": np.ones(4, "f4")}))
    data[-1] ^= 1
    with pytest.raises(
        DamagedStateFile, match=rf"array 'w', bytes {len(data) - 16} to {len(data) - 1} of the file"
    ):
        native.loads(data)


def test_every_truncation_and_extension_is_noticed():
    data = native.dumps(sample())
    for length in range(len(data)):
        with pytest.raises(StateFileError):
            native.loads(data[:length])
    with pytest.raises(
        DamagedStateFile, match=f"the arrays end at byte {len(data)} but the file has {len(data) + 1}"
    ):
        native.loads(data + b"\0")


@pytest.mark.parametrize("position", [0, BLOCK - 1, BLOCK, 2 * BLOCK + 4], ids=str)
def test_an_array_of_several_blocks(position):
    tree = {"big": np.zeros(2 * BLOCK + 5, "u1"), "small": np.ones(3, "f4")}
    data = bytearray(native.dumps(tree))
    mxnet_files.assert_same(native.loads(data), tree)
    start = native.read_header(data).tensors["big"].offset
    data[start + position] ^= 0x10
    with pytest.raises(DamagedStateFile, match="array 'big'"):
        native.loads(data)


def test_headers_of_many_small_arrays_are_padded_as_readers_demand(monkeypatch):
    # what a header may cost beside four times its file is for small files
    monkeypatch.setattr(header, "_FREE", 0)
    tree = {"states": {i: (np.full(1, i, "f4"), np.full(1, -i, "f4")) for i in range(2_000)}}
    data = native.dumps(tree)
    text = data[8 : 8 + int.from_bytes(data[:8], "little")]
    assert header.cost(text) <= header.allowance(len(text), len(data)) < header.cost(text) + 300
    mxnet_files.assert_same(native.loads(data), tree)
    assert len(safetensors.deserialize(data)) == 4_000
    monkeypatch.setattr(header, "_FREE", -1000)
    with pytest.raises(ForeignStateFile, match="more entries than a file of"):
        native.loads(data)


def test_a_newer_version_is_named(monkeypatch):
    monkeypatch.setattr(native, "VERSION", 2)
    data = native.dumps({})
    monkeypatch.undo()
    with pytest.raises(StateMismatch, match="version '2' of the format and this mxopt reads version 1"):
        native.loads(data)


def test_a_safetensors_file_of_another_origin_is_named():
    data = safetensors.numpy.save({"w": np.ones(3, "f4")})
    with pytest.raises(ForeignStateFile, match="not one with optimizer states of mxopt"):
        native.loads(data)
    assert native.read_header(data).tensors["w"].shape == (3,)


def test_the_forger_can_make_a_sound_file():
    assert native.loads(forged('{"tuple":[1,null]}')) == (1, None)


@pytest.mark.parametrize(("data", "words"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_file_is_refused(data, words):
    with pytest.raises(StateFileError, match=words):
        native.loads(data)


def test_the_forger_can_make_sound_rows():
    got = native.loads(forged_rows([1, 4]))
    mxnet_files.assert_same(got, RowSparseArray(np.zeros((2, 1), "f4"), np.array([1, 4]), (5, 1)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"indices": [1, 5]}, "must ascend from 0 to 4"),
        ({"indices": [-1, 2]}, "must ascend"),
        ({"indices": [2, 1]}, "must ascend"),
        ({"indices": [2, 2]}, "must ascend"),
        ({"indices": [1, 2, 3]}, "do not belong together"),
        ({"indices": [1, 2], "shape": (5, 2)}, "do not belong together"),
        ({"indices": [1, 2], "shape": ()}, "lengths >= 0"),
        ({"indices": [1, 2], "dtype": "I32"}, "do not belong together"),
    ],
    ids=str,
)
def test_forged_rows_are_refused(arguments, words):
    with pytest.raises(ForeignStateFile, match=words):
        native.loads(forged_rows(**arguments))
