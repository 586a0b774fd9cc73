"""The optimizer protocol: the way from `update` to a rule or to NumPy."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from .. import checks, kernels, reprs, slots
from ..arrays import as_array, is_half, zeros_like
from ..dialects import V2
from ..lr_scheduler import LRScheduler
from ..saving.attributes import hyper_parameters, judge_change
from ..slots import NewStates
from ..sparse import RowSparseArray
from .rates import Rates
from .scalars import RuleScalars
from .turns import Turns, gradient

#: Methods that custom classes override to change how they step; see `Optimizer.built_in`.
_PROTOCOL = ("update", "update_multi_precision", "step", "fused_step", "create_state",
             "create_state_multi_precision")  # fmt: skip
#: The compiled methods, which call each other directly where a class overrides none of them.
_PATH = ("_fused", "_plan", "_ahead", "_scalars")


class Optimizer(Rates, RuleScalars):
    """Base class of all optimizers.

    A custom optimizer derives from it, is registered with `register`, and overrides `create_state` and either
    ``update(index, weight, grad, state)`` (the 1.x form, one tensor) or
    ``step(indices, weights, grads, states)`` (the 2.x form, lists).

    Parameters
    ----------
    rescale_grad : float, default 1.0
        Every gradient is first multiplied by it; often 1/batch_size.
    param_idx2name : dict of int to str, optional
        Names of the indices, for multipliers and messages.
    wd : float, default 0.0
        Weight decay.
    clip_gradient : float, optional
        Limit every element of the rescaled gradient to [-clip_gradient, clip_gradient]. None, 0 and negative
        numbers mean no clipping.
    learning_rate : float, optional
        The learning rate. None: the scheduler's ``base_lr``, or 0.01 without a scheduler. Given together
        with a scheduler it replaces the scheduler's ``base_lr``.
    lr_scheduler : LRScheduler, optional
        Called with `num_update`; returns the learning rate.
    sym : object, optional
        Anything with ``attr_dict()`` and ``list_arguments()``; its attributes ``__lr_mult__`` and
        ``__wd_mult__`` are multipliers.
    begin_num_update : int, default 0
        Where the update counts of new indices start.
    multi_precision : bool or 'split', default False
        Keep a float32 master copy of float16 and bfloat16 weights. 'split': only its low 16 bits, which make
        the exact master with a bfloat16 weight; see :ref:`split-masters`.
    param_dict : dict, optional
        Parameters by index; their ``lr_mult`` and ``wd_mult`` win over all others.
    aggregate_num : int, optional
        How many tensors a custom class is handed at a time. Built-in classes always take a whole list in one
        fused call; the results are bit-identical.
    use_fused_step : bool, optional
        Run the compiled rule (`fused_step`) rather than NumPy (`step`).
    cautious : bool, default False
        Undo the moves of elements that do not go down their gradient, and make the others longer by the share
        of those that do [1]_. Decoupled weight decay is not touched. Takes five to eight times as long.
    skip_nonfinite : bool, default False
        A call with an infinity or NaN in any gradient changes nothing - weights, states and counts stay as
        they are - and is counted in `skipped`. Costs one more pass over the gradients.
    state_dtype : {'float32', 'bfloat16', 'int8'} or dict, optional
        Keep running means and second moments in fewer bits; see :ref:`narrow-states`. A dict gives it by
        name of the state: ``{"mean": "bfloat16", "var": "int8"}``. Not given: as the class says.
    state_seed : int, default 0
        Another one rounds bfloat16 second moments by other random bits.

    Attributes
    ----------
    lr, wd, rescale_grad, clip_gradient, lr_scheduler, num_update, begin_num_update, lr_mult, wd_mult,
    idx2name, param_dict, sym_info, multi_precision, aggregate_num, use_fused_step
        As in MXNet.
    cautious, skip_nonfinite : bool
        May be set at any time.
    state_dtype : str, dict or None
        May be set at any time; counts for states that are made later.
    state_dtypes : dict or None
        What `set_state_dtype` was given.
    state_seed : int
    skipped : int
        How many calls were skipped because a gradient was not finite.

    References
    ----------
    .. [1] K. Liang et al., "Cautious Optimizers: Improving Training with One Line of Code", 2024,
       https://arxiv.org/abs/2411.16085: `cautious`.
    """

    dialect = V2
    opt_registry = V2.registry.classes

    #: Whether the whole protocol is mxopt's own, so that an updater passes plain arrays and whole lists. A
    #: subclass of a built-in class stays built in as long as it overrides rates and scalars only.
    built_in = True

    #: Names of the rules in mxopt.kernels that this class runs, one pass each (see `passes`). The last one
    #: names all arrays; those before it may end with the gradient.
    rules: tuple[str, ...] = ()
    #: The arrays of a state, in order; `create_state`, `state_names` and files follow from them.
    state_slots: tuple[slots.StateSlot, ...] = ()
    #: Whether a state with a single array is still a tuple.
    states_in_tuple = False
    #: Position of the master copy in the state pair of a 16-bit weight.
    master_position = 0
    #: Where the optimizer comes from: 'mxnet' for MXNet's own, 'later' for those published since, which are
    #: the same in both dialects.
    family = "mxnet"
    #: Attributes that steps change, saved with the states like the counts. Each has a function that checks
    #: a value from a file and returns it or raises. A dict as a value is keyed by index. A custom class may
    #: give the names only.
    progress: dict[str, Callable] | tuple[str, ...] = {}
    #: Attributes with another name than in 2.x: {2.x's name: this dialect's}.
    renamed: dict[str, str] = {}
    #: Whether a fused step is lazy when `lazy_update` is not given, like MXNet's row-sparse kernel.
    lazy_by_default = False
    #: Whether MXNet decides by the weight's storage: row-sparse weights are updated lazily.
    lazy_on_stored_rows = False
    #: Why lazy_update=True is refused, for classes with updates that cross rows.
    not_lazy_because: str | None = None

    #: Why lazy_update="exact" is refused, for other classes than these.
    not_exact_because: str | None = None

    #: Whether weights are evaluated at another point than they are trained at; `move` then gets them from one
    #: to the other (`mxopt.optimizer.schedulefree`).
    has_two_points = False

    #: Why states cannot be spread over ranks, for classes whose update needs more than a part of a tensor.
    not_sharded_because: str | None = None

    #: Why cautious=True is refused, for classes whose moves are not steps down a gradient.
    not_cautious_because: str | None = None

    #: Fills an array with noise, for rules that take some.
    _draw: Callable[[np.ndarray], None] | None = None

    def _noise(self, n):
        """The (key, position) of `n` normals for the kernel to generate; None: `_draw` fills arrays."""

    #: Whether weight decay is clipped together with the gradient (see `_decayed`).
    clips_decay = False

    #: Set while the tensors of a call are parts of larger ones: knows the whole tensors
    #: (`mxopt.distributed.sharded.Whole`).
    _whole = None

    #: Why state_dtype is refused, for classes whose `state_slots` alone do not tell.
    not_narrow_because: str | None = None

    cautious = False
    skip_nonfinite = False
    skipped = 0
    state_dtype: str | dict[str, str] | None = None
    state_dtypes: dict[str, Any] | None = None
    state_seed = 0
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
        multi_precision: bool | Literal["split"] = False,
        param_dict: dict[Any, Any] | None = None,
        aggregate_num: float | None = None,
        use_fused_step: bool | None = None,
        skip_nonfinite: bool = False,
        cautious: bool = False,
        state_dtype: str | dict[str, str] | None = None,
        state_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise checks.unknown_keywords(type(self), kwargs)
        if skip_nonfinite:  # kept out of instances that do not use it, whose attributes are MXNet's
            self.skip_nonfinite = True
        if checks.cautious(self, cautious):
            self.cautious = True
        if state_dtype is not None:
            self.state_dtype = checks.state_dtype(self, state_dtype)
        if state_seed != 0:
            self.state_seed = checks.count("state_seed", state_seed, low=0)
        if param_idx2name is None:
            param_idx2name = {}
        if not isinstance(param_idx2name, dict):
            raise TypeError(
                f"param_idx2name must be a dict of indices to names, got {type(param_idx2name).__name__}"
            )
        if isinstance(rescale_grad, str):  # other types, such as a one-element array, are checked later
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
        # a Python int: NumPy's would round powers differently
        begin_num_update = checks.count("begin_num_update", begin_num_update, low=0)
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

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; one that exists and is a hyper-parameter is checked as in the constructor."""
        cls: Any = type(self)
        judged = cls.__dict__.get("_judged")
        if judged is None:
            judged = cls._judged = hyper_parameters(cls)
        # Reading self.__dict__ would create it, and slow down all later attribute access (CPython 3.11 on).
        if name in judged and hasattr(self, name):
            judge_change(self, name, value)
        elif name == "cautious":
            checks.cautious(self, value)
        elif name == "lazy_update":
            value = checks.lazy_word(value)
        elif name == "multi_precision":
            value = checks.masters(value)
        elif name == "state_dtype":
            checks.state_dtype(self, value)
        elif name == "state_dtypes" and value is not None:
            checks.state_dtypes(self, value)
        object.__setattr__(self, name, value)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.built_in = False  # unless the whole protocol is inherited, or `Dialect.fill` sets it
        cls.built_in = all(map(cls._has_built_in, _PROTOCOL))
        compiled = bool(cls.rules) or cls._fused is not Optimizer._fused
        cls._runs_own_rules = cls.update is Optimizer.update and compiled
        cls._usual_path = all(getattr(cls, name) is getattr(Optimizer, name) for name in _PATH)
        cls.takes_lists = _takes_lists(cls)
        cls.declares_states = cls.create_state is Optimizer.create_state

    @classmethod
    def _has_built_in(cls, method):
        """Whether a method comes from one of mxopt's own classes."""
        author = next(base for base in cls.__mro__ if method in vars(base))
        return vars(author).get("built_in", False)

    #: The states that `rules` take, by name, where it is not all of them.
    states_of_rules: tuple[str, ...] = ()
    #: Whether `update` is built in and handles state pairs itself.
    _runs_own_rules = False
    #: Whether none of `_PATH` is overridden.
    _usual_path = False
    takes_lists = True
    #: What to do so that a file can name a class that is not registered, if that can be done.
    cure_of_unnamed = "register the class, or "
    #: Whether MXNet 1.9 passes tuples of tensors to `update_multi_precision`, whatever its parameter names.
    aggregates = False
    #: Whether `state_slots` defines how states are built, rather than an overridden `create_state`.
    declares_states = True

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
        # Parameters do not belong to the optimizer: copying a trainer copies them already, and the copy of an
        # optimizer or updater keeps reading multipliers from the same ones.
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        made.param_dict = {key: memo.get(id(one), one) for key, one in self.param_dict.items()}
        return made

    # -- the registry --------------------------------------------------------------------------------

    register = staticmethod(V2.registry.register)
    create_optimizer = staticmethod(V2.registry.create)

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

    # -- states --------------------------------------------------------------------------------------

    def create_state(self, index: Any, weight: Any) -> Any:
        """Make the state of one weight: None, an array, or a tuple of arrays, as `state_slots` declares them.

        Custom optimizers declare their arrays there, or override this method.

        Parameters
        ----------
        index : int or str
        weight : ndarray
        """
        seen = self._as_states_see(weight)
        self.check_weight(index, seen)
        if seen.dtype == np.float64 and any(self._width_of(index, slot) for slot in self.state_slots):
            raise TypeError(
                f"state_dtype must be left out for float64 weights, as that of {checks.who(self, index)} is, "
                f"got {self.state_dtypes or self.state_dtype!r}; cast the weight with .astype('float32')"
            )
        return self._new_state(index, seen, _with_rows(weight))

    def _new_state(self, index, weight, copied):
        return slots.create(self, index, weight, copied)

    def set_state_dtype(self, widths: dict[str, str | dict[str, str] | None]) -> None:
        """Set `state_dtype` by the names of parameters, for states that are made later.

        Parameters
        ----------
        widths : dict of str to (str, dict or None)
            Patterns as file names have them, such as ``"*_bias"``; the first that matches a parameter's name
            counts, and ``state_dtype`` where none does. None: as the class says.

        Raises
        ------
        ValueError
            For what ``state_dtype`` cannot be.

        Examples
        --------
        >>> import mxopt
        >>> opt = mxopt.create("adam", state_dtype="int8")
        >>> opt.set_state_dtype({"embed*": "bfloat16", "head*": None})
        """
        self.state_dtypes = checks.state_dtypes(self, widths)

    @property
    def _narrows(self):
        """Whether any state may be kept in a width of its own."""
        return self.state_dtype is not None or bool(self.state_dtypes)

    def _width_of(self, index, slot):
        """In which of `slots.WIDTHS` a slot of a parameter is kept; None: as the slot itself says."""
        width = self.state_dtype
        if slot.numbers is None or not self._narrows:
            return None
        if self.state_dtypes:
            name = self._name_of(index)
            width = next((w for pattern, w in self.state_dtypes.items() if fnmatchcase(name, pattern)), width)
        return width.get(slot.name) if isinstance(width, dict) else width

    def _name_of(self, index):
        """The name of a parameter, or its index as a string."""
        name = self.idx2name.get(index) or getattr(self.param_dict.get(index), "name", None)
        return str(index) if name is None else name

    #: Whether states of a row-sparse weight are row-sparse, as MXNet makes them.
    states_have_rows = False

    def _as_states_see(self, weight):
        """The weight that states are made from: for a row-sparse one, all its rows."""
        weight = _with_rows(weight)
        if getattr(weight, "stype", "default") == "row_sparse" and not self.states_have_rows:
            from ..nd import NDArray

            weight = weight.view(NDArray)
        return weight

    @property
    def state_names(self):
        """The names of a state's arrays, in order, including those that are None."""
        return slots.names(self)

    def check_weight(self, index, weight):
        """Raise if the update cannot work with this weight; nothing has changed yet.

        Parameters
        ----------
        index : int or str
            The weight's key in the updater.
        weight : ndarray
            The weight.
        """

    def create_state_multi_precision(self, index: Any, weight: Any) -> Any:
        """Make the state of one weight; for a 16-bit one with `multi_precision`, (float32 master, state).

        Parameters
        ----------
        index : int or str
            The weight's key in the updater.
        weight : ndarray
            The weight; only its shape and dtype matter.
        """
        if isinstance(weight, RowSparseArray) and type(self).built_in:
            weight = self._as_states_see(weight)
        if is_half(weight.dtype):
            if self.multi_precision:
                return self._with_master(index, weight)
            if not getattr(self, "_warned_of_half", False):
                self._warned_of_half = True
                warnings.warn(
                    f"states of {weight.dtype} weights accumulate in {weight.dtype} and lose small updates; "
                    "multi_precision=True keeps a float32 master",
                    UserWarning,
                    stacklevel=checks.outside(),
                )
        return self.create_state(index, weight)

    def _with_master(self, index, weight):
        """The state pair of a 16-bit weight."""
        split = self.multi_precision == "split"
        if split:
            checks.split_weight(self, index, weight)
        master = zeros_like(weight, np.float32)
        # Of one that is not kept often shape and dtype will do: zeros take no memory until they are touched.
        if not split or not self.declares_states or any(slot.start == "weight" for slot in self.state_slots):
            master[...] = weight
        master = slots.like(weight, master)
        pair = (master, self.create_state(index, master))
        if split:
            pair = kernels.Split(zeros_like(weight, np.uint16)), pair[1]
        return pair if self.master_position == 0 else pair[::-1]

    def _keep_moments(self, beta1, beta2, epsilon):
        """Check and store the arguments of optimizers with two moments."""
        self.beta1 = checks.number("beta1", beta1, 0, 1, open_high=True)
        self.beta2 = checks.number("beta2", beta2, 0, 1, open_high=True)
        self.epsilon = checks.number("epsilon", epsilon, 0)

    # -- updates -------------------------------------------------------------------------------------

    @property
    def passes(self):
        """Names of the rules that `fused_step` currently runs, in order."""
        return self.rules

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
            The weights' keys in the updater.
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
        mains, main_grads, main_states, split = [], [], [], []
        for weight, grad, state in zip(weights, grads, states):
            if is_half(weight.dtype):
                master, state = state if self.master_position == 0 else state[::-1]
                if isinstance(master, kernels.Split):
                    split.append((weight, master))
                    master.weight = np.asarray(weight)
                    master = slots.like(weight, master.widened())
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
            master = next((master for one, master in split if one is weight), None)
            if master is not None:
                weight[...], master.low[...] = master.halves_of(main)
            elif weight is not main:
                weight[...] = main.astype(weight.dtype)

    def fused_step(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update by the compiled rules; arguments as lists, as in `update`.

        Everything is checked before anything changes, and one call serves the whole list.

        Parameters
        ----------
        indices : list of (int or str)
            The weights' keys in the updater.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state` made it; written in place.
        """
        if not (self.rules or self._runs_own_rules):
            self.step(indices, weights, grads, states)
            return
        self._fused(indices, weights, grads, states)

    # Compiled: what a small call costs beside its arithmetic is mostly here.
    _fused = kernels.fused_step
    _plan = kernels.plan_of

    def _fused_otherwise(self, indices, weights, grads, states, lazy):
        """Step a call that was refused in another way, and return True; False: there is none."""
        return False

    def _refused(self, error, indices, weights, grads, states, rule):
        """The error to raise for what the engine refused."""
        names = None if rule is None else [array for array in rule.arrays[2:] if array != "-"] or None
        return checks.refused(error, self, indices, weights, grads, states, names)

    @staticmethod
    def _are_new(states):
        """Whether some of the states of a call are to be added to the updater's by the call."""
        return type(states) is NewStates

    def _with_norms(self, indices, plan, scalars, ledger):
        """Run the leading rules that only read, and return what is left for the step.

        What they change besides the scalars goes to the ledger.

        Returns
        -------
        tuple
            (rules, scalars, columns) as `kernels.Plan.step` takes them.
        """
        rules = [kernels.RULES[name] for name in self.passes]
        # If the tensors are parts of larger ones, their sums are added up between the rules.
        while rules[0].only_reads or (self._whole is not None and len(rules) > 1):
            rule = rules.pop(0)
            sums = plan.run(rule, scalars.table, scalars.rows, scalars.singles)
            scalars = self.between(indices, rule, sums, scalars)
        if len(rules) == 1:
            return rules, scalars, None
        return rules, scalars.each(len(indices)), [self._columns(rule) for rule in rules[:-1]]

    def _kept(self, t, lr, wd):
        """The share of a weight that decoupled weight decay leaves at its t-th update."""
        return 1.0

    def _caution(self, rates, number):
        """The argument `cautious` of `kernels.Plan.step` for a call of so many tensors."""
        rates = rates * number if len(rates) < number else rates
        return np.array([self._kept(*rate) for rate in rates]), math.copysign(1.0, self._rescale)

    def _skips(self, finite):
        """Whether to skip a call (see `skip_nonfinite`); counts skipped ones."""
        if self._whole is not None:
            finite = self._whole.finite(finite)
        if not finite:
            self.skipped += 1
        return not finite

    def _classified(self, indices, weights, grads, states):
        """The arrays of a call as lists of plain arrays, and the rows of row-sparse gradients."""
        weights, grads, states = list(weights), list(grads), list(states)
        if len(indices) != len(weights):  # the engine checks the other lengths
            raise checks.refused(kernels.Refused("lengths", -1, 0), self, indices, weights, grads, states)
        weights = [_view(w, "weight", self, i) for w, i in zip(weights, indices)]
        grads = [gradient(g, self, i) for g, i in zip(grads, indices)]
        rows = [self._rows_of(g, w, i) for g, w, i in zip(grads, weights, indices)]
        grads = [g.data if isinstance(g, RowSparseArray) else g for g in grads]
        return weights, grads, states, rows if any(each is not None for each in rows) else None

    def _rows_of(self, grad, weight, index):
        if not isinstance(grad, RowSparseArray):
            return None
        if grad.shape != weight.shape:
            raise checks.gradient_shape(self, index, weight, grad)
        return grad.indices

    def step(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update by NumPy; arguments as lists, as in `update`.

        The readable form of the rule. Custom optimizers override it (2.x) or `update` (1.x).

        Parameters
        ----------
        indices : list of (int or str)
            The weights' keys in the updater.
        weights : list of ndarray
            Written in place.
        grads : list of (ndarray or RowSparseArray)
            Only read.
        states : list
            The state of each weight, as `create_state` made it; written in place.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor update")

    def _each(self, indices, weights, grads, states):
        """Check a call and pass its tensors to `step` one by one, as plain dense arrays.

        Returns
        -------
        Turns
            Yields (weight, gradient, state, t, lr, wd). Changed weights and states are written back, and the
            updates counted, after the last turn.
        """
        return Turns(self, indices, weights, grads, states)

    def _rate_of(self, index, weight, grad, lr, wd):
        """The learning rate of one tensor in `step`; overridden where it depends on the tensor itself."""
        return lr

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
            # The only number that MXNet's step reads from text as well.
            clip = kernels.as_read_by_mxnet((clip,), (True,))[0]
        return np.clip(array, -clip, clip)


def _with_rows(weight):
    """The weight; if it is row-sparse, with all its rows stored."""
    if isinstance(weight, RowSparseArray):
        from ..nd import stored_rows

        return stored_rows(weight)
    return weight


def _view(array, name, optimizer, index):
    if isinstance(array, np.ndarray):
        return array
    return as_array(array, f"{name} of {checks.who(optimizer, index)}")


def _takes_lists(cls):
    """Whether a class's update takes lists (2.x) rather than one tensor (1.x).

    The most derived class that defines one of them decides: `step` or `fused_step` mean lists; with `update`
    alone, the name of its first parameter decides.
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
