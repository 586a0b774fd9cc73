"""The types in mxopt's annotations, for use in your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, Union

from numpy.typing import NDArray

from .sparse import RowSparseArray

__all__ = ["Array", "DialectName", "FileFormat", "Gradient", "Index", "Schedule", "State", "SupportsArray"]

#: A weight, a dense gradient or a state.
Array = NDArray[Any]
#: An updater's key for a weight.
Index = Union[int, str]
#: What an optimizer keeps for one weight: nothing, an array, or arrays in MXNet's order.
State = Union[None, Array, "tuple[State, ...]"]
#: The number of updates made so far -> the learning rate.
Schedule = Callable[[int], float]
DialectName = Literal["1.x", "2.x"]
FileFormat = Literal["mxopt", "mxnet-1.x", "mxnet-2.x"]


class SupportsArray(Protocol):
    """Another library's array over memory of the CPU: a torch, JAX or MXNet tensor, say."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


#: What a step takes as a gradient.
Gradient = Union[Array, RowSparseArray, SupportsArray]
#: One gradient or several, as every updater takes them.
Indices = Union[Index, Sequence[Index]]
