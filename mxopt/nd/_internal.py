"""``mx.nd._internal``: the operators of `mxopt.nd.contrib` in the form in which MXNet's own code calls them.

Names begin with an underscore, and operators for lists take the arrays of all tensors one after the other.
"""

from __future__ import annotations

from ..dialects import V2
from .contrib import update_operators
from .updates import named


def _flat(operator, each, normed):
    name = f"_{operator.__name__}"

    def flat(*data, num_weights=None, num_tensors=None, learning_rates=None, **kwargs):
        *arrays, rescale_grad = data if not normed else (*data, None)
        if not normed:
            kwargs["rescale_grad"] = rescale_grad
        if learning_rates is not None:
            kwargs["lrs"] = learning_rates
        count = num_weights or num_tensors or len(arrays) // each
        if len(arrays) != count * each:
            raise TypeError(f"{name} takes {each} arrays a tensor, got {len(arrays)} for {count} tensors")
        return operator(*(arrays[start::each] for start in range(each)), **kwargs)

    return named(flat, name, f"`nd.contrib.{operator.__name__}` with its arrays one after the other.")


def flat_operators(dialect=V2):
    """The operators by name; `dialect` as in `mxopt.nd.updates.operators`."""
    table = {}
    for name, operator in update_operators(dialect).items():
        if name.startswith("multi_"):
            operator = _flat(operator, 5 if "mp_" in name else 4, "lamb" in name or "lans" in name)
        table[f"_{name}"] = operator
    return table


globals().update(flat_operators())
