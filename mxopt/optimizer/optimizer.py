"""The optimizer protocol: rates, multipliers, counts, and the way from `update` to a rule or to NumPy."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import checks, kernels, reprs, slots
from ..arrays import as_array, zeros_like
from ..dialects import V2
from ..lr_scheduler import LRScheduler
from ..sparse import RowSparseArray, all_finite, as_gradient
from . import multipliers

#: What a subclass may override to change how rates are found; then every index is asked for separately.
_RATE_METHODS = ("_get_lr", "_get_lrs", "_get_wd", "_get_wds", "_update_count", "_count_and_rates",
                 "learning_rate")  # fmt: skip

#: What a class of the user's own overrides to step otherwise; see `Optimizer.built_in`.
_PROTOCOL = ("update", "update_multi_precision", "step", "fused_step", "create_state",
             "create_state_multi_precision")  # fmt: skip


def is_half(dtype):
    """Whether a dtype has 16 bits, so that `multi_precision` gives it a float32 master."""
    return dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")


class Optimizer:
    """Base class of all optimizers.

    An optimizer of one's own derives from it, is entered with `register`, and overrides `create_state` and
    either ``update(index, weight, grad, state)`` (the 1.x form, one tensor) or
    ``step(indices, weights, grads, states)`` (the 2.x form, lists).

    Parameters
    ----------
    rescale_grad : float, default 1.0
        Every gradient is multiplied by it first; often 1/batch_size.
    param_idx2name : dict of int to str, optional
        Names of the indices, by which multipliers and messages know them.
    wd : float, default 0.0
        Weight decay.
    clip_gradient : float, optional
        Limit every element of the rescaled gradient to [-clip_gradient, clip_gradient]. None, 0 and negative
        numbers mean no clipping.
    learning_rate : float, optional
        The learning rate. None: the scheduler's ``base_lr``, or 0.01 without a scheduler. Given together
        with a scheduler it replaces the scheduler's ``base_lr``.
    lr_scheduler : LRScheduler, optional
        Called with `num_update`, gives the learning rate.
    sym : object, optional
        Anything with ``attr_dict()`` and ``list_arguments()``; its attributes ``__lr_mult__`` and
        ``__wd_mult__`` are multipliers.
    begin_num_update : int, default 0
        Where the update counts of new indices start.
    multi_precision : bool, default False
        Keep a float32 master copy of float16 and bfloat16 weights.
    param_dict : dict, optional
        Parameters by index; their ``lr_mult`` and ``wd_mult`` win over all others.
    aggregate_num : int, optional
        How many tensors a user's own class is handed at a time. Built-in classes always take a whole list in
        one fused call; the bits are the same.
    use_fused_step : bool, optional
        Run the compiled rule (`fused_step`) rather than NumPy (`step`).
    skip_nonfinite : bool, default False
        A call in which any gradient holds an infinity or a NaN changes nothing - weights, states and counts
        stay as they are - and is counted in `skipped`. Costs one more look at the gradients.

    Attributes
    ----------
    lr, wd, rescale_grad, clip_gradient, lr_scheduler, num_update, begin_num_update, lr_mult, wd_mult,
    idx2name, param_dict, sym_info, multi_precision, aggregate_num, use_fused_step
        As in MXNet.
    skip_nonfinite : bool
        May be set at any time.
    skipped : int
        How many calls were skipped because a gradient was not finite.
    """

    dialect = V2
    opt_registry = V2.registry.classes

    #: Whether the whole protocol is mxopt's own, so that an updater hands over plain arrays and whole lists.
    #: A subclass of a built-in class stays one as long as it overrides rates and scalars only.
    built_in = True

    #: Names of the rules in mxopt.kernels that this class runs, one pass each (see `passes`). The last one
    #: names all arrays; those before it may end with the gradient.
    rules: tuple[str, ...] = ()
    #: The arrays of a state, in order; `create_state`, `state_names` and files follow from them.
    state_slots: tuple[slots.StateSlot, ...] = ()
    #: Whether a state of one array is a tuple of one, too.
    states_in_tuple = False
    #: The scalars' names, in the order of `scalars`; checked against the rules when the class is registered.
    scalar_names: tuple[str, ...] = ("lr", "wd", "rescale_grad", "clip_gradient")
    #: Those of the scalars that MXNet hands its operator as text (see `mxopt.kernels.as_read_by_mxnet`).
    text_scalars: tuple[str, ...] = ()
    #: The bias corrections 1 - beta**t among the scalars, and their betas; in float32 by powf.
    corrections: dict[str, str] = {}
    #: Where the master copy stands in the state pair of a 16-bit weight.
    master_position = 0
    #: Attributes that steps move on, saved with the states like the counts, and the function that judges one
    #: that comes from a file: the value, or an error. Where a value is a dict, it is one by index. A class of
    #: the user's own may name them only.
    progress: dict[str, Callable] | tuple[str, ...] = {}
    #: The attributes that a dialect calls otherwise than 2.x: {2.x's name: its own}.
    renamed: dict[str, str] = {}
    #: Whether a fused step is lazy when `lazy_update` is not given, as MXNet's row-sparse kernel is.
    lazy_by_default = False
    #: Whether MXNet chooses the lazy update by the storage of the weight: row-sparse ones are updated lazily.
    lazy_on_stored_rows = False
    #: Why lazy_update=True is refused, for classes whose update is not local to a row.
    not_lazy_because: str | None = None

    #: Fills an array with the drawn input of rules that have one (noise).
    _draw: Callable[[np.ndarray], None] | None = None

    def _noise(self, n):
        """The (key, place) of `n` normal numbers that the kernel makes itself; None: `_draw` fills arrays."""

    #: Whether weight decay is clipped together with the gradient (see `_decayed`).
    clips_decay = False

    #: While the tensors of a call are parts of larger ones: knows the rest of them
    #: (`mxopt.distributed.sharded`).
    _whole = None

    skip_nonfinite = False
    skipped = 0
    lazy_update = False
    _aggregate_num = 1

    def __init__(
        self,
        rescale_grad: float = 1.0,
        param_idx2name: dict[Any, str] | None = None,
        wd: float = 0.0,
        clip_gradient: float | None = None,
        learning_rate: float | None = None,
        lr_scheduler: Any = None,
        sym: Any = None,
        begin_num_update: int = 0,
        multi_precision: bool = False,
        param_dict: dict[Any, Any] | None = None,
        aggregate_num: float | None = None,
        use_fused_step: bool | None = None,
        skip_nonfinite: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise checks.unknown_keywords(type(self), kwargs)
        if skip_nonfinite:  # MXNet's attributes, and this one only where it is used
            self.skip_nonfinite = True
        if param_idx2name is None:
            param_idx2name = {}
        if not isinstance(param_idx2name, dict):
            raise TypeError(
                f"param_idx2name must be a dict of indices to names, got {type(param_idx2name).__name__}"
            )
        if isinstance(rescale_grad, str):  # an array is welcome
            checks.number("rescale_grad", rescale_grad)
        self.rescale_grad = rescale_grad
        self.lr_scheduler = lr_scheduler
        learning_rate = checks.optional_number("learning_rate", learning_rate)
        checks.rate_sign(learning_rate)
        if lr_scheduler is None:
            self.lr = 0.01 if learning_rate is None else learning_rate
        else:
            if not callable(lr_scheduler):
                raise TypeError(
                    "lr_scheduler must be a scheduler, called with the number of updates, got "
                    f"{lr_scheduler!r}; make one with lr_scheduler.create(name, ...)"
                )
            self.lr = learning_rate
            # a plain function has no base_lr to replace
            base_lr = getattr(lr_scheduler, "base_lr", learning_rate)
            if learning_rate is not None and base_lr != learning_rate:
                warnings.warn(
                    f"learning_rate={learning_rate:g} replaces base_lr={base_lr:g} of the "
                    "scheduler; pass learning_rate=None to keep the scheduler's",
                    UserWarning,
                    stacklevel=checks.outside(),
                )
                lr_scheduler.base_lr = learning_rate
        self.wd = checks.number("wd", wd)
        self.clip_gradient = checks.optional_number("clip_gradient", clip_gradient)
        if isinstance(begin_num_update, np.integer):  # which would round powers otherwise than a Python int
            begin_num_update = int(begin_num_update)
        self.begin_num_update = begin_num_update
        self.num_update = begin_num_update
        if begin_num_update and isinstance(lr_scheduler, LRScheduler):
            lr_scheduler._begin_at(begin_num_update)
        self._all_index_update_counts: dict[int, dict[Any, int]] = {0: {}}
        self._index_update_count = self._all_index_update_counts[0]
        self.multi_precision = multi_precision
        self.aggregate_num = self._aggregate_num if aggregate_num is None else aggregate_num
        self.use_fused_step = bool(use_fused_step)
        self.idx2name = param_idx2name.copy()
        self.sym_info = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.param_dict = param_dict if param_dict else {}
        self.allow_np_array = True
        self.lr_mult: dict[Any, float] = {}
        self.wd_mult: dict[Any, float] = {}
        self.set_lr_mult({})
        self.set_wd_mult({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.built_in = False  # until its methods are found elsewhere, or `Dialect.fill` says so
        cls.built_in = all(map(cls._has_built_in, _PROTOCOL))
        cls._own_rates = any(getattr(cls, name) is not getattr(Optimizer, name) for name in _RATE_METHODS)
        cls._runs_own_rules = cls.update is Optimizer.update and bool(cls.rules)
        cls._snapshots = cls._snapshot is not Optimizer._snapshot
        cls._checks_rates = cls.check_rates is not Optimizer.check_rates
        cls._rates_apart = cls._own_rates or cls._snapshots or cls._checks_rates or bool(cls.scalars_differ)
        cls.takes_lists = _takes_lists(cls)
        cls.declares_states = cls.create_state is Optimizer.create_state
        cls._texts = tuple(name in cls.text_scalars for name in cls.scalar_names)
        cls._corrections = tuple(tuple(map(cls.scalar_names.index, pair)) for pair in cls.corrections.items())

    @classmethod
    def _has_built_in(cls, method):
        """Whether a method comes from one of mxopt's own classes."""
        author = next(base for base in cls.__mro__ if method in vars(base))
        return vars(author).get("built_in", False)

    #: Whether `update` is a built-in one, which knows state pairs itself.
    _runs_own_rules = False
    _own_rates = False
    _snapshots = False
    _checks_rates = False
    _rates_apart = False
    takes_lists = True
    #: Whether MXNet 1.9 hands `update_multi_precision` tuples of tensors, whatever its parameters are called.
    aggregates = False
    #: Whether `state_slots` says how states are built, rather than a `create_state` of the class's own.
    declares_states = True
    _texts: tuple[bool, ...] = (False,) * 4
    _corrections: tuple[tuple[int, ...], ...] = ()

    @property
    def _read_as_text(self):
        return self._texts

    def __repr__(self):
        return reprs.optimizer_text(self)

    def _repr_html_(self):
        return reprs.optimizer_html(self)

    def __getstate__(self):
        unsaved = ("param_dict", "step_callbacks", "_found", "_whole")
        return {name: value for name, value in vars(self).items() if name not in unsaved}

    def __setstate__(self, state):
        vars(self).update(state)
        self.param_dict = {}
        self._found = {}

    def __copy__(self):
        made = type(self).__new__(type(self))
        made.__setstate__(self.__getstate__())
        made.param_dict = self.param_dict
        return made

    def __deepcopy__(self, memo):
        # Parameters are not the optimizer's to copy: the copy of a trainer has copies of them already, and
        # the copy of an optimizer or updater reads its multipliers from the same ones.
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        made.param_dict = {key: memo.get(id(one), one) for key, one in self.param_dict.items()}
        return made

    # -- the registry --------------------------------------------------------------------------------

    register = staticmethod(V2.registry.register)
    create_optimizer = staticmethod(V2.registry.create)

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
        self.lr = lr

    def set_lr_mult(self, args_lr_mult: dict[Any, float]) -> dict[str, list[str]]:
        """Set learning-rate multipliers.

        Parameters
        ----------
        args_lr_mult : dict of (int or str) to float
            By index, name, or pattern of names (``'*_bias'``). A name's own entry wins over patterns, the
            last pattern that matches over others, a parameter's own ``lr_mult`` (`param_dict`) over all.

        Returns
        -------
        dict of str to list of str
            The names that each name or pattern stands for, as far as they are known yet.
        """
        self.lr_mult = self._multipliers("__lr_mult__", args_lr_mult)
        return self._matches(args_lr_mult)

    def set_wd_mult(self, args_wd_mult: dict[Any, float]) -> dict[str, list[str]]:
        """Set weight-decay multipliers; as `set_lr_mult`. Nothing is exempt from decay by its name.

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
        """What was known of the symbol, for classes that ask it again; None without one."""
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
        # Scripts also write to the dict, or put another in its place.
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
        """Learning rates of some indices, multipliers applied."""
        lr = self.learning_rate
        return [lr * self._mult(index, "lr_mult") for index in indices]

    def _get_lr(self, index: Any) -> float:
        return self._get_lrs([index])[0]

    def _get_wds(self, indices: Any) -> list[float]:
        """Weight decays of some indices, multipliers applied."""
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

    #: Called by the updater after each of its calls.
    step_callbacks = ()

    def add_step_callback(self, callback):
        """Have ``callback(optimizer, indices)`` called after each call of the updater, for instance to log.

        Returns
        -------
        callable
            The callback itself, so that this works as a decorator.
        """
        if not callable(callback):
            raise TypeError(f"a callback must be callable as callback(optimizer, indices), got {callback!r}")
        self.step_callbacks = (*self.step_callbacks, callback)
        return callback

    # -- update counts -------------------------------------------------------------------------------

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

    def _tick(self, indices, make, plan=None):
        """Count one update of each index, find its rates, and return ``make(rates)``.

        Every tensor is counted before its own rate is read, one after the other, so that a list gives what
        single calls give. If anything fails (a scheduler of the user's, a rate that is not finite) the
        counts and the scheduler are as before.

        Parameters
        ----------
        indices : list
        make : callable
            Takes a list of (t, lr, wd), one per index, or one for all when they are the same.
        plan : kernels.Plan, optional
            What is to run then; refused if one of its arrays was resized meanwhile.
        """
        counts, number, scheduler = self._index_update_count, self.num_update, self.lr_scheduler
        schedule = own = None
        apart = self._rates_apart  # one attribute of the class, not four: 30 ns each
        if scheduler is not None and hasattr(scheduler, "__dict__"):
            schedule = dict(vars(scheduler))
        if apart and self._snapshots:
            own = self._snapshot()
        before, t = kernels.count_up(counts, indices, self.begin_num_update)
        try:
            if t is None:  # an index that stands twice has two counts
                error = checks.duplicate_index(self, indices) if len(set(indices)) < len(before) else None
                if error is not None:
                    raise error
            one_by_one = t is None or (apart and (self._own_rates or self.scalars_differ))
            if not one_by_one and (self.lr_mult or self.wd_mult or self.param_dict):
                one_by_one = self._has_multipliers()
            if one_by_one:
                rates = self._rates(indices, counts, before)
            else:
                if t > number:
                    self.num_update = t
                rates = [(t, self.lr if scheduler is None else self.learning_rate, self.wd)]
            if apart and self._checks_rates:
                for index, (_, lr, wd) in zip(indices, rates):
                    self.check_rates(index, lr, wd)
            made = make(rates)
            if plan is not None and (scheduler is not None or apart or not self.built_in):
                plan.compare()  # after code that may be the user's
            return made
        except BaseException as error:
            self._take_back(indices, counts, before)
            self.num_update = number
            if schedule is not None:
                vars(scheduler).clear()
                vars(scheduler).update(schedule)
            if self._snapshots:
                self._restore(own)
            if isinstance(error, kernels.Refused):
                raise checks.refused(error, self, indices, (), (), ()) from None
            raise

    @staticmethod
    def _take_back(indices, counts, before):
        for index, count in reversed(list(zip(indices, before))):
            if count is None:
                counts.pop(index, None)
            else:
                counts[index] = count

    def _table(self, rates):
        """Scalars of some (t, lr, wd).

        Returns
        -------
        tuple
            (table; each tensor's row of it, None: one row for all; the table for float32, None: the same)
        """
        if len(rates) == 1:
            t, lr, wd = rates[0]
            row, single = self._row(t, lr, wd)
            return [row], None, (None if single is row else [single])
        seen, table, singles, rows, differ = {}, [], [], [], False
        for rate in rates:
            at = None if self.scalars_differ else seen.get(rate)
            if at is None:
                at = seen[rate] = len(table)
                row, single = self._row(*rate)
                table.append(row)
                singles.append(single)
                differ = differ or single is not row
            rows.append(at)
        return table, (np.array(rows, np.int32) if len(table) > 1 else None), (singles if differ else None)

    def _row(self, t, lr, wd):
        """The scalars of one (t, lr, wd), checked, and those for float32 (the same where they agree)."""
        row = self.scalars(t, lr, wd)
        try:
            single = kernels.read_row(row, self._read_as_text, self._corrections, t)
        except TypeError:  # something was set later to an array of one element, or to no number at all
            row = checks.plain_scalars(self.scalar_names, row)
            single = kernels.read_row(row, self._read_as_text, self._corrections, t)
        if single is None:
            checks.scalars(self.scalar_names, row)
            single = kernels.read_row(row, self._read_as_text, self._corrections, t, True)
        return row, single

    def check_rates(self, index, lr, wd):
        """Refuse, by raising, the rates of a tensor that the update cannot take; nothing has changed yet.

        Parameters
        ----------
        index : int or str
            The index, for the message.
        lr : float
            The learning rate.
        wd : float
            The weight decay.
        """

    #: Whether equal (t, lr, wd) may still give different scalars, tensor by tensor.
    scalars_differ = False

    def _snapshot(self):
        """What of the optimizer's own attributes `scalars` changes, to go back to after an error."""

    def _restore(self, snapshot):
        """Undo what `scalars` changed since `_snapshot`."""

    def _count_and_rates(self, index):
        """Count one update of an index and find its learning rate and weight decay."""
        self._update_count(index)
        return self._get_lr(index), self._get_wd(index)

    def _rates(self, indices, counts, before):
        """(t, lr, wd) of each index, in order, after counting."""
        if self._unmatched_names and (self.lr_mult or self.wd_mult):
            self._warn_of_unmatched_names(indices, before)
        if self._own_rates:
            # A subclass has its own idea: make the calls that MXNet makes.
            self._take_back(indices, counts, before)
            rates = []
            for index in indices:
                lr, wd = self._count_and_rates(index)
                rates.append((counts[index], float(lr), float(wd)))
            return rates
        base, wd, rates, owners = None, self.wd, [], self.param_dict
        for index in indices:
            t = counts[index]
            if t > self.num_update or base is None:
                self.num_update = max(self.num_update, t)
                base = self.learning_rate
            owner = owners.get(index) if owners else None
            if owner is not None:  # its own win
                rates.append((t, base * owner.lr_mult, wd * owner.wd_mult))
            else:
                rates.append((t, base * self._mult(index, "lr_mult"), wd * self._mult(index, "wd_mult")))
        return rates

    def _warn_of_unmatched_names(self, indices, before):
        """Say at the first update which multipliers will never be used: nobody bears the name, or a parameter
        that bears it has a multiplier of its own.
        """
        unnamed = not self.idx2name and not self.param_dict
        if unnamed and len(indices) == 1 and before[0] is None and isinstance(indices[0], str):
            return  # names arrive one by one: judge when the first of them returns
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
                    bears = "no name matches" if multipliers.is_pattern(key) else "no parameter has that name"
                    warnings.warn(
                        f"{kind} is set for {key!r}, but {bears}{cure}",
                        UserWarning,
                        stacklevel=checks.outside(),
                    )

    # -- states --------------------------------------------------------------------------------------

    def create_state(self, index: Any, weight: Any) -> Any:
        """Make the state of one weight: None, an array, or a tuple of arrays, as `state_slots` declares them.

        Optimizers of one's own declare their arrays there, or override this.

        Parameters
        ----------
        index : int or str
        weight : ndarray
        """
        weight = self._as_states_see(weight)
        self.check_weight(index, weight)
        return slots.create(self, weight)

    #: Whether states of a row-sparse weight are row-sparse, as MXNet makes them.
    states_have_rows = False

    def _as_states_see(self, weight):
        """A weight as its states are made from it: of a row-sparse one all rows."""
        if isinstance(weight, RowSparseArray):
            from ..nd import stored_rows

            weight = stored_rows(weight)
        if getattr(weight, "stype", "default") == "row_sparse" and not self.states_have_rows:
            from ..nd import NDArray

            weight = weight.view(NDArray)
        return weight

    @property
    def state_names(self):
        """The names of a state's arrays, in order; also of those in whose place there is None."""
        return slots.names(self)

    def check_weight(self, index, weight):
        """Refuse, by raising, a weight that the update cannot take; nothing has changed yet.

        Parameters
        ----------
        index : int or str
            What the updater knows the weight by.
        weight : ndarray
            The weight.
        """

    def create_state_multi_precision(self, index: Any, weight: Any) -> Any:
        """Make the state of one weight; `multi_precision` gives a 16-bit one (float32 master, state).

        Parameters
        ----------
        index : int or str
            What the updater knows the weight by.
        weight : ndarray
            The weight; only its shape and dtype matter.
        """
        if isinstance(weight, RowSparseArray) and type(self).built_in:
            weight = self._as_states_see(weight)
        if is_half(weight.dtype):
            if self.multi_precision:
                master = zeros_like(weight, np.float32)
                master[...] = weight
                master = slots.like(weight, master)
                pair = (master, self.create_state(index, master))
                return pair if self.master_position == 0 else pair[::-1]
            if not getattr(self, "_warned_of_half", False):
                self._warned_of_half = True
                warnings.warn(
                    f"states of {weight.dtype} weights accumulate in {weight.dtype} and lose small updates; "
                    "multi_precision=True keeps a float32 master",
                    UserWarning,
                    stacklevel=checks.outside(),
                )
        return self.create_state(index, weight)

    def _keep_moments(self, beta1, beta2, epsilon):
        """Check and keep what optimizers with two moments are told."""
        self.beta1 = checks.number("beta1", beta1, 0, 1, open_high=True)
        self.beta2 = checks.number("beta2", beta2, 0, 1, open_high=True)
        self.epsilon = checks.number("epsilon", epsilon, 0)

    # -- updates -------------------------------------------------------------------------------------

    @property
    def passes(self):
        """Names of the rules that `fused_step` runs now, one after the other."""
        return self.rules

    def scalars(self, t, lr, wd):
        """The scalars of one tensor's rule, in the order of `scalar_names`.

        Parameters
        ----------
        t : int
            Its update count, this update included.
        lr, wd : float
            Its learning rate and weight decay, multipliers applied.
        """
        return lr, wd, self._rescale, self._clip

    @property
    def _rescale(self):
        """`rescale_grad` as a float; MXNet's AdamW leaves a one-element array there."""
        rescale = self.rescale_grad
        if type(rescale) is float:
            return rescale
        return float(rescale.item() if hasattr(rescale, "item") else rescale)

    @property
    def _clip(self):
        """The bound of clipping; infinite: none."""
        clip = self.clip_gradient
        try:
            if clip is not None and clip > 0:
                return clip
        except (TypeError, ValueError):
            pass
        checks.optional_number("clip_gradient", clip)
        return math.inf

    def between(self, indices, rule, sums, table, rows, singles):
        """Scalars for the next pass (optimizers with norms): every tensor's sums under their names.

        Parameters
        ----------
        indices : list
        rule : Rule
            What has run.
        sums : float64 array (number of tensors, number of sums)
        table, rows, singles
            As from `_table`.

        Returns
        -------
        tuple
            (table, rows, singles) with one row a tensor.
        """
        columns = [self.scalar_names.index(name) for name in rule.sums]

        def with_sums(table):
            table = np.array(table)[np.zeros(len(sums), np.int32) if rows is None else rows]
            table[:, columns] = sums
            return table

        return (
            with_sums(table),
            np.arange(len(sums), dtype=np.int32),
            None if singles is None else with_sums(singles),
        )

    def update(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update weights in place: by `fused_step` when `use_fused_step`, else by `step`.

        Parameters
        ----------
        indices : int, str, or list of them
            One index with one weight, gradient and state (MXNet 1.x), or lists of them (2.x).
        weights : ndarray or list of ndarray
            float32, float64, float16 or bfloat16; written in place.
        grads : ndarray, RowSparseArray, or list of them
            Never written.
        states : state or list of states
            From `create_state_multi_precision`; written in place.
        """
        if not isinstance(indices, (list, tuple)):
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        if self.use_fused_step:
            self.fused_step(indices, weights, grads, states)
        else:
            self.step(indices, weights, grads, states)

    def update_multi_precision(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update weights in place, through their float32 masters where they have them; as `update`.

        Parameters
        ----------
        indices : list of (int or str)
            What the updater knows the weights by.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state` made it; written in place.
        """
        if self._runs_own_rules or not self.multi_precision:
            self.update(indices, weights, grads, states)
            return
        single = not isinstance(indices, (list, tuple))
        if single:
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        mains, main_grads, main_states = [], [], []
        for weight, grad, state in zip(weights, grads, states):
            if is_half(weight.dtype):
                master, state = state if self.master_position == 0 else state[::-1]
                mains.append(master)
                main_grads.append(grad.astype(np.float32))
            else:
                mains.append(weight)
                main_grads.append(grad)
            main_states.append(state)
        if single:
            self.update(indices[0], mains[0], main_grads[0], main_states[0])
        else:
            self.update(indices, mains, main_grads, main_states)
        for weight, main in zip(weights, mains):
            if weight is not main:
                weight[...] = main.astype(weight.dtype)

    def fused_step(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update by the compiled rules; arguments as lists, as in `update`.

        Everything is checked before anything changes, and one call serves the whole list.

        Parameters
        ----------
        indices : list of (int or str)
            What the updater knows the weights by.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state` made it; written in place.
        """
        if not self.rules:
            self.step(indices, weights, grads, states)
            return
        control = kernels.take_control()  # scalars must not depend on how the caller's thread rounds
        try:
            self._run_passes(indices, weights, grads, states)
        finally:
            kernels.give_back(control)

    def _run_passes(self, indices, weights, grads, states):
        names = self.passes
        last, norms = kernels.RULES[names[-1]], len(names) > 1
        plan = whole = self._plan(indices, weights, grads, states, last, None, norms)
        if norms and self.lazy_update:
            # Norms are of whole tensors, whatever rows are updated.
            whole = self._plan(indices, weights, grads, states, last, lazy=False, ordered=True)
        if not indices or (self.skip_nonfinite and self._skips(plan.finite())):
            return
        table, rows, singles = self._tick(indices, self._table, plan)
        if plan.by_rows:
            table, rows, singles = self._table_by_rows(plan.by_rows, table, rows, singles)
        if norms:
            for name in names[:-1]:
                rule = kernels.RULES[name]
                sums = whole.run(rule, table, rows, singles)
                table, rows, singles = self.between(indices, rule, sums, table, rows, singles)
        noise = None if self._draw is None else self._noise(plan.elements)
        plan.run(last, table, rows, singles, self._draw, noise)

    def _table_by_rows(self, by_rows, table, rows, singles):
        """Scalars, as from `_table`, when some tensors (`by_rows`: which) are updated by rows."""
        return table, rows, singles

    def _skips(self, finite):
        """Whether to skip a call (see `skip_nonfinite`); counts it."""
        if self._whole is not None:
            finite = self._whole.finite(finite)
        if not finite:
            self.skipped += 1
        return not finite

    def _plan(self, indices, weights, grads, states, rule, lazy=None, ordered=False):
        """Check the arguments of a call and describe it to the engine; nothing is changed."""
        if type(weights) is not list or type(grads) is not list or type(states) is not list:
            weights, grads, states = list(weights), list(grads), list(states)
        if len(indices) != len(weights):  # the engine counts the others
            raise checks.refused(kernels.Refused("lengths", -1, 0), self, indices, weights, grads, states)
        rows = None
        while True:
            try:
                plan = kernels.Plan(
                    rule,
                    weights,
                    grads,
                    states,
                    self.master_position if self.multi_precision else -1,
                    rows,
                    self.lazy_update if lazy is None else lazy,
                    ordered,
                )
                if self._whole is not None:
                    plan.are_parts(self._whole.sizes, self._whole.sums)
                return plan
            except kernels.Refused as error:
                if error.args[0] == "array" and rows is None:
                    if lazy is None and self.lazy_on_stored_rows and not self.lazy_update:
                        lazy = _stored_as_rows(weights)
                    # Something is not an ndarray: row-sparse gradients, arrays of other libraries.
                    weights = [_view(w, "weight", self, i) for w, i in zip(weights, indices)]
                    grads = [_gradient(g, self, i) for g, i in zip(grads, indices)]
                    rows = [self._rows_of(g, w, i) for g, w, i in zip(grads, weights, indices)]
                    grads = [g.data if isinstance(g, RowSparseArray) else g for g in grads]
                    continue
                names = [array for array in rule.arrays[2:] if array != "-"] or None
                refused = checks.refused(error, self, indices, weights, grads, states, names)
            raise refused

    def _rows_of(self, grad, weight, index):
        if not isinstance(grad, RowSparseArray):
            return None
        if grad.shape != weight.shape:
            raise checks.gradient_shape(self, index, weight, grad)
        return grad.indices

    def step(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update by NumPy; arguments as lists, as in `update`.

        The readable form of the rule. Optimizers of one's own override it (2.x) or `update` (1.x).

        Parameters
        ----------
        indices : list of (int or str)
            What the updater knows the weights by.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state` made it; written in place.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor update")

    def _each(self, indices, weights, grads, states):
        """Check and count a call, then give each tensor to `step` as plain dense arrays.

        16-bit weights and states are given as float32 copies (or the master), and written back after
        each turn: `step` computes in float32 and rounds once, like the rules.

        Yields
        ------
        tuple
            (weight, gradient, state, t, lr, wd); the gradient is the caller's own array when it is dense.
        """
        plan_rule = kernels.RULES[self.passes[-1]] if self.rules else None
        grads = [_gradient(g, self, i) for g, i in zip(grads, indices)]
        lazy = self.lazy_update and not self.lazy_by_default
        if lazy and any(isinstance(g, RowSparseArray) for g in grads):
            raise ValueError("lazy_update needs use_fused_step=True: step() makes the standard update")
        plan = None
        if plan_rule is not None:
            plan = self._plan(indices, weights, grads, states, plan_rule, lazy=False)
        if self.skip_nonfinite and self._skips(all_finite(grads) if plan is None else plan.finite()):
            return
        rates = self._tick(indices, self._checked)
        if len(rates) < len(indices):
            rates = rates * len(indices)
        for weight, grad, state, (t, lr, wd) in zip(weights, grads, states, rates):
            weight = as_array(weight)
            grad = np.asarray(grad.todense() if isinstance(grad, RowSparseArray) else grad)
            main, low = weight, None
            if is_half(weight.dtype) and self.multi_precision:
                main, state = state if self.master_position == 0 else state[::-1]
                low = [(weight, main)]
            elif is_half(weight.dtype):
                main = weight.astype(np.float32)
                state, low = _widened(state)
                low.append((weight, main))
            if grad.dtype != main.dtype:
                grad = grad.astype(main.dtype)
            yield main, grad, state, t, float(lr), float(wd)
            for target, source in low or ():
                target[...] = source.astype(target.dtype)

    def _checked(self, rates):
        for _, lr, wd in rates:
            checks.scalars(("lr", "wd"), (lr, wd))
        return rates

    def _prepared(self, grad):
        """The gradient rescaled and clipped, as a new array."""
        return self._clipped(grad * self._rescale)

    def _decayed(self, grad, weight, wd):
        """The gradient rescaled and clipped, with weight decay, as a new array."""
        if self.clips_decay:
            return self._clipped(grad * self._rescale + wd * weight)
        return self._prepared(grad) + wd * weight

    def _clipped(self, array, clip=None):
        """An array limited to [-clip, clip], by default to `clip_gradient`."""
        clip = self._clip if clip is None else clip
        if clip == math.inf:
            return array
        if array.dtype == np.float32:
            # The one number that MXNet's step reads from text, too.
            clip = kernels.as_read_by_mxnet((clip,), (True,))[0]
        return np.clip(array, -clip, clip)


class _Symbol(NamedTuple):
    """The two answers of a symbol that an optimizer keeps."""

    attributes: dict
    arguments: list

    def attr_dict(self):
        return self.attributes

    def list_arguments(self):
        return self.arguments


def _stored_as_rows(weights):
    """Whether the weights of a call are row-sparse, by which Ftrl chooses its update as in MXNet."""
    found = {getattr(weight, "stype", "default") == "row_sparse" for weight in weights}
    if len(found) > 1:
        raise ValueError("row-sparse and dense weights are updated otherwise; hand them over in two calls")
    return found == {True}


def _view(array, name, optimizer, index):
    if isinstance(array, np.ndarray):
        return array
    return as_array(array, f"{name} of {checks.who(optimizer, index)}")


def _gradient(grad, optimizer, index):
    if isinstance(grad, (np.ndarray, RowSparseArray)):
        return grad
    return as_gradient(grad, f"gradient of {checks.who(optimizer, index)}")


def _widened(state):
    """float32 copies of 16-bit arrays in a state, and the (target, copy) pairs to write back."""
    if isinstance(state, (tuple, list)):
        parts = [_widened(part) for part in state]
        return tuple(part for part, _ in parts), [pair for _, pairs in parts for pair in pairs]
    if state is None or not is_half(state.dtype):
        return state, []
    wide = state.astype(np.float32)
    return wide, [(state, wide)]


def _takes_lists(cls):
    """Whether a class's update takes lists (2.x) rather than one tensor (1.x).

    The most derived class that says anything decides: `step` or `fused_step` mean lists; an `update` alone
    says it by the name of its first parameter.
    """
    for base in cls.__mro__:
        own = vars(base)
        if "step" in own or "fused_step" in own or ("update_multi_precision" in own and cls.aggregates):
            return True
        for name in ("update", "update_multi_precision"):
            if name in own:
                parameters = list(inspect.signature(own[name]).parameters)
                return len(parameters) < 2 or parameters[1] in ("indices", "args")
    return True


register = V2.registry.register
create = V2.registry.create
