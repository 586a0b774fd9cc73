"""``mx.nd``: what custom optimizers rely on."""

import pickle
import warnings

import numpy as np
import pytest

import mxopt as mx
from mxopt import nd


def test_a_view_shares_its_memory():
    memory = np.arange(4, dtype=np.float32)
    array = nd.view(memory)
    assert isinstance(array, nd.NDArray)
    array[:] *= 2
    array -= 1
    nd.clip(array, 0, 4, out=array)
    assert memory.tolist() == [0, 1, 3, 4]
    assert nd.view(array) is array


def test_attributes_of_an_array():
    array = nd.zeros((2, 3), dtype="float16")
    assert array.context == array.ctx == mx.cpu()
    assert (array.stype, array.shape, array.size, array.ndim) == ("default", (2, 3), 6, 2)
    assert array.dtype == np.float16
    assert array.astype("float32").dtype == np.float32
    assert type(array.asnumpy()) is np.ndarray
    assert array.as_in_context(mx.cpu()) is array
    assert array.as_in_context(mx.cpu(1)).context == mx.cpu(1)
    assert array.tostype("default") is array
    array.wait_to_read()
    assert str(nd.ones((2,))) == "\n[1. 1.]\n<NDArray 2 @cpu(0)>"


def test_asnumpy_is_a_snapshot():
    array = nd.ones((2,))
    before = array.asnumpy()
    array += 1
    assert before.tolist() == [1, 1]


@pytest.mark.parametrize("scalar", [2, 0.1, np.float64(0.1), np.float32(0.1), np.int64(3)], ids=repr)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_scalars_do_not_widen(scalar, dtype):
    array = nd.ones((3,), dtype=dtype)
    for result in (array * scalar, scalar * array, array / scalar, scalar - array, array**scalar):
        assert result.dtype == dtype
        assert isinstance(result, nd.NDArray)
    np.testing.assert_array_equal(array * scalar, np.ones(3, dtype) * np.dtype(dtype).type(scalar))


def test_single_numbers_have_one_dimension():
    array = nd.array([[1, 2], [3, 4]])
    for one in (array.sum(), array.max(), array.norm(), array[1, 1], array[0][1], nd.dot(array[0], array[1])):
        assert isinstance(one, nd.NDArray)
        assert one.shape == (1,)
    assert array.mean().asscalar() == 2.5
    assert float(array.sum()) == 10
    assert int(array.max()) == 4
    assert f"{array.sum():.1f}" == "10.0"
    assert [x.asscalar() for x in array[0]] == [1, 2]
    array[0][1][:] = 9
    assert array[0, 1].asscalar() == 9
    with pytest.raises(ValueError, match=r"asscalar\(\) needs an array of one element"):
        array.asscalar()


def test_comparisons_compute_as_numbers_and_select_as_masks():
    array = nd.array([-1, 0, 2])
    sign = (array > 0) - (array < 0)
    assert sign.dtype == np.float32
    assert sign.tolist() == [-1, 0, 1]
    assert (array >= 0).sum().asscalar() == 2
    assert (array > 0).asnumpy().dtype == np.float32
    assert (1 - (array > 0)).tolist() == [1, 1, 0]
    assert array[array > 0].tolist() == [2]
    assert (array * (array > 0)).tolist() == [0, 0, 2]
    assert nd.greater(array, 0).tolist() == [0, 0, 1]


def test_truth_says_whether_there_is_a_state():
    assert nd.zeros((3,))
    assert not nd.zeros((1,))
    assert nd.ones((1,))
    with pytest.raises(ValueError, match="comparison of several elements is ambiguous"):
        bool(nd.ones((2,)) > 0)
    state = nd.ones((2,))
    assert (state == None) is False  # noqa: E711  scripts do write so
    assert (state != None) is True  # noqa: E711


def test_numbers_that_are_floats_are_indices():
    array = nd.arange(5)
    assert array[nd.array([3, 1])].tolist() == [3, 1]
    array[nd.array([0, 4])] = 7
    assert array.tolist() == [7, 1, 2, 3, 7]


def test_numpy_works_on_arrays():
    array = nd.array([3, 1, 2])
    assert np.sort(array).tolist() == [1, 2, 3]
    assert np.sum(array).shape == (1,)
    assert np.concatenate([array, array]).shape == (6,)
    np.testing.assert_array_equal(array, [3, 1, 2])
    with pytest.raises(AssertionError, match="Mismatched elements"):
        np.testing.assert_array_equal(array, [3, 1, 9])
    again = pickle.loads(pickle.dumps(array))
    assert isinstance(again, nd.NDArray)
    assert again.tolist() == [3, 1, 2]


UNARY = {
    "sqrt": np.sqrt, "square": np.square, "abs": np.abs, "sign": np.sign, "exp": np.exp, "log": np.log,
    "negative": np.negative, "floor": np.floor, "relu": lambda x: np.maximum(x, 0),
    "reciprocal": lambda x: 1 / x,
}  # fmt: skip
BINARY = {
    "maximum": np.maximum, "minimum": np.minimum, "elemwise_add": np.add, "elemwise_mul": np.multiply,
    "elemwise_sub": np.subtract, "elemwise_div": np.divide, "broadcast_add": np.add,
    "broadcast_mul": np.multiply, "broadcast_div": np.divide, "broadcast_maximum": np.maximum,
    "power": np.power, "add": np.add,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions(name):
    memory = np.random.RandomState(0).uniform(0.5, 2, (3, 4)).astype(np.float32)
    array, out = nd.array(memory), nd.zeros((3, 4))
    function = getattr(nd, name)
    np.testing.assert_array_equal(function(array), UNARY[name](memory))
    assert function(array, out=out) is out
    np.testing.assert_array_equal(out, UNARY[name](memory))
    assert function(memory).dtype == np.float32  # plain arrays are welcome
    assert function(array, out=array) is array


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions(name):
    rng = np.random.RandomState(1)
    left, right = (rng.uniform(0.5, 2, (3, 4)).astype(np.float32) for _ in range(2))
    out = nd.zeros((3, 4))
    function = getattr(nd, name)
    assert function(nd.array(left), nd.array(right), out=out) is out
    np.testing.assert_array_equal(out, BINARY[name](left, right))


def test_functions_with_axes():
    array = nd.array([[1, 5, 3], [4, 2, 6]])
    assert nd.topk(array, k=2).tolist() == [[1, 2], [2, 0]]
    assert nd.topk(array, k=1, ret_typ="value", is_ascend=True).tolist() == [[1], [2]]
    assert nd.topk(array, axis=None, k=2, ret_typ="mask").tolist() == [[0, 1, 0], [0, 0, 1]]
    values, indices = nd.topk(array, k=1, ret_typ="both")
    assert (values.tolist(), indices.tolist()) == ([[5], [6]], [[1], [2]])
    assert nd.sum(array, axis=1).tolist() == [9, 12]
    assert nd.sum(array, axis=0, exclude=True).tolist() == [9, 12]
    assert nd.mean(array, axis=0, keepdims=True).tolist() == [[2.5, 3.5, 4.5]]
    assert nd.norm(nd.array([3, 4])).asscalar() == 5
    assert nd.argmax(array, axis=1).tolist() == [1, 2]
    assert nd.argmax(array, axis=1).dtype == np.float32
    assert nd.where(array > 3, array, nd.zeros_like(array)).tolist() == [[0, 5, 0], [4, 0, 6]]
    assert nd.where(nd.array([1, 0]), array, -array)[1].tolist() == [-4, -2, -6]
    assert nd.concat(array, array).shape == (2, 6)
    assert nd.concat(array, array, dim=0).shape == (4, 3)
    assert nd.stack(array, array).shape == (2, 2, 3)
    assert nd.dot(array, array, transpose_b=True).shape == (2, 2)
    assert array.reshape((-1,)).shape == (6,)
    assert array.reshape((0, -1, 1)).shape == (2, 3, 1)
    assert [part.shape for part in nd.split(array, 3)] == [(2, 1)] * 3
    assert nd.arange(2, 8, 3, repeat=2).tolist() == [2, 2, 5, 5]
    assert nd.full((2,), 3).tolist() == [3, 3]
    assert nd.array(np.arange(3)).dtype == np.float32
    with pytest.raises(ValueError, match="ret_typ must be"):
        nd.topk(array, ret_typ="nothing")


def test_float_numbers_select_slices():
    array = nd.array([[1, 2], [3, 4], [5, 6]])
    assert array.take(nd.array([2, 0])).tolist() == [[5, 6], [1, 2]]
    assert nd.take(array, nd.array([9])).tolist() == [[5, 6]]
    assert np.take(array, [1, 2]).tolist() == [2, 3]
    assert nd.contrib.boolean_mask(array, nd.array([1, 0, 1])).tolist() == [[1, 2], [5, 6]]
    assert nd.contrib.isfinite(nd.array([1, np.inf, np.nan])).tolist() == [1, 0, 0]
    assert nd.random_uniform(2, 3, shape=(4,)).shape == (4,)


def test_row_sparse_constructors():
    made = nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [4, 1]), shape=(5, 2))
    assert made.stype == "row_sparse"
    assert isinstance(made.data, nd.NDArray)
    assert made.indices.tolist() == [1, 4]
    assert made.todense().tolist() == [[0, 0], [3, 4], [0, 0], [0, 0], [1, 2]]
    assert nd.sparse.row_sparse_array(made.todense()).indices.tolist() == [1, 4]
    assert nd.sparse.zeros("row_sparse", (5, 2)).todense().sum() == 0
    assert nd.zeros((5, 2), stype="row_sparse").stype == "row_sparse"
    assert made.tostype("default").tostype("row_sparse").indices.tolist() == [1, 4]
    target = nd.zeros((5, 2))
    made.copyto(target)
    np.testing.assert_array_equal(target, made.asnumpy())
    assert nd.sparse.retain(made, nd.array([4, 0])).indices.tolist() == [0, 4]  # one that is absent, as zeros
    with pytest.raises(ValueError, match="no CSR arrays"):
        nd.sparse.zeros("csr", (2, 2))


def test_gpus_are_only_names_until_an_array_is_placed_there():
    assert str(mx.gpu(1)) == "gpu(1)"
    assert mx.gpu() == mx.Context("gpu", 0)
    assert mx.num_gpus() == 0
    with pytest.raises(ValueError, match=r"has no gpu\(0\); use mx.cpu\(\)"):
        nd.zeros((2,), ctx=mx.gpu())
    with pytest.raises(ValueError, match=r"has no gpu\(0\)"):
        nd.ones((2,)).as_in_context(mx.gpu())
    with mx.cpu(2):
        assert mx.current_context() == mx.cpu(2)
        assert nd.zeros((1,)).context == mx.cpu(2)
    assert mx.current_context() == mx.cpu(0)


def test_seeding_repeats_the_noise():
    def draw():
        mx.random.seed(7)
        noise = nd.random.normal(0, 2, shape=(3,)), mx.random.uniform(shape=(2,))
        weight = np.zeros(5, np.float32)
        mx.get_updater(mx.create("sgld", learning_rate=0.1))(0, weight, weight.copy())
        return [x.tolist() for x in noise]

    assert draw() == draw()


def test_seeding_repeats_sgld():
    def walk():
        mx.random.seed(3)
        weight = np.zeros(5, np.float32)
        mx.get_updater(mx.create("sgld", learning_rate=0.1))(0, np.zeros(5, np.float32), weight)
        return weight.tolist()

    assert walk() == walk()
    assert any(walk())


def arrays_to_save():
    return {
        "arg:weight": nd.array([[1, 2], [3, 4]]),
        "rows": nd.sparse.row_sparse_array(([[1, 2]], [3]), shape=(5, 2)),
        "count": nd.array([1, 2], dtype="int64"),
    }


@pytest.mark.parametrize("format", ["mxnet-1.x", "mxnet-2.x"])
def test_params_files_come_back(tmp_path, format):
    path = tmp_path / "net-0001.params"
    nd.save(path, arrays_to_save(), format=format)
    loaded = nd.load(path)
    assert list(loaded) == list(arrays_to_save())
    for name, array in arrays_to_save().items():
        assert type(loaded[name]) is type(array)
        np.testing.assert_array_equal(loaded[name].asnumpy(), array.asnumpy())
    nd.save(path, [nd.ones((2,)), nd.zeros((1,))])
    assert [array.tolist() for array in nd.load(path)] == [[1, 1], [0]]


def test_every_cut_of_a_params_file_is_refused(tmp_path):
    path = tmp_path / "net.params"
    nd.save(path, arrays_to_save())
    raw = path.read_bytes()
    for length in range(len(raw)):
        with pytest.raises(mx.states.errors.StateFileError):
            nd.load_frombuffer(raw[:length])
    with pytest.raises(mx.states.errors.StateFileError):
        nd.load_frombuffer(raw + b"\0")
    with pytest.raises(mx.states.errors.StateFileError, match="0x112"):
        nd.load_frombuffer(b"PK" + raw[2:])


def test_update_operators_say_what_is_wrong():
    weight, grad = nd.ones((3,)), nd.ones((3,))
    with pytest.raises(TypeError, match="sgd_update needs lr="):
        nd.sgd_update(weight, grad)
    with pytest.raises(TypeError, match="no argument 'momentun'; did you mean 'momentum'"):
        nd.sgd_mom_update(weight, grad, weight.copy(), lr=1, momentun=0.9)
    with pytest.raises(ValueError, match=r"must fit its weight of shape \(3,\), got shape \(2,\)"):
        nd.sgd_update(weight, nd.ones((2,)), lr=1, out=weight)
    with pytest.raises(ValueError, match="share memory"):
        nd.sgd_mom_update(weight, grad, weight, lr=1, out=weight)
    with pytest.raises(ValueError, match="finite"):
        nd.sgd_update(weight, grad, lr=float("nan"), out=weight)
    assert weight.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", sorted(mx.optimizer.Optimizer.opt_registry))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_states_of_ndarrays_are_ndarrays(name, dtype):
    """A script reads them by ``.asnumpy()``; those of plain arrays are plain."""
    optimizer = mx.create(name, multi_precision=True)
    for kind, weight in ((nd.NDArray, nd.ones((3, 2), dtype=dtype)), (np.ndarray, np.ones((3, 2), dtype))):
        for owner in (weight, weight.view(mx.gluon.parameter.Weight) if kind is nd.NDArray else weight):
            flat = [optimizer.create_state_multi_precision(0, owner)]
            while any(isinstance(part, tuple) for part in flat):
                flat = [x for part in flat for x in (part if isinstance(part, tuple) else [part])]
            assert {type(part) for part in flat if part is not None} <= {kind}


@pytest.mark.parametrize("kind", [nd.NDArray, np.ndarray])
def test_loaded_states_follow_the_weights(kind):
    weights = [nd.ones((2,)).view(kind) for _ in range(2)]
    first, second = (mx.get_updater(mx.create("adam")) for _ in range(2))
    first([0, "b"], [nd.ones((2,))] * 2, weights)
    second.set_states(first.get_states(dump_optimizer=True))
    for index, weight in zip([0, "b"], weights):
        second(index, nd.ones((2,)), weight)
        first(index, nd.ones((2,)), weight)
        assert [type(part) for part in second.states[index]] == [kind] * 2
        np.testing.assert_array_equal(second.states[index], first.states[index])


def test_states_put_in_by_hand_are_used():
    optimizer = mx.create("sgd", learning_rate=1.0, momentum=0.5)
    updater, weight = mx.get_updater(optimizer), nd.zeros((2,))
    updater.states[0], updater.states_synced[0] = nd.ones((2,)), False
    assert updater.sync_state_context(updater.states[0], weight.context) is updater.states[0]
    updater(0, nd.zeros((2,)), weight)
    assert weight.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 0), (0, 2)])
@pytest.mark.parametrize("function", ["sum", "mean", "norm", "nansum"])
def test_reductions_have_numpys_values_and_shapes(function, shape):
    values = np.random.default_rng(0).normal(size=shape)
    like = {"norm": np.linalg.norm}.get(function) or getattr(np, function)
    for axis in (None, *range(-len(shape), len(shape))):
        for keepdims in (False, True):
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = np.atleast_1d(like(values, axis=axis, keepdims=keepdims))
            found = getattr(nd, function)(nd.array(values, dtype="float64"), axis=axis, keepdims=keepdims)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-14)
    half = nd.array(values, dtype="float16")
    assert getattr(half, function)().dtype == np.float16


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "bool"])
def test_integers_are_summed_as_such(dtype):
    values = nd.array([1, 1, 0, 1], dtype=dtype)
    assert int(nd.sum(values).asscalar()) == (1 if dtype == "bool" else 3)
    big = nd.array([2**53 + 1, 2], dtype="int64")
    assert int(big.sum().asscalar()) == 2**53 + 3
    assert (nd.array([3, 4, -5]) > 0).sum().asscalar() == 2


FUNCTIONS = sorted(
    {name for name in nd.__all__ if callable(getattr(nd, name)) and not isinstance(getattr(nd, name), type)}
    | {f"random.{name}" for name in nd.random.__all__}
    | {f"sparse.{name}" for name in nd.sparse.__all__ if not isinstance(getattr(nd.sparse, name), type)}
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_keyword_that_is_not_taken_is_refused(name):
    space = nd
    for part in name.split("."):
        space = getattr(space, part)
    arrays = () if name.endswith(("load_frombuffer", "waitall")) else (nd.ones((2, 2)),) * 6
    for given in range(len(arrays) + 1):
        with pytest.raises((TypeError, ValueError, OSError, AttributeError)) as error:
            space(*arrays[:given], bogus=1)
        if "bogus" in str(error.value):
            break
    else:
        raise AssertionError(f"nd.{name} never says that it does not take bogus: {error.value}")


def test_methods_refuse_keywords_that_they_do_not_take():
    array = nd.array([[3, 1], [2, 5]])
    for name in ("sum", "reshape", "transpose", "clip", "sort", "argsort", "squeeze", "topk", "norm", "take"):
        with pytest.raises(TypeError, match="bogus"):
            getattr(array, name)(bogus=1)


def test_one_element_is_assigned_whatever_its_dimensions():
    array = nd.zeros(4)
    array[0], array[1], array[2] = nd.array([5]), np.array([[2.0]]), [7]
    array[3:] = nd.array([1])
    assert array.asnumpy().tolist() == [5, 2, 7, 1]


def test_reshape_reads_codes_from_either_end():
    array = nd.zeros((2, 3, 4))
    assert array.reshape((-1, 0), reverse=True).shape == (6, 4)
    assert array.reshape(-1, 0).shape == (8, 3)
    assert nd.reshape(array, shape=(0, -3), reverse=True).shape == (2, 12)
    with pytest.raises(ValueError, match="no meaning for the code -4"):
        array.reshape((-4, 1, 2, 0, 0), reverse=True)


def test_integers_stay_integers():
    array = nd.array([7, -7, 2], dtype="int32")
    for found, expected in (
        (array / 2, [3, -3, 1]),
        (array * 2.5, [14, -14, 4]),
        (1 / array, [0, 0, 0]),
        (nd.sqrt(nd.abs(array)), [2, 2, 1]),
        (array.mean(), [0]),
        (array**2, [49, 49, 4]),
    ):
        assert found.asnumpy().dtype == np.int32
        assert found.asnumpy().tolist() == expected
    alias = array
    array /= 2
    assert alias is array
    assert array.asnumpy().tolist() == [3, -3, 1]
    with pytest.raises(ZeroDivisionError, match="array of int32 is divided by zero"):
        array / nd.array([1, 0, 1], dtype="int32")
    with pytest.raises(OverflowError, match="nan has no place in an array of int32"):
        array * float("nan")


def test_arrays_sort_as_mxnets_and_for_numpy_as_numpys():
    array = nd.array([3, 1, 2])
    assert array.sort(is_ascend=False).asnumpy().tolist() == [3, 2, 1]
    assert array.asnumpy().tolist() == [3, 1, 2]
    assert np.sort(array).tolist() == [1, 2, 3]
    assert np.argsort(array).tolist() == [1, 2, 0]
    assert nd.array([0.5, 1.5, -0.5]).round().asnumpy().tolist() == [1, 2, -1]
    assert np.round(nd.array([0.26, 1.5]), 1).tolist() == pytest.approx([0.3, 1.5])


def test_sglds_noise_and_normal_samples_are_one_stream():
    import mxopt

    mxopt.random.seed(3)
    drawn = [mxopt.nd.random.normal(0, 1, (50,)).asnumpy() for _ in range(2)]
    mxopt.random.seed(3)
    opt, weight = mxopt.create("sgld", learning_rate=1.0, wd=0.0), np.zeros(50, np.float32)
    opt.update(0, weight, np.zeros(50, np.float32), None)
    np.testing.assert_array_equal(weight, drawn[0])
    np.testing.assert_array_equal(mxopt.nd.random.normal(shape=(50,)), drawn[1])


@pytest.mark.parametrize(
    "name", ["normal", "uniform", "random_normal", "random_uniform", "random_gamma", "random_poisson"]
)
def test_samples_have_the_names_of_their_operators(name):
    mx.random.seed(3)
    one = (
        getattr(nd, name)(1, 2, shape=(3,)) if name != "random_poisson" else nd.random_poisson(2, shape=(3,))
    )
    mx.random.seed(3)
    own = getattr(nd.random, name.removeprefix("random_"))
    other = own(1, 2, shape=(3,)) if name != "random_poisson" else own(2, shape=(3,))
    np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_samples_for_each_parameter():
    found = nd.random.normal(nd.array([0, 100]), 1, shape=(3,))
    assert found.shape == (2, 3)
    assert (found[1] > 50).asnumpy().all()
    with pytest.raises(ValueError, match=r"out must have the shape of the samples, \(3,\), got \(2,\)"):
        nd.random.normal(0, 1, shape=(3,), out=nd.zeros(2))
    with pytest.raises(NotImplementedError, match="takes one vector"):
        nd.random.multinomial(nd.ones((2, 2)))


VIEWS = {
    "a row": 1,
    "rows": slice(1, 3),
    "all": slice(None),
    "one column of a row": (1, 2),
    "columns of a row": (1, slice(1, 3)),
    "columns of one row": (slice(1, 2), slice(1, 3)),
    "whole rows": (slice(1, 3), slice(0, 4)),
    "a step that takes one": slice(1, 3, 2),
    "a new axis": (slice(1, 3), None),
}
COPIES = {
    "every other row": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "a column": (slice(None), 2),
    "columns": (Ellipsis, slice(1, 3)),
    "rows and columns": (slice(1, 3), slice(1, 3)),
    "numbers": [0, 1],
}


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("what", [*VIEWS, *COPIES])
def test_a_slice_is_a_view_where_its_elements_follow_each_other(what, layout):
    room = (
        np.zeros((4, 8), np.float32)[:, ::2] if layout == "strided" else np.zeros((4, 4), np.float32, layout)
    )
    array, key = nd.view(room), {**VIEWS, **COPIES}[what]
    part = array[key]
    part[:] = 1
    assert type(part) is nd.NDArray
    assert room.any() == (what in VIEWS)
    array[key] += 2  # reads, adds and writes back
    expected = np.zeros((4, 4), np.float32)
    expected[key] += 3 if what in VIEWS else 2
    np.testing.assert_array_equal(room, expected)


def test_a_slice_of_rows_is_a_view_of_an_array_with_one_row():
    array = nd.zeros((1, 4))
    array[:, 1:3][:] = 1
    assert array.asnumpy().tolist() == [[0, 1, 1, 0]]


def test_pick_takes_indices_that_keep_their_axis():
    table = nd.array([[1, 2], [3, 4]])
    for index, axis, found in (
        ([1, 0], 1, [2, 3]),
        ([[1], [0]], 1, [2, 3]),
        ([1, 0], 0, [3, 2]),
        ([[1, 0]], 0, [3, 2]),
    ):
        assert nd.pick(table, nd.array(index), axis=axis).asnumpy().tolist() == found
        assert nd.pick(table, nd.array(index), axis=axis, keepdims=True).ndim == 2
    assert nd.pick(nd.array([5, 6, 7]), nd.array([2])).asnumpy().tolist() == [7]
    with pytest.raises(ValueError, match=r"their shape must be \(2,\) or \(2, 1\), got \(1, 2\)"):
        nd.pick(table, nd.array([[1, 0]]))
    with pytest.raises(TypeError, match="pick needs an axis"):
        nd.pick(table, nd.array([1, 0]), axis=None)


def test_positions_come_with_the_logarithms_of_their_probabilities():
    positions, logs = nd.random.multinomial(nd.array([0.25, 0.75, 0]), shape=9, get_prob=True)
    np.testing.assert_array_equal(logs.asnumpy(), np.log(np.float32([0.25, 0.75]))[positions.asnumpy()])
    assert (positions.dtype, logs.dtype) == ("int32", "float32")


@pytest.mark.parametrize(
    ("method", "arguments", "shape"),
    [("flatten", {}, (1, 6)), ("expand_dims", {"axis": 1}, (1, 1, 2, 3)), ("squeeze", {"axis": 0}, (2, 3))],
)
def test_another_shape_is_a_copy_or_the_same_elements(method, arguments, shape):
    array = nd.zeros((1, 2, 3))
    copy = getattr(array, method)(**arguments)
    view = getattr(array, method)(inplace=True, **arguments)
    assert copy.shape == view.shape == shape
    array[:] = 1
    assert copy.sum().asscalar() == 0
    assert view.sum().asscalar() == 6


def test_an_array_is_repeated_along_some_axes():
    array, other = nd.ones((1, 2)), nd.zeros((5, 3))
    assert nd.broadcast_like(array, other, lhs_axes=0, rhs_axes=1).shape == (3, 2)
    with pytest.raises(ValueError, match="lhs_axes and rhs_axes must be given together"):
        nd.broadcast_like(array, other, lhs_axes=0)
