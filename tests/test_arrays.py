"""Anyone's arrays are updated in place, or refused with the cure."""

import array as standard_array

import numpy as np
import pytest

import mxopt
from mxopt import arrays
from mxopt.arrays import as_array
from mxopt.sparse import RowSparseArray, as_gradient


class Exporter:
    """An array that offers DLPack only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OldExporter(Exporter):
    """The same with the unversioned protocol."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


class Interface:
    """An array that offers the array interface only."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Subclass(np.ndarray):
    pass


OWNERS = {
    "ndarray": lambda a: a,
    "subclass": lambda a: a.view(Subclass),
    "NDArray": mxopt.nd.view,
    "DLPack": Exporter,
    "DLPack without versions": OldExporter,
    "array interface": Interface,
    "memoryview": memoryview,
}


def torch_owner(tensor_of):
    def make(array):
        return tensor_of(pytest.importorskip("torch"), array)

    return make


OWNERS["torch tensor"] = torch_owner(lambda torch, a: torch.from_numpy(a))
OWNERS["torch parameter"] = torch_owner(lambda torch, a: torch.nn.Parameter(torch.from_numpy(a)))


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_a_view_has_the_owners_address(owner, dtype):
    memory = np.arange(6, dtype=dtype).reshape(2, 3)
    view = as_array(OWNERS[owner](memory))
    assert type(view) is np.ndarray
    assert view.ctypes.data == memory.ctypes.data
    assert (view.shape, view.dtype, view.strides) == (memory.shape, memory.dtype, memory.strides)
    assert view.flags.writeable


@pytest.mark.parametrize("owner", OWNERS)
def test_an_update_is_seen_by_the_owner(owner):
    memory, grad = np.zeros(4, np.float32), np.ones(4, np.float32)
    updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=0.5))
    for _ in range(2):
        updater(0, OWNERS[owner](grad), OWNERS[owner](memory))
    assert (memory == -1).all()
    assert (grad == 1).all()


def test_strides_of_a_transposed_tensor_are_kept():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6.0).reshape(2, 3)
    view = as_array(tensor.t())
    view[2, 1] = 50
    assert tensor[1, 2] == 50


def test_torch_bfloat16_is_seen_through_ml_dtypes():
    torch, ml_dtypes = pytest.importorskip("torch"), pytest.importorskip("ml_dtypes")
    tensor = torch.ones(3, dtype=torch.bfloat16)
    view = as_array(tensor)
    assert view.dtype == ml_dtypes.bfloat16
    view[:] = 3
    assert (tensor == 3).all()


def test_the_rows_of_a_torch_embedding_gradient_are_understood():
    torch = pytest.importorskip("torch")
    embedding = torch.nn.Embedding(10, 3, sparse=True)
    embedding(torch.tensor([4, 1, 4])).sum().backward()
    grad = as_gradient(embedding.weight.grad)
    assert isinstance(grad, RowSparseArray)
    assert grad.indices.tolist() == [1, 4]
    assert grad.data.tolist() == [[1, 1, 1], [2, 2, 2]]
    before = embedding.weight.detach().clone()
    optimizer = mxopt.create("sgd", learning_rate=1.0, lazy_update=True)
    mxopt.get_updater(optimizer)(0, embedding.weight.grad, embedding.weight)
    moved = (embedding.weight.detach() != before).any(dim=1)
    assert moved.nonzero().ravel().tolist() == [1, 4]


def read_only(array):
    array.flags.writeable = False
    return array


def jax_array(array):
    return pytest.importorskip("jax.numpy").asarray(array)


@pytest.mark.parametrize("owner", [read_only, jax_array, lambda a: Interface(read_only(a))])
def test_read_only_memory_is_a_gradient_but_not_a_weight(owner):
    frozen = owner(np.ones(3, np.float32))
    weight = np.zeros(3, np.float32)
    updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=1.0))
    updater(0, frozen, weight)
    assert (weight == -1).all()
    with pytest.raises(ValueError, match=r"read-only; pass a writable copy made by numpy\.array"):
        updater(1, weight, frozen)
    assert list(updater.states) == [0]


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "must be an array, got list"),
        (3.0, TypeError, "must be an array, got float"),
        (np.float32(3), TypeError, "must be an array, got numpy float32"),
        ("text", TypeError, "must be an array, got str"),
        (b"raw", TypeError, "must be an array, got bytes"),
        (None, TypeError, "must be an array, got NoneType"),
        (np.ma.array([1.0], mask=[True]), TypeError, r"masked array.*\.data"),
    ],
    ids=["list", "number", "numpy scalar", "text", "bytes", "none", "masked"],
)
def test_what_cannot_be_viewed_is_refused(value, error, words):
    with pytest.raises(error, match=f"weight.*{words}"):
        as_array(value, "weight")


def test_another_devices_memory_is_refused():
    exporter = Exporter(np.ones(3))
    exporter.__class__ = type("Gpu", (Exporter,), {"__dlpack_device__": lambda self: (2, 0)})
    with pytest.raises(ValueError, match="weight is on DLPack device type 2.*copy it there"):
        as_array(exporter, "weight")


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (lambda torch: torch.ones(2, 2).to_sparse_csr(), "layout torch.sparse_csr"),
        (lambda torch: torch.ones(2, device="meta"), r"is on meta.*\.cpu\(\)"),
        (lambda torch: torch.ones(2, dtype=torch.complex64).conj(), "lazy conjugate"),
        (
            lambda torch: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            "plain numbers, got torch.qint8",
        ),
    ],
    ids=["csr", "device", "conjugate", "quantized"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:torch.quantize_per_tensor")
def test_torch_tensors_without_plain_memory_are_refused(tensor, words):
    with pytest.raises((TypeError, ValueError), match=words):
        as_array(tensor(pytest.importorskip("torch")), "weight")


def test_a_buffer_of_the_standard_library():
    numbers = standard_array.array("f", [1, 2])
    as_array(numbers)[:] = 5
    assert numbers.tolist() == [5, 5]


def drawn(shape, dtype="float32"):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


TENSORS = {
    "requires grad": lambda torch: torch.ones(3, 4, requires_grad=True),
    "parameter": lambda torch: torch.nn.Parameter(torch.ones(3, 4)),
    "transposed": lambda torch: torch.ones(4, 3).t(),
    "strided": lambda torch: torch.ones(6, 8)[::2, ::2],
    "channels last": lambda torch: torch.ones(1, 2, 3, 4).to(memory_format=torch.channels_last),
    "bfloat16": lambda torch: torch.ones(3, 4, dtype=torch.bfloat16),
    "bfloat16, transposed": lambda torch: torch.ones(4, 3, dtype=torch.bfloat16).t(),
    "float16": lambda torch: torch.ones(3, 4, dtype=torch.float16),
    "no dimension": lambda torch: torch.tensor(1.0),
    "no element": lambda torch: torch.ones(0, 4),
    "made for inference": lambda torch: torch.inference_mode()(torch.ones)(3, 4),
}


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.filterwarnings("ignore:states of .*float16 weights accumulate")
def test_a_tensor_steps_like_an_array(kind, name):
    torch = pytest.importorskip("torch")
    tensor = TENSORS[kind](torch)
    address, view = tensor.data_ptr(), as_array(tensor)
    array, grad = view.copy(), drawn(tuple(tensor.shape)).astype(view.dtype)
    ours = torch.from_numpy(grad.astype(np.float32)).to(tensor.dtype)
    for weight, gradient in ((tensor, ours), (array, grad)):
        updater = mxopt.get_updater(mxopt.create(name, learning_rate=0.1))
        for _ in range(3):
            updater(0, gradient, weight)
    assert tensor.data_ptr() == address
    np.testing.assert_array_equal(as_array(tensor), array)
    np.testing.assert_array_equal(as_array(ours), grad)  # gradients are not written


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "backwards": lambda a: a[::-1, ::-1],
    "every other": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "field": lambda a: np.rec.fromarrays([a, a], names="w,g")["w"],
    "memmap": None,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_steps_like_a_contiguous_array(layout, tmp_path):
    plain, grad = drawn((4, 6)), drawn((4, 6))
    if layout == "memmap":
        weight = np.memmap(tmp_path / "weight", np.float32, "w+", shape=plain.shape)
        weight[:] = plain
    else:
        weight = LAYOUTS[layout](plain.copy())
    plain, weight_grad = np.ascontiguousarray(weight), grad
    for one, gradient in ((weight, np.asfortranarray(weight_grad)), (plain, grad)):
        updater = mxopt.get_updater(mxopt.create("adam", learning_rate=0.1))
        for _ in range(3):
            updater(0, gradient, one)
    np.testing.assert_array_equal(weight, plain)


@pytest.mark.parametrize(
    ("indices", "weights", "grads", "words"),
    [
        ([0, 1], lambda a: [a[:5], a[4:]], None, "weight of index 0 and weight of index 1"),
        ([0, 1], lambda a: [a, a], None, "weight of index 0 and weight of index 1"),
        ([0, 1], lambda a: [a, a[::-1]], None, "weight of index 0 and weight of index 1"),
        ([0, 0], lambda a: [a[:4], a[4:]], None, "index 0 occurs twice in one call"),
        ([0], lambda a: [a], lambda a: [a], "weight of index 0 and gradient of index 0"),
        ([0], lambda a: [a[:4]], lambda a: [a[2:6]], "weight of index 0 and gradient of index 0"),
        ([0], lambda a: [a[::-1]], lambda a: [a], "weight of index 0 and gradient of index 0"),
        ([0], lambda a: [np.broadcast_to(a[:1], 4)], None, "read-only|repeats its own elements"),
    ],
    ids=["overlapping", "the same twice", "the same backwards", "index twice", "its own gradient",
         "half its gradient", "its gradient backwards", "one element"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["ndarray", "torch"])
def test_memory_that_is_shared_is_refused(kind, indices, weights, grads, words):
    base = np.zeros(8, np.float32)
    weights = weights(base)
    grads = [np.ones_like(weight) for weight in weights] if grads is None else grads(base)
    if kind == "torch":
        torch = pytest.importorskip("torch")
        weights, grads = (
            [torch.from_numpy(array) if min(array.strides) > 0 else array for array in arrays]
            for arrays in (weights, grads)
        )  # torch has no other strides
    updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=1.0))
    with pytest.raises(ValueError, match=words):
        updater(indices, grads, weights)
    assert not base.any()
    assert updater.states == {}


def test_one_gradient_may_serve_several_weights():
    grad, weights = np.ones(3, np.float32), [np.zeros(3, np.float32) for _ in range(2)]
    mxopt.get_updater(mxopt.create("sgd", learning_rate=1.0))([0, 1], [grad, grad], weights)
    assert [weight.tolist() for weight in weights] == [[-1] * 3] * 2


@pytest.mark.parametrize("shape", [(3,), (64, 64), (1_100_000,)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_new_states_are_zeros_that_begin_with_a_line(shape, order):
    weight = np.ones(shape, np.float32, order=order)
    zeros = arrays.zeros_like(weight)
    assert not zeros.any() and zeros.flags.writeable
    assert (zeros.shape, zeros.dtype, zeros.strides) == (weight.shape, weight.dtype, weight.strides)
    assert zeros.nbytes < 4096 or zeros.ctypes.data % arrays.LINE == 0
