"""Anyone's arrays are updated in place, or refused with the cure."""

import array as standard_array

import numpy as np
import pytest

import mxopt
from mxopt.arrays import as_array, find_overlap
from mxopt.sparse import RowSparseArray, as_gradient


class Exporter:
    """An array that is known by DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OldExporter(Exporter):
    """The same, from before the protocol had versions."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


class Interface:
    """An array that is known by the array interface alone."""

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
    ],
    ids=["csr", "device", "conjugate"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_torch_tensors_without_plain_memory_are_refused(tensor, words):
    with pytest.raises((TypeError, ValueError), match=words):
        as_array(tensor(pytest.importorskip("torch")), "weight")


def test_a_buffer_of_the_standard_library():
    numbers = standard_array.array("f", [1, 2])
    as_array(numbers)[:] = 5
    assert numbers.tolist() == [5, 5]


def test_overlaps_are_found_by_address():
    base = np.zeros(10, np.float32)
    apart = np.ones(3)
    assert find_overlap([base[:5], apart, base[5:]]) is None
    assert find_overlap([base[:5], apart, base[4:]]) == (0, 2)
    assert find_overlap([base[::-1], base[3:4]]) == (0, 1)
    assert find_overlap([base, base[:0]]) is None
