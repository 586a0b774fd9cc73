"""Groups of parameters, by name, with hyper-parameters of their own."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from .. import checks
from ..lr_scheduler import LRScheduler
from . import multipliers
from .optimizer import Optimizer

#: The group of the parameters that no name or pattern matches.
_REST = None
#: Arguments that an optimizer has once for all its parameters.
_COMMON = ("begin_num_update", "param_dict", "param_idx2name", "rescale_grad", "skip_nonfinite", "sym")


class Groups(Optimizer):
    """An optimizer whose hyper-parameters differ between groups of parameters.

    `set_lr_mult` and `set_wd_mult` scale learning rates and weight decay alone, by names and patterns too.

    Parameters
    ----------
    optimizer : Optimizer
        Steps the parameters that no group names. The groups share its counts.
    groups : dict of str to (dict or Optimizer)
        By name, or pattern of names (``'*_bias'``): the arguments that are other ones for this group, or an
        optimizer. An exact name wins over patterns, the last matching pattern over earlier ones.
    param_idx2name : dict of int to str, optional
        Names of the indices, for updaters that are called with indices rather than names. By default the
        optimizer's own.

    Raises
    ------
    TypeError
        For an argument that the optimizer does not have.
    ValueError
        For a value that its constructor would refuse.

    Notes
    -----
    A call is one step for each group that it brings parameters of. If one of them is refused, those before
    it are done. Files hold the states and counts of all groups, not the groups themselves: make these anew
    and load the file.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> opt = mx.optimizer.Groups(
    ...     mx.create("sgd", learning_rate=0.5, wd=0.25),
    ...     {"*_bias": {"wd": 0}, "head_*": {"learning_rate": 1.0, "momentum": 0.9}},
    ... )
    >>> names = ["fc_weight", "fc_bias", "head_weight"]
    >>> weights = [np.ones(2, np.float32) for _ in names]
    >>> mx.get_updater(opt)(names, [np.ones(2, np.float32) for _ in names], weights)
    >>> [weight[0].item() for weight in weights]
    [0.375, 0.5, -0.25]
    >>> opt.members()
    {None: ['fc_weight'], '*_bias': ['fc_bias'], 'head_*': ['head_weight']}
    """

    cure_of_unnamed = ""

    def __init__(
        self,
        optimizer: Optimizer,
        groups: dict[str, dict[str, Any] | Optimizer],
        param_idx2name: dict[Any, str] | None = None,
    ) -> None:
        checks.optimizer(optimizer)
        if not isinstance(groups, dict) or not all(isinstance(key, str) for key in groups):
            raise TypeError(f"groups must be a dict of names or patterns of names, got {groups!r}")
        names = optimizer.idx2name if param_idx2name is None else param_idx2name
        super().__init__(
            rescale_grad=optimizer.rescale_grad,
            param_idx2name=names,
            begin_num_update=optimizer.begin_num_update,
            multi_precision=optimizer.multi_precision,
            param_dict=optimizer.param_dict,
            skip_nonfinite=getattr(optimizer, "skip_nonfinite", False),
        )
        self.groups = dict(groups)
        # the updater skips for all groups or none
        optimizer.skip_nonfinite = False
        self._optimizers: dict[str | None, Optimizer] = {_REST: optimizer}
        for key, given in groups.items():
            self._optimizers[key] = _changed(optimizer, key, given)
        self._patterns = multipliers.Patterns(self.groups)
        self._unmatched_groups = True
        self._reached = self.num_update

    def _name(self, index):
        name = getattr(self.param_dict.get(index), "name", None)
        return self.idx2name.get(index, index) if name is None else name

    def _key(self, index):
        name = self._name(index)
        return name if name in self.groups else self._patterns.of(name) if isinstance(name, str) else _REST

    def optimizer_of(self, index: Any) -> Optimizer:
        """The optimizer that steps a parameter.

        Parameters
        ----------
        index : int or str
            The parameter's key in the updater.
        """
        return self._optimizers[self._key(index)]

    def members(self) -> dict[str | None, list[Any]]:
        """The parameters known so far, by group; under None those that no group names."""
        found: dict[str | None, list[Any]] = {key: [] for key in self._optimizers}
        for index in dict.fromkeys([*self.idx2name, *self.param_dict, *self._index_update_count]):
            found[self._key(index)].append(self._name(index))
        return found

    @property
    def learning_rate(self) -> float:
        """The rate of the parameters that no group names."""
        return self._lent(_REST).learning_rate

    def set_learning_rate(self, lr: float) -> None:
        """Set the rate of all groups but those that were given one of their own.

        Parameters
        ----------
        lr : float
        """
        for key, optimizer in self._optimizers.items():
            given = self.groups[key] if key is not None else {}
            if isinstance(given, dict) and not {"learning_rate", "lr_scheduler"} & given.keys():
                optimizer.set_learning_rate(lr)

    def effective(self) -> Any:
        """What the next update of each parameter will use, as a table; group after group."""
        table = multipliers.EffectiveTable()
        for key in self._optimizers:
            table += [row for row in self._lent(key).effective() if self._key(row.index) == key]
        return table

    def create_state(self, index, weight):
        """The state that the parameter's optimizer makes.

        Parameters
        ----------
        index : int or str
            The weight's key in the updater.
        weight : ndarray
        """
        return self._lent(self._key(index)).create_state(index, weight)

    def create_state_multi_precision(self, index, weight):
        """The state that the parameter's optimizer makes, with a float32 master where it keeps one.

        Parameters
        ----------
        index : int or str
            The weight's key in the updater.
        weight : ndarray
        """
        return self._lent(self._key(index)).create_state_multi_precision(index, weight)

    def update(self, indices, weights, grads, states):
        """Update each parameter by its group's optimizer.

        Parameters
        ----------
        indices : list of (int or str)
            The weights' keys in the updater.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state_multi_precision` made it; written in place.
        """
        self._by_group("update", indices, weights, grads, states)

    def update_multi_precision(self, indices, weights, grads, states):
        """As `update`, through float32 masters where the states have them.

        Parameters
        ----------
        indices : list of (int or str)
            The weights' keys in the updater.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state_multi_precision` made it; written in place.
        """
        self._by_group("update_multi_precision", indices, weights, grads, states)

    def _by_group(self, method, indices, weights, grads, states):
        if not isinstance(indices, (list, tuple)):
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        if self._unmatched_groups:
            self._warn_of_unmatched_groups(indices)
        parts: dict[str | None, list[int]] = {}
        for position, index in enumerate(indices):
            parts.setdefault(self._key(index), []).append(position)
        for key, positions in parts.items():
            optimizer = self._lent(key)
            columns = [[column[i] for i in positions] for column in (indices, weights, grads, states)]
            if optimizer.takes_lists:
                getattr(optimizer, method)(*columns)
            else:
                for call in zip(*columns):
                    getattr(optimizer, method)(*call)
            self.num_update = self._reached = max(self.num_update, optimizer.num_update)

    def _lent(self, key):
        """A group's optimizer, with the names, counts and scale that all groups share."""
        if self.num_update < self._reached:  # an earlier position was loaded
            for optimizer in self._optimizers.values():
                if isinstance(optimizer.lr_scheduler, LRScheduler):
                    optimizer.lr_scheduler.resume_at(self.num_update, self.begin_num_update)
            self._reached = self.num_update
        optimizer = self._optimizers[key]
        optimizer._all_index_update_counts = self._all_index_update_counts
        optimizer._index_update_count = self._index_update_count
        optimizer.num_update = self.num_update
        optimizer.rescale_grad = self.rescale_grad
        optimizer.idx2name, optimizer.param_dict = self.idx2name, self.param_dict
        return optimizer

    def _warn_of_unmatched_groups(self, indices):
        one, unnamed = indices[0] if len(indices) == 1 else None, not (self.idx2name or self.param_dict)
        if unnamed and isinstance(one, str) and one not in self._index_update_count:
            return  # names arrive one by one: judge when the first one comes round again
        self._unmatched_groups = False
        known = [
            self._name(i) for i in (*self.idx2name, *self.param_dict, *self._index_update_count, *indices)
        ]
        known = [name for name in dict.fromkeys(known) if isinstance(name, str)]
        for key, matched in multipliers.matches(self.groups, known).items():
            if not matched:
                cure = checks.nearest(key, known) or (
                    "; pass param_idx2name, which gives the indices names" if not known else ""
                )
                reason = "no name matches" if multipliers.is_pattern(key) else "no parameter has that name"
                warnings.warn(
                    f"there is a group {key!r}, but {reason}{cure}", UserWarning, stacklevel=checks.outside()
                )


def _changed(optimizer, key, given):
    """The optimizer of a group."""
    if not isinstance(given, dict):
        checks.optimizer(given)
        if not isinstance(given, Optimizer):
            raise TypeError(f"group {key!r} must be a dict of arguments or an Optimizer, got {given!r}")
        return given
    known = checks.arguments(type(optimizer))
    made = copy.deepcopy(optimizer)
    for name, value in given.items():
        if name not in known:
            raise checks.unknown_keywords(type(optimizer), {name: value})
        if name in _COMMON:
            raise ValueError(
                f"{name} must be the same for all groups, got {value!r} for group {key!r}; give it to the "
                "optimizer of the rest"
            )
        if name == "learning_rate":
            made.set_learning_rate(value)
        else:
            setattr(made, name, value)
    return made
