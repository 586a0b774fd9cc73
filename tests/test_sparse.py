"""Row-sparse arrays: validated once, summed in one order."""

import pickle

import numpy as np
import pytest

import mxopt
from mxopt import RowSparseArray

SHAPE = (40, 3)


def values(k, dtype="float32", width=(3,)):
    return np.random.RandomState(k).normal(size=(k, *width)).astype(dtype)


def summed_by_hand(data, indices):
    """Rows in ascending order, each the sum of its values in order of appearance."""
    wide = np.float32 if data.dtype.itemsize == 2 else data.dtype
    rows = {}
    for row, value in zip(indices.tolist(), data.astype(wide)):
        rows[row] = value if row not in rows else rows[row] + value
    return np.array(sorted(rows)), np.array([rows[row] for row in sorted(rows)]).astype(data.dtype)


DRAWS = {
    "few repeats": lambda rng: rng.randint(0, 400, 300),
    "many repeats": lambda rng: rng.randint(0, 7, 300),
    "one frequent row": lambda rng: np.where(rng.rand(300) < 0.9, 5, rng.randint(0, 400, 300)),
    "all the same": lambda rng: np.full(300, 9),
    "shuffled": lambda rng: rng.permutation(400)[:300],
}


@pytest.mark.parametrize("width", [(), (1,), (2,), (3,), (17,), (64,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("draw", DRAWS)
def test_repeated_rows_are_summed_in_order_of_appearance(draw, dtype, width):
    rng = np.random.RandomState(1)
    indices = DRAWS[draw](rng)
    dtype = np.dtype(dtype) if dtype != "bfloat16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    data = (rng.normal(size=(300, *width)) * np.exp(rng.normal(size=(300, *width)))).astype(dtype)
    made = RowSparseArray(data, indices, (400, *width))
    rows, sums = summed_by_hand(data, indices)
    np.testing.assert_array_equal(made.indices, rows)
    assert made.data.dtype == dtype
    assert made.data.tobytes() == sums.reshape(len(rows), *width).tobytes()


def test_rows_far_apart_are_sorted_stably():
    """Beyond 63 bits for row and position together another sort is used."""
    indices = np.array([2**61, 5, 2**61, 5])
    data = np.array([[1.0], [2.0], [4.0], [8.0]], np.float32)
    made = RowSparseArray(data, indices, (2**62, 1))
    assert made.indices.tolist() == [5, 2**61]
    assert made.data.tolist() == [[10.0], [5.0]]


def test_ascending_rows_are_kept_by_reference():
    data, indices = values(4), np.array([1, 5, 6, 39])
    made = RowSparseArray(data, indices, SHAPE)
    assert made.data is data
    assert made.indices is indices


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", "int64"])
def test_integers_of_any_kind_are_rows(dtype):
    made = RowSparseArray(values(2), np.array([7, 3], dtype), SHAPE)
    assert made.indices.dtype == np.int64
    assert made.indices.tolist() == [3, 7]


@pytest.mark.parametrize("indices", [[], np.empty(0, np.int64)], ids=["list", "array"])
def test_no_rows(indices):
    made = RowSparseArray(np.empty((0, 3), np.float32), indices, SHAPE)
    assert len(made.indices) == 0
    assert not made.todense().any()


@pytest.mark.parametrize(
    ("data", "indices", "shape", "error", "words"),
    [
        (values(2), [3, -1], SHAPE, IndexError, "row index -1 is negative.*0..39"),
        (values(2), [3, 40], SHAPE, IndexError, "row index 40 is outside the 40 rows"),
        (values(2), [40, 3], SHAPE, IndexError, "row index 40 is outside the 40 rows"),
        (values(1), [0], (0, 3), IndexError, "row index 0 is outside the 0 rows"),
        (values(2), np.array([2**64 - 1, 0], np.uint64), SHAPE, IndexError, "too large for int64"),
        (
            values(2),
            [1.0, 2.0],
            SHAPE,
            TypeError,
            r"indices must be integers, got float64.*astype\('int64'\)",
        ),
        (values(2), [True, False], SHAPE, TypeError, "indices must be integers, got bool"),
        (values(2), [[1, 2]], SHAPE, ValueError, r"one-dimensional, got shape \(1, 2\)"),
        (values(2), [1], SHAPE, ValueError, "one row for each of the 2 rows of data, got 1"),
        (values(2), [1, 2], (40, 4), ValueError, r"its shape must be \(k, 4\), got \(2, 3\)"),
        (values(2), [1, 2], (40, 3, 1), ValueError, r"its shape must be \(k, 3, 1\)"),
        (values(2), [1, 2], (), ValueError, "at least one dimension"),
        (values(2), [1, 2], (-4, 3), ValueError, "no negative length"),
        (values(2), [1, 2], "ab", TypeError, "shape must be a tuple of integers, got 'ab'"),
        (values(2), [1, 2], (40.0, 3), TypeError, "shape must be a tuple of integers"),
        (values(2).astype(int), [1, 2], SHAPE, TypeError, "data must be float16.*got int64"),
        ([[1.0] * 3], [1], SHAPE, TypeError, "data must be an array, got list"),
    ],
    ids=lambda part: part if isinstance(part, str) else None,
)
def test_bad_parts_are_refused(data, indices, shape, error, words):
    with pytest.raises(error, match=words):
        RowSparseArray(data, indices, shape)


def test_attributes_and_conversions():
    made = RowSparseArray(values(2), [5, 2], SHAPE)
    assert (made.shape, made.ndim, made.size, made.stype) == (SHAPE, 2, 120, "row_sparse")
    assert made.dtype == np.float32
    assert str(made.context) == "cpu(0)"
    assert repr(made) == "<RowSparseArray 40x3 float32, 2 rows stored>"
    dense = made.todense()
    np.testing.assert_array_equal(dense[[2, 5]], values(2)[::-1])
    assert not np.delete(dense, [2, 5], axis=0).any()
    np.testing.assert_array_equal(made.tostype("default"), dense)
    assert made.tostype("row_sparse") is made
    assert made.retain([5, 7]).indices.tolist() == [5]
    assert made.astype("float16").dtype == np.float16
    copy = made.copy()
    copy.data[:] = 0
    assert made.data.any()
    np.testing.assert_array_equal((2 * made).data, made.data * 2)
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.todense(), dense)


def test_arithmetic_with_arrays_is_refused():
    made = RowSparseArray(values(2), [5, 2], SHAPE)
    with pytest.raises(TypeError):
        np.ones(SHAPE) * made
    with pytest.raises(TypeError):
        made * np.ones(SHAPE)


@pytest.mark.parametrize("spoilt", [[2, 10**12], [-5, 3], [3, 2]], ids=["large", "negative", "descending"])
def test_indices_spoilt_after_construction_are_refused_by_the_step(spoilt):
    made = RowSparseArray(values(2), [2, 5], SHAPE)
    made.indices[:] = spoilt
    weight = np.zeros(SHAPE, np.float32)
    updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=1.0, lazy_update=True))
    with pytest.raises((IndexError, ValueError), match="row ind"):
        updater(0, made, weight)
    assert not weight.any()
