"""``.params`` files in the form of ``.npz``, which MXNet 2 writes under NumPy shapes."""

import io
import zipfile

import numpy as np
import pytest

import mxopt as mx
from mxopt.states import StateFileError

ARRAYS = {
    "fc_weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.array(7, np.int64),
    "half": np.ones((2, 0), np.float16),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.params"
    mx.nd.save(path, ARRAYS, format="npz")
    return path


def same(found):
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert isinstance(found[name], mx.nd.NDArray)
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def test_what_is_written_is_read_here_and_by_numpy(file):
    same(mx.nd.load(file))
    same(mx.nd.load_frombuffer(file.read_bytes()))
    with np.load(file) as found:
        assert set(found) == set(ARRAYS)


def test_what_numpy_writes_is_read(tmp_path):
    for write in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        write(file, **{**ARRAYS, "fc_weight": np.asfortranarray(ARRAYS["fc_weight"], ">f4")})
        same(mx.nd.load_frombuffer(file.getvalue()))
    np.save(tmp_path / "one.npy", ARRAYS["fc_weight"])
    (found,) = mx.nd.load(tmp_path / "one.npy")
    np.testing.assert_array_equal(found, ARRAYS["fc_weight"])


def test_lists_get_names_and_equal_arrays_equal_files(tmp_path):
    for name in ("one", "two"):
        mx.nd.save(tmp_path / name, [mx.nd.ones(2), mx.nd.zeros(3)], format="npz")
    assert set(mx.nd.load(tmp_path / "one")) == {"arr_0", "arr_1"}
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_parameters_load_from_it(file):
    parameters = mx.gluon.ParameterDict(
        {"fc_weight": mx.gluon.Parameter("fc_weight", np.zeros((2, 3), np.float32))}
    )
    parameters.load(file, ignore_extra=True)
    np.testing.assert_array_equal(parameters["fc_weight"].data(), ARRAYS["fc_weight"])


def test_what_npz_cannot_hold_is_refused(tmp_path):
    with pytest.raises(TypeError, match="npz has no row-sparse arrays"):
        mx.nd.save(tmp_path / "x", mx.nd.ones((2, 2)).tostype("row_sparse"), format="npz")
    with pytest.raises(TypeError, match="array 'x' is complex64, which npz has not"):
        mx.nd.save(tmp_path / "x", {"x": np.ones(2, np.complex64)}, format="npz")
    assert not (tmp_path / "x").exists()


def test_every_cut_and_every_changed_byte_is_told_or_harmless(file):
    whole = file.read_bytes()
    for end in range(0, len(whole), 7):
        with pytest.raises(StateFileError):
            mx.nd.load_frombuffer(whole[:end])
    for at in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 0x41
        try:
            found = mx.nd.load_frombuffer(bytes(changed))
        except StateFileError:
            continue
        # a name, a time or an unused field; never a number
        for array, expected in zip(found.values(), ARRAYS.values()):
            np.testing.assert_array_equal(np.asarray(array), expected)


def archive(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return file.getvalue()


def npy(header, data=b"", version=1):
    text = header.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive({"x.txt": b"x"}), "with 'x.txt', which is no array"),
        (archive({"x.npy": b"x"}), "not an array in NumPy's format"),
        (
            archive({"x.npy": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"12345678")}),
            "object",
        ),
        (
            archive({"x.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9,)}")}),
            "header that is none",
        ),
        (
            archive({"x.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,)}")}),
            "takes 4000000000",
        ),
        (archive({"x.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}")}), "its shape"),
        (archive({"x.npy": npy("{'descr': '<c8', 'fortran_order': False, 'shape': (0,)}")}), "numbers only"),
        (archive({"x.npy": npy("[" * 3000)}), "header that is none"),
        (archive({"x.npy": npy("__import__('os').abort()")}), "header that is none"),
        (archive({"x.npy": bytes(10**6)}, zipfile.ZIP_DEFLATED), "claim to hold"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"1234567"), "takes 8 bytes"),
    ],
    ids=range(11),
)
def test_hostile_files_are_refused(data, words):
    with pytest.raises(StateFileError, match=words):
        mx.nd.load_frombuffer(data)
