"""Row-sparse arrays as scripts compute with them: dense arrays' numbers, and rows where MXNet keeps rows."""

import operator

import numpy as np
import pytest

from mxopt import nd
from mxopt.sparse import row_ids

SHAPE = (5, 2)


def drawn(*rows, seed=0):
    dense = np.zeros(SHAPE, np.float32)
    dense[list(rows)] = np.random.RandomState(seed).randint(1, 5, (len(rows), SHAPE[1]))
    return nd.array(dense)


def rows(*at, seed=0):
    return drawn(*at, seed=seed).tostype("row_sparse")


def check(found, expected, at=None):
    np.testing.assert_array_equal(found.asnumpy(), np.asarray(expected))
    assert found.stype == ("default" if at is None else "row_sparse")
    if at is not None:
        assert found.indices.tolist() == list(at)
        assert found.data.flags.c_contiguous


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul])
def test_sums_and_products_have_the_rows_of_both(op):
    one, two = rows(1, 3), rows(0, 3, seed=1)
    check(op(one, two), op(one.asnumpy(), two.asnumpy()), (0, 1, 3))


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.truediv, operator.gt, operator.eq])
def test_with_a_dense_array_the_result_is_dense(op):
    one, two = rows(1, 3), drawn(0, 1, 2, 3, 4)
    check(op(one, two), np.asarray(op(one.asnumpy(), two.asnumpy()), np.float32))
    with np.errstate(divide="ignore"):
        assert op(two, one).stype == "default"


def test_a_number_keeps_rows_where_zero_stays_zero():
    one = rows(1, 3)
    for found, expected in (
        (one / 2, one.asnumpy() / 2),
        (-3 * one, one.asnumpy() * -3),
        (one + 0, one.asnumpy()),
        (one > 1, one.asnumpy() > 1),
        (one != 0, one.asnumpy() != 0),
        (-one, -one.asnumpy()),
        (one.square(), one.asnumpy() ** 2),
        (nd.clip(one, -1, 2), np.clip(one.asnumpy(), -1, 2)),
    ):
        check(found, expected, (1, 3))
    for found, expected in (
        (one - 1, one.asnumpy() - 1),
        (2 - one, 2 - one.asnumpy()),
        (one**2, one.asnumpy() ** 2),
        (one < 1, one.asnumpy() < 1),
        (one.exp() * 0, one.asnumpy() * 0),
    ):
        check(found, expected)


def test_in_place_keeps_the_object_and_its_storage():
    one = alias = rows(1, 3)
    one += rows(0, seed=1)
    one -= 1
    one *= drawn(0, 1, 2, 3, 4)
    assert one is alias
    assert alias.stype == "row_sparse"
    dense = alias = drawn(0, 2)
    dense += rows(2)
    assert dense is alias
    check(alias, drawn(0, 2).asnumpy() + rows(2).asnumpy())


def test_a_store_updater_and_a_custom_optimizer_take_row_sparse_pushes():
    import mxopt as mx

    store = mx.kv.create()
    store.init("w", nd.ones(SHAPE))

    def updater(_key, pushed, stored):
        stored += 2 * pushed

    store._set_updater(updater)
    store.push("w", rows(1, 3))
    out = nd.zeros(SHAPE)
    store.pull("w", out=out)
    check(out, 1 + 2 * rows(1, 3).asnumpy())

    class Half(mx.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            weight[:] = weight - 0.5 * (grad / 2)

    store.set_optimizer(Half())
    store.push("w", rows(0, seed=1))
    before = out.asnumpy()
    store.pull("w", out=out)
    check(out, before - 0.25 * rows(0, seed=1).asnumpy())


def test_copies_go_both_ways():
    check(drawn(1, 3).copyto(rows(2)), drawn(1, 3).asnumpy(), (1, 3))
    check(rows(1, 3).copyto(drawn(2)), rows(1, 3).asnumpy())
    with pytest.raises(ValueError, match=r"equal shape, \(5, 2\), got \(4, 2\)"):
        rows(1).copyto(nd.zeros((4, 2)))
    with pytest.raises(ValueError, match="equal shape"):
        drawn(1).copyto(nd.sparse.zeros("row_sparse", (4, 2)))


def test_clip_that_would_move_absent_rows_is_refused():
    with pytest.raises(ValueError, match="moves the zeros.*tostype"):
        rows(1).clip(0.5, 1)
    assert rows(1).tostype("default").clip(0.5, 1).stype == "default"


def test_retain_takes_float_numbers_and_gives_every_row_that_was_asked_for():
    check(nd.sparse.retain(rows(1, 3), nd.array([3, 4])), rows(1, 3).asnumpy() * [[0]] * 3 + _row3(), (3, 4))
    with pytest.raises(IndexError, match=r"within 0\.\.4, got \[5\]"):
        rows(1).retain([5])


def _row3():
    dense = rows(1, 3).asnumpy()
    dense[1] = 0
    return dense


@pytest.mark.parametrize(("dtype", "limit"), [("float16", 2**11), ("float32", 2**24), ("float64", 2**53)])
def test_row_numbers_that_a_float_cannot_tell_apart_are_refused(dtype, limit):
    assert row_ids(np.array([limit - 1], dtype)).tolist() == [limit - 1]
    with pytest.raises(IndexError, match=f"has {limit} in {dtype}.*dtype='int64'"):
        row_ids(np.array([0, limit], dtype))
    assert row_ids(np.array([limit], "int64")).tolist() == [limit]
    with pytest.raises(IndexError, match="must be row numbers, got nan"):
        row_ids(np.array([np.nan], dtype))


def test_only_all_of_it_can_be_asked_or_assigned():
    one = rows(1, 3)
    assert one[:] is one
    for key in (0, slice(1, 2), (), [1]):
        with pytest.raises(IndexError, match=r"only \[:\]"):
            one[key]
        with pytest.raises(IndexError, match=r"only \[:\]"):
            one[key] = 1
    with pytest.raises(TypeError, match="cannot be iterated"):
        list(one)
    with pytest.raises(ValueError, match=r"shape \(5, 2\) must be assigned"):
        one[:] = np.zeros(2, np.float32)
    one[:] = 0
    check(one, np.zeros(SHAPE), range(5))


def test_integers_are_kept_and_repeated_rows_summed():
    made = nd.sparse.row_sparse_array((np.array([[1, 2], [3, 4], [5, 6]]), [2, 0, 2]), shape=(4, 2))
    assert made.dtype == np.int64
    assert made.todense().tolist() == [[3, 4], [0, 0], [6, 8], [0, 0]]
    with pytest.raises(TypeError, match="float"):
        import mxopt

        mxopt.get_updater(mxopt.create("sgd"))(0, made, np.zeros((4, 2), np.float32))
