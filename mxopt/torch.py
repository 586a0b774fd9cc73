"""MXNet's optimizers for PyTorch on the CPU: a ``torch.optim.Optimizer`` whose step is one fused call.

>>> import torch, mxopt.torch
>>> model = torch.nn.Linear(3, 2)
>>> optimizer = mxopt.torch.Optimizer(model.parameters(), "adam", lr=1e-3)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from . import checks, kernels, spelling
from .arrays import as_array, mark_written
from .optimizer import describe
from .optimizer.optimizer import Optimizer as _Stepper
from .optimizer.updater import Updater
from .saving.orders import Arrangement
from .sparse import as_gradient

__all__ = ["Optimizer"]

#: torch's words for arguments; param_groups use them, because torch's schedulers look for them there
WORDS = {"learning_rate": "lr", "wd": "weight_decay", "epsilon": "eps"}


class _Layout(NamedTuple):
    """What torch's class calls the same arrays and options, and its options that have only one value here."""

    arrays: tuple[str, ...] = ()
    words: dict = {}
    fixed: dict = {}


#: by the names of a class's states
LAYOUTS = {
    ("mean", "var"): _Layout(("exp_avg", "exp_avg_sq")),
    ("mean", "norm"): _Layout(("exp_avg", "exp_inf")),
    ("history",): _Layout(("sum",), fixed={"lr_decay": 0}),
    ("n",): _Layout(("square_avg",), {"rho": "alpha", "gamma1": "alpha"}, {"momentum": 0}),
    ("acc_g", "acc_delta"): _Layout(("square_avg", "acc_delta")),
}

#: of SGD and NAG without momentum, which keep nothing
_STATELESS = _Layout(fixed={"dampening": 0, "nesterov": False})

#: options of torch's own classes that change how they compute, not what
_HOW = frozenset(("foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"))
#: options of torch's classes that no optimizer here has, and what they are
_LACKING = {
    "amsgrad": "AMSGrad",
    "maximize": "ascent",
    "lr_decay": "lr_decay",
    "nesterov": "Nesterov momentum",
}
#: keys that torch or its schedulers keep in a group
_NOT_OURS = frozenset(("params", "param_names", "progress", "initial_lr", "max_lr", "min_lr", "max_momentum",
                       "base_momentum", "initial_accumulator_value", "swa_lr"))  # fmt: skip
#: keys of a group that are not options
_BESIDE = frozenset(("params", "param_names", "progress"))
#: constructor arguments that have no meaning here
_UNUSED = frozenset(
    ("aggregate_num", "use_fused_step", "param_idx2name", "param_dict", "sym", "lr_scheduler")
)


class Optimizer(torch.optim.Optimizer):
    """Any optimizer of mxopt as a ``torch.optim.Optimizer``.

    Parameters are stepped in place, in one fused call for each parameter group; the bits are those of
    `mxopt.Updater`. `param_groups`, `state_dict`, closures, hooks, torch's schedulers and ``GradScaler`` work
    as with torch's own classes.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        On the CPU: float32, float64, float16 or bfloat16. Gradients may be dense or the sparse ones of
        ``Embedding(sparse=True)``.
    optimizer : str or type, default 'adam'
        A registered name, or a class derived from `mxopt.Optimizer`.
    dialect : {'2.x', '1.x'}, default '2.x'
        Whose defaults and formulas a name refers to.
    **options
        Arguments of the optimizer in MXNet's words or in torch's (``lr``, ``weight_decay``, ``eps``,
        ``betas``). Groups may have their own.

    Attributes
    ----------
    param_groups : list of dict
        Options under torch's names, so that its schedulers find them; changes take effect at the next step.
    state : dict of Tensor to dict of str to Tensor
        ``step`` and the arrays, over the memory that the kernels write. Adam's, AdamW's, Adamax', AdaGrad's,
        AdaDelta's and plain RMSProp's have torch's names, so ``torch.optim.Adam`` and the others load this
        `state_dict`, and this class loads theirs; likewise SGD's without momentum. Other arrays (a momentum
        that includes the learning rate) differ from torch's and keep their own names.

    Raises
    ------
    TypeError, ValueError
        By the constructor, for unknown names and arguments, with the nearest known ones; by `step`, for
        gradients and parameters that cannot be stepped, before anything has changed.

    Notes
    -----
    The formulas are MXNet's and differ slightly from torch's: Adam's epsilon joins the root before the bias
    is corrected. See the page of each optimizer.

    Examples
    --------
    >>> import torch, mxopt.torch
    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = mxopt.torch.Optimizer([weight], "sgd", lr=0.5)
    >>> scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.1)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> scheduler.step()
    >>> weight.data, optimizer.param_groups[0]["lr"]
    (tensor([0.5000, 0.5000, 0.5000]), 0.05)
    """

    def __init__(self, params, optimizer="adam", *, dialect="2.x", **options):
        if isinstance(optimizer, type) and issubclass(optimizer, _Stepper):
            self._class = optimizer
        elif isinstance(optimizer, str):
            self._class = describe(optimizer, dialect).cls
        else:
            raise TypeError(
                "optimizer must be a registered name or a class derived from mxopt.Optimizer, got "
                f"{optimizer!r}; pass 'adam' and its arguments"
            )
        self._runs = []
        self._vocabulary = _Vocabulary(self._class, options)
        super().__init__(params, self._vocabulary.defaults)

    def add_param_group(self, param_group):
        """Add a group, as in torch.

        Parameters
        ----------
        param_group : dict
            ``params``, and options in MXNet's words or in torch's.
        """
        if isinstance(param_group, dict):
            param_group = self._vocabulary.group(param_group)
        super().add_param_group(param_group)
        try:
            self._runs.append(_Run(self._vocabulary, self.param_groups[-1], self.state))
        except BaseException:
            del self.param_groups[-1]
            raise

    def step(self, closure=None):
        """Step every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Recomputes the loss and the gradients.

        Returns
        -------
        object
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for run, group in zip(self._runs, self.param_groups):
            run.step(group)
        return loss

    def eval(self):
        """Move the parameters to the point at which a model is evaluated; see `mxopt.Updater.eval`."""
        for run, group in zip(self._runs, self.param_groups):
            run.move(group, True)

    def train(self):
        """Move the parameters back to the point at which they are trained, before the next step."""
        for run, group in zip(self._runs, self.param_groups):
            run.move(group, False)

    def load_state_dict(self, state_dict):
        """Load states and options, also those of torch's own class where the layouts agree.

        Parameters
        ----------
        state_dict : dict
            From `state_dict`, this class's or torch's.

        Raises
        ------
        ValueError
            For states of another optimizer, groups of other sizes, or an option that mxopt does not have
            (``amsgrad=True``); nothing has changed.
        """
        groups = [
            self._vocabulary.saved_group(saved, {**group, "params": saved["params"]})
            for saved, group in zip(state_dict["param_groups"], self.param_groups)
        ]
        known = {**state_dict, "param_groups": groups + state_dict["param_groups"][len(groups) :]}
        before = self.state, self.param_groups
        super().load_state_dict(known)
        try:
            # Torch casts states to the dtype of the parameter; float32 masters must not be.
            places = [place for group in known["param_groups"] for place in group["params"]]
            tensors = [tensor for group in self.param_groups for tensor in group["params"]]
            for place, tensor in zip(places, tensors):
                saved = known["state"].get(place)
                if saved:
                    self.state[tensor] = {
                        name: value.detach().clone() if torch.is_tensor(value) else value
                        for name, value in saved.items()
                    }
            self._runs = [_Run(self._vocabulary, group, self.state) for group in self.param_groups]
        except BaseException:
            self.state, self.param_groups = before
            raise

    def __getstate__(self):
        return {**super().__getstate__(), "_class": self._class, "_vocabulary": self._vocabulary}

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_class" in state:  # unpickled or copied, not loaded from a state_dict
            self._runs = [_Run(self._vocabulary, group, self.state) for group in self.param_groups]

    def __repr__(self):
        return super().__repr__().replace("Optimizer (", f"Optimizer, {self._class.__name__} (", 1)


class _Run:
    """One parameter group: its updater, and NumPy's views of what the updater steps."""

    def __init__(self, vocabulary, group, states):
        self.vocabulary, self.states = vocabulary, states
        self.params = group["params"]
        self.names = group.get("param_names")
        self.optimizer = self.given = None
        self.updater = None
        self._follow(group)
        self.counts = torch.zeros(len(self.params))
        self.all = list(range(len(self.params)))
        self.places, self.weights = [None] * len(self.params), [None] * len(self.params)
        for position, tensor in enumerate(self.params):
            if states.get(tensor):
                self._adopt(position, tensor, states[tensor])
        progress = group.get("progress") or {}
        for name in self.optimizer.progress:
            if name in progress:
                setattr(self.optimizer, name, progress[name])

    def _follow(self, group):
        """Make the optimizer match the options of the group."""
        given = {
            key: value.item() if isinstance(value, torch.Tensor) else value  # a learning rate may be one
            for key, value in group.items()
            if key not in _BESIDE
        }
        if given == self.given:
            return
        fresh = self.vocabulary.make(given)
        old, self.given = self.optimizer, given
        if old is not None:
            for name in (
                "_index_update_count",
                "_all_index_update_counts",
                "num_update",
                "skipped",
                *old.progress,
            ):
                setattr(fresh, name, getattr(old, name))
        if self.names:
            fresh.idx2name = dict(enumerate(self.names))
        self.optimizer = fresh
        if self.updater is None:
            self.updater = Updater(fresh)
        self.updater.optimizer = fresh
        self.arrangement = Arrangement(fresh, fresh)

    def _look(self, position, tensor):
        """NumPy's view of a parameter, made anew when the parameter's memory has changed."""
        place = tensor.data_ptr(), tensor.stride(), tensor.shape
        if place != self.places[position]:
            self.weights[position] = as_array(tensor, f"parameter {self._name(position)}")
            self.places[position] = place
        return self.weights[position]

    def _name(self, position):
        return repr(self.names[position]) if self.names else f"{position} of the group"

    def move(self, group, evaluating):
        """Move the parameters that have been stepped to one of their two points."""
        self._follow(group)
        chosen = [position for position in self.all if position in self.updater.states]
        weights = [self._look(position, self.params[position]) for position in chosen]
        (self.updater.eval if evaluating else self.updater.train)(chosen, weights)
        if chosen:
            mark_written([self.params[position] for position in chosen])

    def step(self, group):
        self._follow(group)
        chosen, grads, weights, tensors = [], [], [], self.params
        for position in self.all:
            tensor = tensors[position]
            grad = tensor.grad
            if grad is not None:
                chosen.append(position)
                weights.append(self._look(position, tensor))
                try:
                    grads.append(grad.numpy())
                except (TypeError, RuntimeError):  # bfloat16, sparse, requires_grad
                    grads.append(as_gradient(grad, f"gradient of parameter {self._name(position)}"))
        if not chosen:
            return
        optimizer, known = self.optimizer, len(self.updater.states)
        skipped = optimizer.skipped
        self.updater(chosen, grads, weights)
        if len(self.updater.states) > known:
            for position in chosen:
                if not self.states.get(tensors[position]):
                    self._show(position, tensors[position])
        if optimizer.skipped > skipped:
            return
        mark_written([tensors[position] for position in chosen])
        if len(chosen) == len(tensors):
            self.counts += 1
        else:
            self.counts[chosen] += 1
        if optimizer.progress:
            group["progress"] = {name: getattr(optimizer, name) for name in optimizer.progress}

    def _leaves(self, state):
        """(name, array) of each array of a state."""
        names = self.arrangement.leaf_names(state)
        own = tuple(self.optimizer.state_names)
        theirs = dict(zip(own, LAYOUTS.get(own, _Layout()).arrays))
        for path, array in _walk(state):
            name = names.get(path) or "_".join(map(str, ("state", *path)))
            name = theirs.get(name, name)
            if isinstance(array, kernels.Narrow):
                yield from zip((f"{name}_q", f"{name}_scale"), array.arrays)
            elif isinstance(array, kernels.Split):
                yield f"{name}_low", array.low.view("int16")  # older torch has no uint16
            else:
                yield name, array

    def _show(self, position, tensor):
        """Show torch a new state, over the same memory."""
        state = {"step": self.counts[position]}
        for name, array in self._leaves(self.updater.states[position]):
            state[name] = _as_tensor(array)
        self.states[tensor] = state

    def _adopt(self, position, tensor, saved):
        """Continue from a loaded state."""
        weight = self._look(position, tensor)
        optimizer, owner = self.optimizer, f"parameter {self._name(position)}"
        optimizer_state = optimizer.create_state_multi_precision(position, weight)
        leaves = dict(self._leaves(optimizer_state))
        arrays = {name: value for name, value in saved.items() if name != "step"}
        if arrays.keys() != leaves.keys():
            raise ValueError(
                f"{type(optimizer).__name__} keeps the states {', '.join(leaves) or 'none'} of {owner}, "
                f"got {', '.join(arrays) or 'none'}; load the state_dict of an optimizer of the same kind"
            )
        for name, own in leaves.items():
            given = as_array(arrays[name].detach(), f"state {name!r} of {owner}")
            if given.shape != own.shape:
                raise ValueError(
                    f"state {name!r} of {owner} must have shape {own.shape}, got {given.shape}; "
                    "load the state_dict of a model of the same shapes"
                )
            own[...] = given
        count = int(saved.get("step", 0))
        self.updater.states[position] = optimizer_state
        self.updater.states_synced[position] = True
        optimizer._index_update_count[position] = count
        optimizer.num_update = max(optimizer.num_update, count)
        self.counts[position] = count
        self._show(position, tensor)


def _walk(state, path=()):
    if isinstance(state, (tuple, list)):
        for i, part in enumerate(state):
            yield from _walk(part, (*path, i))
    elif state is not None:
        yield path, state


def _as_tensor(array):
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


class _Vocabulary:
    """The options of a class, under its own names and torch's."""

    def __init__(self, cls, given):
        if given.get("lr_scheduler") is not None:
            raise ValueError(
                "lr_scheduler must be one of torch.optim.lr_scheduler, made over this optimizer; leave it "
                f"out here, got {given['lr_scheduler']!r}"
            )
        for name in _UNUSED & given.keys():
            raise TypeError(f"{name} has no meaning for a torch optimizer; leave it out")
        for name in WORDS.keys() & given.keys():
            if WORDS[name] in given:
                raise TypeError(f"{name} and {WORDS[name]} are one argument; pass {WORDS[name]} alone")
        self.cls, self.arguments, self.layout = cls, checks.arguments(cls), _Layout()
        made = cls(**self.ours(given))
        plain = "momentum" in self.arguments and made.create_state(0, np.zeros(1, np.float32)) is None
        self.layout = _STATELESS if plain else LAYOUTS.get(tuple(made.state_names), self.layout)
        usual = {name: value for name, value in self.arguments.items() if name not in _UNUSED}
        usual.update(learning_rate=made.lr, wd=made.wd)
        self.defaults = {**self.torchs(usual), **self.layout.fixed, **self.torchs(given)}

    def torchs(self, options):
        """Options under torch's names where it has them, with both betas as one pair."""
        words = {**WORDS, **self.layout.words}
        said = {}
        for key, value in options.items():  # the nearest class says which of two spellings counts
            said.setdefault(words.get(key, key), value)
        first, second = said.pop("beta1", None), said.pop("beta2", None)
        if first is not None or second is not None:
            usual = getattr(self, "defaults", self.arguments)
            pair = said.get("betas") or usual.get("betas") or (usual.get("beta1"), usual.get("beta2"))
            said["betas"] = (pair[0] if first is None else first, pair[1] if second is None else second)
        return said

    def ours(self, options):
        """The constructor's arguments; an option that the class lacks is refused."""
        own = self.arguments
        said = {
            key: value
            for key, value in options.items()
            if key not in _NOT_OURS and (key not in _HOW or key in own)
        }
        for word, what in _LACKING.items():
            if word not in own and said.pop(word, False):
                raise ValueError(
                    f"{self.cls.__name__} has no {what}; {spelling.INSTEAD.get(word, 'leave it out')}"
                )
        if "betas" in said and "beta1" in self.arguments:
            betas = said.pop("betas")
            if not isinstance(betas, (tuple, list)) or len(betas) != 2:
                raise ValueError(f"betas must be a pair of numbers, got {betas!r}; pass betas=(0.9, 0.999)")
            said["beta1"], said["beta2"] = betas
        for argument, word in {**WORDS, **self.layout.words}.items():
            if word in said and argument in self.arguments and word not in self.arguments:
                value = said.pop(word)
                said[argument] = value.item() if isinstance(value, torch.Tensor) else value
        for word, value in self.layout.fixed.items():
            if word not in self.arguments and said.get(word) == value:
                del said[word]
        return said

    def make(self, options):
        """The optimizer that options describe."""
        return self.cls(**self.ours(options))

    def group(self, given):
        """A group with all options, checked."""
        kept = {key: value for key, value in given.items() if key in _NOT_OURS}
        own = {key: value for key, value in given.items() if key not in _NOT_OURS}
        options = {**self.defaults, **self.torchs(own)}
        self.make(options)
        return {**kept, **options}

    def saved_group(self, saved, present):
        """A group of a state_dict with all options, checked, without torch's options for how to compute."""
        options = {
            key: value
            for key, value in {**present, **saved}.items()
            if key not in _HOW and (key not in _LACKING or value or key in self.layout.fixed)
        }
        self.make(options)
        return options
