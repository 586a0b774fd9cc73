"""Devices as labels: mxopt has only the CPU, but scripts may keep naming their own."""

from __future__ import annotations

import threading
import warnings
from types import MappingProxyType
from typing import Any


class Context:
    """A device, by MXNet's name and number: ``cpu(0)``.

    Arrays always live in the CPU's memory. The context is a label that legacy scripts pass around and
    compare.

    Parameters
    ----------
    device_type : {'cpu', 'gpu', 'cpu_pinned', 'cpu_shared'} or Context
    device_id : int
    """

    devtype2str = MappingProxyType({1: "cpu", 2: "gpu", 3: "cpu_pinned", 5: "cpu_shared"})
    devstr2type = MappingProxyType({name: number for number, name in devtype2str.items()})
    _local = threading.local()

    def __init__(self, device_type: Any, device_id: int = 0) -> None:
        if isinstance(device_type, Context):
            other: Context = device_type
            device_type, device_id = other.device_type, other.device_id
        if device_type not in self.devstr2type:
            raise ValueError(f"device_type must be one of {', '.join(self.devstr2type)}, got {device_type!r}")
        self.device_type: str = device_type
        self.device_id: int = int(device_id)

    @property
    def device_typeid(self):
        return self.devstr2type[self.device_type]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return NotImplemented
        return (self.device_type, self.device_id) == (other.device_type, other.device_id)

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __repr__(self):
        return f"{self.device_type}({self.device_id})"

    def __enter__(self) -> Context:
        stack = self._stack()
        stack.append(self)
        return self

    def __exit__(self, *_error: Any) -> None:
        self._stack().pop()

    @classmethod
    def _stack(cls):
        if not hasattr(cls._local, "stack"):
            cls._local.stack = [Context("cpu", 0)]
        return cls._local.stack

    def empty_cache(self):
        """Nothing is cached; here for scripts that call it."""


Device = Context


def cpu(device_id: int = 0) -> Context:
    """The CPU.

    Parameters
    ----------
    device_id : int, default 0
        The number of the device.
    """
    return Context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    """The CPU; pinned memory means something to GPUs only.

    Parameters
    ----------
    device_id : int, default 0
        The number of the device.
    """
    return Context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    """A GPU's name, for scripts that pass it around; placing an array there is refused.

    Parameters
    ----------
    device_id : int, default 0
        The number of the device.
    """
    return Context("gpu", device_id)


def num_gpus() -> int:
    """Zero: mxopt works on the CPU."""
    return 0


def num_devices() -> int:
    """Zero: there are no devices besides the CPU."""
    return 0


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """Refused: there is no GPU.

    Parameters
    ----------
    device_id : int, default 0
        The number of the device.
    """
    raise ValueError(f"mxopt has no GPUs, so gpu({device_id}) has no memory to ask about; use mx.cpu()")


def current_context() -> Context:
    """The innermost ``with context:`` block's device, else ``cpu(0)``."""
    return Context._stack()[-1]


current_device = current_context


def memory_context(context):
    """The device on which an array is placed when `context` is asked for.

    A GPU is refused, because the caller would believe that the array is there.

    Raises
    ------
    ValueError
        For ``gpu(...)``.
    """
    if context is None:
        context = current_context()
    if not isinstance(context, Context):
        raise TypeError(f"ctx must be a context such as mx.cpu(), got {context!r}")
    if context.device_type == "gpu":
        raise ValueError(f"mxopt keeps arrays in the CPU's memory and has no {context}; use mx.cpu()")
    return context


def warn_gpu(context, where):
    """Warn, once for each place, that a GPU named there is only a label."""
    if context is not None and getattr(context, "device_type", "") == "gpu":
        warnings.warn(f"{where}: {context} is only a label; mxopt computes on the CPU", stacklevel=3)
