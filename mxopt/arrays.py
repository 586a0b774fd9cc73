"""What a tensor is: float dtypes, and zero-copy ndarray views of anyone's CPU arrays.

mxopt computes on ``numpy.ndarray``. `as_array` turns whatever a caller holds (ndarray subclasses, torch
tensors, real MXNet arrays, anything that supports DLPack, the array interface or the buffer protocol) into
an ndarray over the *same* memory, so that the owner sees an update in place. Nothing is ever copied here:
what cannot be viewed is refused.
"""

from __future__ import annotations

import math
import mmap
import sys
from typing import Any

import numpy as np

from .kernels import STORAGE_DTYPES, address_of

FLOAT_NAMES = tuple(STORAGE_DTYPES)

# DLPack device types whose memory the CPU can address: kDLCPU, kDLCUDAHost and kDLROCMHost (pinned).
_CPU_DEVICES = (1, 3, 11)


def is_float(dtype: Any) -> bool:
    """Whether mxopt computes in this dtype (by name, so that ml_dtypes need not be imported)."""
    return dtype.name in FLOAT_NAMES


def bfloat16() -> np.dtype:
    """The bfloat16 dtype of ml_dtypes."""
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError("bfloat16 arrays need ml_dtypes; install it with: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


#: Bytes of a cache line.
LINE = 64


def zeros_like(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Zeros in an array's shape and memory order, aligned to a cache line.

    NumPy's own large arrays begin a quarter of a line later, so that a row of 64 numbers touches five lines
    instead of four, and a lazy step over fresh rows takes a quarter longer.
    """
    dtype = np.dtype(dtype or array.dtype)
    if not array.flags.forc or array.size * dtype.itemsize < 64 * LINE:
        return np.zeros_like(array, dtype=dtype, subok=False)
    return zeros(array.shape, dtype, "C" if array.flags.c_contiguous else "F")


def zeros(shape: tuple[int, ...], dtype: Any, order: Any = "C") -> np.ndarray:
    """Zeros of a shape, aligned to a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = _zeros(size + LINE)
    begin = -address_of(room) % LINE
    return room[begin : begin + size].view(dtype).reshape(shape, order=order)


def is_half(dtype):
    """Whether a dtype has 16 bits, so that `multi_precision` gives it a float32 master."""
    return dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")


#: Arrays of at least this many bytes are allocated in huge pages, where the system has them.
HUGE = 1 << 22


def _zeros(size):
    # NumPy asks for huge pages itself, but for zeros only in its newer releases. Without them a lazy step
    # over rows scattered across a table takes a fifth longer: each row's page has to be looked up as well.
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a system without them, or without the memory: let NumPy say so
            pass
        else:
            return np.frombuffer(memory, np.uint8)
    return np.zeros(size, np.uint8)


def interpolated(x: np.ndarray, y: np.ndarray, share: float, out: np.ndarray | None = None) -> np.ndarray:
    """A point between two arrays, computed from the nearer one, in their own type; `out` may be `x`."""
    real = x.dtype.type
    way = np.asarray(y - x)  # one array for all: new ones take longer to get than to fill
    way *= real(share) if share < 0.5 else real(1.0 - real(share))
    out = way if out is None else out
    return np.add(x, way, out=out) if share < 0.5 else np.subtract(y, way, out=out)


def as_array(x: Any, name: str = "array", writable: bool = True) -> np.ndarray:
    """View `x` as a plain ndarray over the same memory.

    Parameters
    ----------
    x : array of any library
        An ndarray or a subclass, a torch tensor on the CPU, a dense NDArray of real MXNet, or an object
        with the array interface, ``__dlpack__`` on the CPU, or the buffer protocol.
    name : str
        What messages call it.
    writable : bool
        Refuse read-only memory. Gradients are only read, so they pass False.

    Returns
    -------
    numpy.ndarray
        Exactly ``numpy.ndarray``, never a subclass, never a copy.
    """
    array = x if type(x) is np.ndarray else _foreign(x, name)
    if writable and not array.flags.writeable:
        raise ValueError(
            f"{name} is updated in place, but this {_kind(x)} is read-only; "
            "pass a writable copy made by numpy.array(...)"
        )
    return array


def is_mxnet(x: object) -> bool:
    """Whether `x` is a real MXNet array; never imports MXNet to find out."""
    mxnet = sys.modules.get("mxnet")
    return mxnet is not None and isinstance(x, mxnet.nd.NDArray)


def is_torch(x: object) -> bool:
    """Whether `x` is a torch tensor; never imports torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_parameter(tensor: Any) -> bool:
    """Whether a torch tensor is a parameter of a module."""
    return isinstance(tensor, sys.modules["torch"].nn.Parameter)


def mark_written(tensors: list[Any]) -> None:
    """Tell torch that tensors have changed, so that autograd notices as after its own updates."""
    torch = sys.modules["torch"]
    try:
        torch.autograd.graph.increment_version(tensors)
    except AttributeError:  # before torch 2.1; it took one tensor at a time before 2.5
        pass
    except TypeError:
        for tensor in tensors:
            torch.autograd.graph.increment_version(tensor)


def settle(x: Any) -> None:
    """Wait until real MXNet has finished every operation on an array; other arrays need no wait.

    After that, an earlier view of its memory may be read and written.
    """
    if is_mxnet(x):
        from mxnet.base import _LIB, check_call

        check_call(_LIB.MXNDArrayWaitToWrite(x.handle))


def _foreign(x, name):
    """ndarray over the memory of something that is not exactly an ndarray."""
    if isinstance(x, np.ndarray):
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, whose mask an update cannot respect; pass its .data")
        return x.view(np.ndarray)
    if hasattr(type(x), "whole"):  # a RowSparseArray, which this module cannot import
        return x.whole()
    package = type(x).__module__.partition(".")[0]
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(torch, x, name)
    if is_mxnet(x):
        return _from_mxnet(x, name)
    if package in ("jax", "jaxlib"):
        return np.asarray(x)  # immutable and marked as such, which its DLPack capsule would not say
    if hasattr(x, "__array_interface__") and not isinstance(x, np.generic):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return _from_dlpack(x, name)
    if not isinstance(x, (bytes, str, np.generic)):
        try:
            return np.asarray(memoryview(x))
        except TypeError:
            pass
    raise TypeError(
        f"{name} must be an array, got {_kind(x)}; make one with numpy.asarray(..., dtype='float32')"
    )


def _from_torch(torch, x, name):
    if x.layout != torch.strided:
        raise TypeError(
            f"{name} must be a dense tensor, got layout {x.layout}; pass a RowSparseArray of its "
            "values and indices, or .to_dense()"
        )
    if x.device.type != "cpu":
        raise ValueError(f"{name} is on {x.device}, but mxopt updates memory of the CPU; move it with .cpu()")
    if x.is_conj() or x.is_neg():
        raise ValueError(f"{name} is a lazy conjugate or negative view; pass .resolve_conj().resolve_neg()")
    x = x.detach()
    if x.dtype == torch.bfloat16:  # unknown to NumPy: the same bits through an integer of that width
        return x.view(torch.int16).numpy().view(bfloat16())
    try:
        return x.numpy()
    except TypeError as error:  # quantized and the like
        raise TypeError(f"{name} must be a tensor of plain numbers, got {x.dtype}: {error}") from None


def _from_mxnet(x, name):
    """Memory of a real MXNet NDArray through its handle, once MXNet has finished every operation on it.

    A row-sparse weight stores every row, so its values are a dense array.
    """
    import ctypes

    from mxnet.base import _LIB, check_call

    complete = x.stype == "default" or (x.stype == "row_sparse" and x.indices.shape[0] == x.shape[0])
    if not complete:
        raise TypeError(
            f"{name} must be dense, or row_sparse with every row stored, "
            f"got storage type {x.stype!r}; pass .tostype('default')"
        )
    if x.context.device_type == "gpu":
        raise ValueError(
            f"{name} is on {x.context}, but mxopt updates memory of the CPU; "
            "move it with .as_in_context(mx.cpu())"
        )
    settle(x)
    address = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(x.handle, ctypes.byref(address)))
    if _mxnet_flag(x) == 12:
        return _at(address.value, x.shape, np.dtype(np.uint16), x).view(bfloat16())
    return _at(address.value, x.shape, np.dtype(x.dtype), x)


def _mxnet_flag(x):
    """MXNet's number for an array's dtype: the 1.x wheels have no NumPy dtype for bfloat16."""
    import ctypes

    from mxnet.base import _LIB, check_call

    flag = ctypes.c_int()
    check_call(_LIB.MXNDArrayGetDType(x.handle, ctypes.byref(flag)))
    return flag.value


def _from_dlpack(x, name):
    device = x.__dlpack_device__()
    if device[0] not in _CPU_DEVICES:
        raise ValueError(
            f"{name} is on DLPack device type {int(device[0])}, but mxopt updates memory of the "
            "CPU; copy it there first"
        )
    try:
        capsule = x.__dlpack__(max_version=(1, 0))
    except TypeError:  # an exporter older than the versioned protocol
        capsule = x.__dlpack__()
    array = np.from_dlpack(_Capsule(capsule, device))
    if not array.flags.writeable and "versioned" not in repr(capsule):
        # The first protocol has no read-only flag (exporters of read-only memory had to refuse), so NumPy
        # plays it safe.
        array = _at(address_of(array), array.shape, array.dtype, array, array.strides)
    return array


class _Capsule:
    """An exported DLPack capsule in the form that `numpy.from_dlpack` accepts."""

    def __init__(self, capsule, device):
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **_options):
        return self.capsule

    def __dlpack_device__(self):
        return self.device


class _Memory:
    """Memory at an address and its owner, in the form that NumPy understands."""

    def __init__(self, owner, interface):
        self.owner = owner
        self.__array_interface__ = interface


def _at(address, shape, dtype, owner, strides=None):
    if not address:  # an array without elements need not have memory
        return np.empty(shape, dtype)
    return np.asarray(
        _Memory(
            owner,
            {
                "version": 3,
                "data": (address, False),
                "shape": tuple(shape),
                "typestr": dtype.str,
                "strides": strides,
            },
        )
    )


def _kind(x):
    package = type(x).__module__.partition(".")[0]
    return type(x).__name__ if package == "builtins" else f"{package} {type(x).__name__}"
