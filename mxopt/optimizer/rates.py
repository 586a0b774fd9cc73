"""What each tensor is updated with: learning rates, multipliers, weight decay, and update counts."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from .. import checks, kernels
from . import multipliers

#: Methods a subclass may override to change how rates are found; then each index is looked up separately.
RATE_METHODS = ("_get_lr", "_get_lrs", "_get_wd", "_get_wds", "_update_count", "_count_and_rates",
                "learning_rate")  # fmt: skip


class Rates:
    """The part of an optimizer that knows rates, multipliers and counts.

    A step asks `_ahead` for its numbers, which changes nothing. The changes that the step implies are in the
    ledger that `_ahead` returns, and are written together with the arrays.
    """

    lr: float
    wd: float
    lr_scheduler: Any
    lr_mult: dict[Any, float]
    wd_mult: dict[Any, float]
    idx2name: dict[Any, str]
    param_dict: dict[Any, Any]
    num_update: int
    begin_num_update: int
    sym_info: tuple[Any, ...]
    _index_update_count: dict[Any, int]
    _all_index_update_counts: dict[int, dict[Any, int]]

    #: Whether a subclass overrides one of `RATE_METHODS`.
    _own_rates = False
    #: Whether it overrides `check_rates`.
    _checks_rates = False
    #: Whether equal (t, lr, wd) may still give different scalars, tensor by tensor.
    scalars_differ = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_rates = any(getattr(cls, name) is not getattr(Rates, name) for name in RATE_METHODS)
        cls._checks_rates = cls.check_rates is not Rates.check_rates
        cls._rates_apart = cls._own_rates or cls._checks_rates

    #: Whether a step asks `Ledger.rate` for the learning rate itself, without multipliers.
    notes_rate = False
    #: Whether `_own_rates` or `_checks_rates` is true: one lookup instead of two.
    _rates_apart = False

    # -- the learning rate ---------------------------------------------------------------------------

    @property
    def learning_rate(self) -> float:
        """The scheduler's rate for `num_update`, or `lr` without a scheduler."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate.

        Parameters
        ----------
        lr : float
            The new rate.

        Raises
        ------
        UserWarning
            With a scheduler, which decides the rate (raised, as in MXNet).
        """
        if self.lr_scheduler is not None:
            raise UserWarning(
                "the learning rate is the scheduler's; change lr_scheduler.base_lr, or set "
                "lr_scheduler to None first"
            )
        lr = checks.number("learning_rate", lr)
        checks.rate_sign(lr)
        object.__setattr__(self, "lr", lr)  # judged already

    def set_lr_mult(self, args_lr_mult: dict[Any, float]) -> dict[str, list[str]]:
        """Set learning-rate multipliers.

        Parameters
        ----------
        args_lr_mult : dict of (int or str) to float
            By index, name, or pattern of names (``'*_bias'``). An exact name wins over patterns, the last
            matching pattern over earlier ones, and a parameter's own ``lr_mult`` (`param_dict`) over all.

        Returns
        -------
        dict of str to list of str
            The known names that each name or pattern matches so far.
        """
        self.lr_mult = self._multipliers("__lr_mult__", args_lr_mult)
        return self._matches(args_lr_mult)

    def set_wd_mult(self, args_wd_mult: dict[Any, float]) -> dict[str, list[str]]:
        """Set weight-decay multipliers, as `set_lr_mult`. No name is exempt from decay by default.

        Parameters
        ----------
        args_wd_mult : dict of (int or str) to float
            By index, name, or pattern of names.
        """
        self.wd_mult = self._multipliers("__wd_mult__", args_wd_mult)
        return self._matches(args_wd_mult)

    def _matches(self, given):
        names = {**self.idx2name, **{index: getattr(p, "name", None) for index, p in self.param_dict.items()}}
        return multipliers.matches(given, [*names.values(), *self._index_update_count])

    @property
    def sym(self):
        """What was kept of the symbol, for classes that query it again; None without one."""
        return _Symbol(*self.sym_info) if self.sym_info else None

    def _multipliers(self, attribute, given):
        self._unmatched_names = True
        self._found = {}
        known = {}
        if self.sym_info:
            attributes, names = self.sym_info
            for name in names:
                if attribute in attributes.get(name, ()):
                    known[name] = float(attributes[name][attribute])
        known.update(multipliers.checked(given, "multiplier"))
        return known

    def _mult(self, index, which):
        # First match wins: the parameter's own, by index, by name.
        if index in self.param_dict:
            return getattr(self.param_dict[index], which)
        given = getattr(self, which)
        if index in given:
            return given[index]
        name = self.idx2name.get(index, index)
        if name in given:
            return given[name]
        if not given or not isinstance(name, str):
            return 1.0
        # Scripts also write to the dict directly, or replace it.
        patterns = self._found.get(which)
        if patterns is None or not patterns.are_those_of(given):
            patterns = self._found[which] = multipliers.Patterns(given)
        key = patterns.of(name)
        return 1.0 if key is None else given[key]

    def _has_multipliers(self):
        if self.lr_mult or self.wd_mult:
            return True
        return any((owner.lr_mult, owner.wd_mult) != (1.0, 1.0) for owner in self.param_dict.values())

    def _get_lrs(self, indices: Any) -> list[float]:
        """Learning rates of several indices, multipliers applied."""
        lr = self.learning_rate
        return [lr * self._mult(index, "lr_mult") for index in indices]

    def _get_lr(self, index: Any) -> float:
        return self._get_lrs([index])[0]

    def _get_wds(self, indices: Any) -> list[float]:
        """Weight decays of several indices, multipliers applied."""
        return [self.wd * self._mult(index, "wd_mult") for index in indices]

    def _get_wd(self, index: Any) -> float:
        return self._get_wds([index])[0]

    def effective(self) -> dict[str, Any]:
        """What the next update of each known parameter will use, as a list of records that prints as a table.

        Returns
        -------
        list of `mxopt.optimizer.multipliers.Effective`

        Examples
        --------
        >>> import mxopt
        >>> names = {0: "fc_weight", 1: "fc_bias"}
        >>> opt = mxopt.create("sgd", learning_rate=0.1, wd=0.01, param_idx2name=names)
        >>> opt.set_wd_mult({"*_bias": 0})
        {'*_bias': ['fc_bias']}
        >>> opt.effective()
        index  name       lr   wd    lr_mult  wd_mult  count
        0      fc_weight  0.1  0.01  1        1        0
        1      fc_bias    0.1  0     1        0        0
        """
        return multipliers.effective(self)

    def _set_current_device(self, device_id):
        """Count on the device with this number from now on."""
        self._index_update_count = self._all_index_update_counts.setdefault(device_id, {})

    _set_current_context = _set_current_device

    def _update_count(self, index: Any) -> None:
        """Count one update of an index, or of each of a list."""
        for idx in index if isinstance(index, (list, tuple)) else [index]:
            count = self._index_update_count.get(idx, self.begin_num_update) + 1
            self._index_update_count[idx] = count
            self.num_update = max(self.num_update, count)

    _ahead = kernels.ahead

    def _ahead_apart(self, indices, ledger):
        """The rates of a call that `_ahead` has no shortcut for."""
        apart, t, scheduler = self._rates_apart, ledger.t, self.lr_scheduler
        if t is None and ledger.twice:
            raise checks.duplicate_index(self, indices)
        one_by_one = t is None or self.scalars_differ
        if not one_by_one and (self.lr_mult or self.wd_mult or self.param_dict):
            one_by_one = self._has_multipliers()
        if one_by_one and self._unmatched_names and (self.lr_mult or self.wd_mult):
            self._warn_of_unmatched_names(indices, ledger)
        if scheduler is None:
            rates = self._rates(indices, ledger, one_by_one)
        else:
            memory = kernels.remember(scheduler)
            try:
                rates = self._rates(indices, ledger, one_by_one)
                ledger.schedule = kernels.put_back(memory)
            except BaseException:
                kernels.put_back(memory)
                raise
        if apart and self._checks_rates:
            self._check_all_rates(indices, rates)
        return rates

    def _rates(self, indices, ledger, one_by_one):
        """(t, lr, wd) of each index, in order; `ledger.number` becomes the new `num_update`."""
        number, lr, wd = self.num_update, self.lr, self.wd
        scheduler = self.lr_scheduler
        if not one_by_one:
            t = ledger.t
            if t > number:
                ledger.number = number = t
            ledger.rate = lr if scheduler is None else scheduler(number)
            return [(t, ledger.rate, wd)]
        base, rates, owners = None, [], self.param_dict
        for position, index in enumerate(indices):
            t = ledger.count_of(position)
            if t > number or base is None:
                number = max(number, t)
                base = lr if scheduler is None else scheduler(number)
            owner = owners.get(index) if owners else None
            if owner is not None:  # its own multipliers win
                rates.append((t, base * owner.lr_mult, wd * owner.wd_mult))
            else:
                rates.append((t, base * self._mult(index, "lr_mult"), wd * self._mult(index, "wd_mult")))
        if number > self.num_update:
            ledger.number = number
        ledger.rate = base
        return rates

    def _ahead_by_own_rates(self, indices):
        # A subclass overrides the methods: call them as MXNet does, which counts, then take the counts back.
        if len(set(indices)) < len(indices):
            raise checks.duplicate_index(self, indices)
        counts, number, scheduler = self._index_update_count, self.num_update, self.lr_scheduler
        missing = object()
        memory = [] if scheduler is None else kernels.remember(scheduler)
        memory.append((counts, {index: counts.get(index, missing) for index in indices}))

        def take_back():
            schedule = kernels.put_back(memory[:-1])
            kernels.restore(*memory[-1], missing)
            self.num_update = number
            return schedule

        try:
            if self._unmatched_names and (self.lr_mult or self.wd_mult):
                self._warn_of_unmatched_names(indices, kernels.Ledger(counts, indices, self.begin_num_update))
            rates = []
            for index in indices:
                lr, wd = self._count_and_rates(index)
                rates.append((counts[index], float(lr), float(wd)))
            ledger = kernels.Ledger({}, (), 0, self)
            ledger.number = self.num_update
            if self.notes_rate:
                ledger.rate = self.learning_rate
            # No comprehension: Python 3.13 lets what is raised in an inlined one pass the handler below.
            ledger.added = [(counts, dict(zip(indices, map(counts.get, indices))))]
            ledger.schedule = take_back()
        except BaseException:
            take_back()
            raise
        if self._checks_rates:
            self._check_all_rates(indices, rates)
        return rates, ledger

    def _check_all_rates(self, indices, rates):
        for index, (_, lr, wd) in zip(indices, rates if len(rates) == len(indices) else rates * len(indices)):
            self.check_rates(index, lr, wd)

    def check_rates(self, index, lr, wd):
        """Raise if the update cannot work with these rates of a tensor; nothing has changed yet.

        Parameters
        ----------
        index : int or str
            The index, for the message.
        lr : float
            The learning rate.
        wd : float
            The weight decay.
        """

    def _count_and_rates(self, index):
        """Count one update of an index and find its learning rate and weight decay."""
        self._update_count(index)
        return self._get_lr(index), self._get_wd(index)

    def _warn_of_unmatched_names(self, indices, ledger):
        """Warn at the first update about multipliers that will never be used: no parameter has the name, or
        the one that has it has its own multiplier.
        """
        unnamed = not self.idx2name and not self.param_dict
        if unnamed and len(indices) == 1 and ledger.fresh and isinstance(indices[0], str):
            return  # names arrive one by one: judge when the first one comes round again
        self._unmatched_names = False
        names = {*self.idx2name.values(), *self._index_update_count, *indices}
        owners = {getattr(p, "name", None) for p in self.param_dict.values()}
        names |= owners
        if self.sym_info:
            names.update(self.sym_info[1])
        known_indices = {*self.idx2name, *self.param_dict, *self._index_update_count, *indices}
        for kind, given in (("lr_mult", self.lr_mult), ("wd_mult", self.wd_mult)):
            for key in () if unnamed else given.keys() - known_indices:
                if not isinstance(key, str):
                    warnings.warn(
                        f"{kind} is set for index {key!r}, but no parameter has that index",
                        UserWarning,
                        stacklevel=checks.outside(),
                    )
            for key, matched in multipliers.matches(given, names).items():
                own = sorted(owners.intersection(matched))
                if own:
                    warnings.warn(
                        f"{kind} is set for {key!r}, but parameter {own[0]!r} has its own, which wins; set "
                        f"that, or use Trainer.set_{kind}",
                        UserWarning,
                        stacklevel=checks.outside(),
                    )
                if not matched:
                    known = [n for n in names if isinstance(n, str)]
                    cure = checks.nearest(key, known) or (
                        "; pass param_idx2name, which gives the indices names" if not known else ""
                    )
                    reason = (
                        "no name matches" if multipliers.is_pattern(key) else "no parameter has that name"
                    )
                    warnings.warn(
                        f"{kind} is set for {key!r}, but {reason}{cure}",
                        UserWarning,
                        stacklevel=checks.outside(),
                    )


class _Symbol(NamedTuple):
    """The two answers of a symbol that an optimizer keeps."""

    attributes: dict
    arguments: list

    def attr_dict(self):
        return self.attributes

    def list_arguments(self):
        return self.arguments
