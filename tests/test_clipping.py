"""Clipping by the global norm."""

import numpy as np
import pytest

import mxopt

SHAPES = [(3,), (2, 5), (40001,), (), (0,), (70, 1024)]


def arrays(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


def true_norm(some):
    return np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in some))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_norm_is_returned_and_reached(dtype):
    some = arrays(dtype)
    before = [a.copy() for a in some]
    norm = mxopt.clip_global_norm(some, 2.0)
    assert type(norm) is float
    assert norm == np.float32(true_norm(before))
    assert true_norm(some) == pytest.approx(2.0, rel=1e-3 if dtype == np.float16 else 1e-6)
    wide = np.float64 if dtype == np.float64 else np.float32
    factor = np.float32(2.0) / (np.float32(norm) + np.float32(1e-8))
    for a, b in zip(some, before):
        np.testing.assert_array_equal(a, (b.astype(wide) * wide(factor)).astype(dtype))


def test_small_arrays_stay():
    some = arrays()
    before = [a.copy() for a in some]
    mxopt.clip_global_norm(some, 1e6)
    for a, b in zip(some, before):
        np.testing.assert_array_equal(a, b)


def test_bits_do_not_depend_on_threads():
    results = []
    for threads in (1, 2, 3):
        some = arrays(seed=3)
        with mxopt.num_threads(threads):
            norm = mxopt.clip_global_norm(some, 1.0)
        results.append((norm, [a.tobytes() for a in some]))
    assert results[0] == results[1] == results[2]


def test_layouts_give_the_same_bits():
    array = arrays()[5]
    strided = np.repeat(array, 2, axis=1)[:, ::2]
    transposed = np.asfortranarray(array)
    assert len({mxopt.clip_global_norm([a], 1.0) for a in (array, strided, transposed)}) == 1
    np.testing.assert_array_equal(strided, array)
    np.testing.assert_array_equal(transposed, array)


def test_rows_of_a_row_sparse_gradient_count():
    grad = mxopt.RowSparseArray(np.array([[3.0, 4.0]], np.float32), np.array([5]), (9, 2))
    assert mxopt.clip_global_norm([grad], 1.0) == 5.0
    np.testing.assert_array_equal(grad.data, np.array([[3, 4]], np.float32) * np.float32(0.2))


def test_norm_that_is_not_finite_warns():
    some = [np.array([1.0, np.inf], np.float32)]
    with pytest.warns(UserWarning, match="global norm is inf"):
        assert mxopt.clip_global_norm(some, 1.0) == np.inf
    np.testing.assert_array_equal(some[0], [0.0, np.nan])


def test_without_the_check_an_array_is_returned():
    norm = mxopt.clip_global_norm([np.array([np.nan], np.float32)], 1.0, check_isfinite=False)
    assert norm.shape == (1,) and norm.dtype == np.float32


def test_huge_numbers_do_not_overflow():
    assert mxopt.clip_global_norm([np.full(4, 1e19, np.float32)], 1.0) == np.float32(2e19)


@pytest.mark.parametrize(
    ("some", "error", "words"),
    [
        ([], ValueError, "arrays must not be empty"),
        ([np.zeros(2, np.int32)], TypeError, r"arrays\[0\] must be float32, .* got int32"),
        ([np.zeros(2), np.broadcast_to(np.zeros(1), 3)], ValueError, r"arrays\[1\] .* read-only"),
    ],
    ids=["empty", "integers", "read-only"],
)
def test_bad_arrays_are_named(some, error, words):
    with pytest.raises(error, match=words):
        mxopt.clip_global_norm(some, 1.0)


def test_overlapping_arrays_are_refused_and_stay():
    array = np.full(8, 3.0)
    with pytest.raises(ValueError, match=r"arrays\[0\] and arrays\[1\] share memory"):
        mxopt.clip_global_norm([array[:6], array[2:]], 1.0)
    assert (array == 3.0).all()


def test_no_limit_only_measures():
    arrays = [np.array([3.0], np.float32), np.array([4.0], np.float32)]
    assert mxopt.clip_global_norm(arrays, float("inf")) == 5.0
    assert [array[0] for array in arrays] == [3, 4]
    huge = [np.array([np.inf, 1.0], np.float32)]
    with pytest.warns(UserWarning, match="norm is inf"):
        mxopt.clip_global_norm(huge, np.float32(np.inf))
    assert huge[0][1] == 1
    with pytest.raises(ValueError, match="max_norm must be"):
        mxopt.clip_global_norm(arrays, float("nan"))
    with pytest.raises(ValueError, match="max_norm must be"):
        mxopt.clip_global_norm(arrays, -float("inf"))
