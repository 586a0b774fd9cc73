"""The implementations that later optimizers are compared with: one row each, with its own names.

Every row names a distribution and its version, since the same name gives other numbers in other libraries. A
peer steps its own copies of the weights; what it keeps for a weight can be read under our names.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Peer:
    """The implementation that an optimizer's numbers are taken from.

    Attributes
    ----------
    distribution, version : str
        What is installed from an index.
    start : callable
        From a list of weights and hyper-parameters in our words, a `Running`.
    keywords : dict
        Our hyper-parameters by the peer's names; a pair for those that it takes in one tuple.
    states : dict
        Our names of states by the peer's.
    settings : dict
        Readable name -> hyper-parameters to compare with, in our words; {} are the defaults.
    attributes : tuple of str
        What the optimizer itself carries from step to step, under names that both share.
    exact : bool
        Whether weights must be the same bits.
    added : callable, optional
        From the optimizer and the peer's state before a step, the largest numbers that the step adds to the
        weight besides the weight itself; they bound the rounding.
    """

    distribution: str
    version: str
    start: Callable
    keywords: Mapping = dataclasses.field(default_factory=dict)
    states: Mapping = dataclasses.field(default_factory=dict)
    settings: Mapping = dataclasses.field(default_factory=lambda: {"defaults": {}})
    attributes: tuple = ()
    exact: bool = False
    added: Callable | None = None

    def missing(self):
        """Why it cannot be compared with here; None if it can."""
        try:
            found = importlib.metadata.version(self.distribution).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            return f"{self.distribution} {self.version} is not installed"
        return None if found == self.version else f"{self.distribution} is {found}, not {self.version}"


class TorchRun:
    """A torch optimizer over some weights."""

    def __init__(self, peer, cls, weights, hyper):
        import torch

        self.torch, self.peer = torch, peer
        self.parameters = [torch.nn.Parameter(torch.from_numpy(weight.copy())) for weight in weights]
        given, tuples = {}, {}
        for name, value in hyper.items():
            theirs = peer.keywords.get(name, name)
            if isinstance(theirs, tuple):
                tuples.setdefault(theirs[0], {})[theirs[1]] = value
            else:
                given[theirs] = theirs_of(name, value)
        for name, parts in tuples.items():
            defaults = list(cls([self.parameters[0]]).defaults[name])
            for position, value in parts.items():
                defaults[position] = value
            given[name] = tuple(defaults)
        self.optimizer = cls(self.parameters, **given)
        if hasattr(self.optimizer, "train"):
            self.optimizer.train()

    def step(self, grads):
        for parameter, grad in zip(self.parameters, grads):
            parameter.grad = self.torch.from_numpy(grad.copy())
        self.optimizer.step()

    @property
    def weights(self):
        return [parameter.detach().numpy().copy() for parameter in self.parameters]

    def states(self):
        """Our states by name, one dict a weight."""
        return [
            {
                ours: np.array(self.optimizer.state[parameter][theirs].detach().numpy())
                for theirs, ours in self.peer.states.items()
                if theirs in self.optimizer.state[parameter]
            }
            for parameter in self.parameters
        ]


class MuonRun:
    """torch's Muon over matrices, its products in float32, and torch's AdamW over the rest."""

    def __init__(self, peer, weights, hyper):
        import torch

        self.peer, self.torch = peer, torch
        rest = {"lr": hyper.get("learning_rate", 1e-3), "weight_decay": hyper.get("wd", 0.1)}
        self.runs = [
            TorchRun(peer, torch.optim.Muon, [weight], hyper)
            if weight.ndim == 2
            else TorchRun(dataclasses.replace(peer, keywords={}), torch.optim.AdamW, [weight], rest)
            for weight in weights
        ]

    def step(self, grads):
        import torch.optim._muon as module

        rounded = self.torch.Tensor.bfloat16
        assert "bfloat16()" in inspect.getsource(module)
        self.torch.Tensor.bfloat16 = lambda tensor: tensor.clone()
        try:
            for run, grad in zip(self.runs, grads):
                run.step([grad])
        finally:
            self.torch.Tensor.bfloat16 = rounded

    @property
    def weights(self):
        return [run.weights[0] for run in self.runs]

    def states(self):
        return [run.states()[0] for run in self.runs]


class OptaxRun:
    """A gradient transformation of optax over some weights."""

    def __init__(self, peer, make, weights, hyper):
        import jax.numpy as jnp
        import optax

        self.jnp, self.optax, self.peer = jnp, optax, peer
        self.transformation = make(**{peer.keywords.get(name, name): value for name, value in hyper.items()})
        self.parameters = [jnp.asarray(weight) for weight in weights]
        self.state = self.transformation.init(self.parameters)

    def step(self, grads):
        grads = [self.jnp.asarray(grad) for grad in grads]
        updates, self.state = self.transformation.update(grads, self.state, self.parameters)
        self.parameters = self.optax.apply_updates(self.parameters, updates)

    @property
    def weights(self):
        return [np.array(parameter) for parameter in self.parameters]

    def states(self):
        """Our states by name, one dict a weight."""
        inner = self.state[0]
        return [
            {ours: np.array(getattr(inner, theirs)[i]) for theirs, ours in self.peer.states.items()}
            for i in range(len(self.parameters))
        ]


def theirs_of(name, value):
    """A value as the peer takes it; the switch for `proximal` is inverted there."""
    return not value if name == "proximal" else value


def of_torch(module, name):
    return lambda peer, weights, hyper: TorchRun(peer, getattr(module_of(module), name), weights, hyper)


def module_of(name):
    """A module without what its package imports: timm as a whole needs torchvision, its optimizers do not."""
    package = name.partition(".")[0]
    if package == "timm" and package not in sys.modules:
        root = importlib.util.find_spec(package).submodule_search_locations[0]
        for part, path in (("timm", root), ("timm.optim", f"{root}/optim")):
            sys.modules[part] = types.ModuleType(part)
            sys.modules[part].__path__ = [path]
    return importlib.import_module(name)


def of_optax(path):
    def start(peer, weights, hyper):
        module, _, name = path.rpartition(".")
        return OptaxRun(peer, getattr(importlib.import_module(module), name), weights, hyper)

    return start


TORCH = {"learning_rate": "lr", "wd": "weight_decay", "epsilon": "eps", "cautious": "caution",
         "beta1": ("betas", 0), "beta2": ("betas", 1), "beta3": ("betas", 2)}  # fmt: skip
MOMENTS = {"exp_avg": "mean", "exp_avg_sq": "var"}

PEERS = {
    "lion": Peer(
        "lion-pytorch", "0.2.4", of_torch("lion_pytorch", "Lion"), TORCH, {"exp_avg": "mom"},
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "short memory": {"beta1": 0.5, "beta2": 0.7},
        },
        exact=True,
    ),
    "radam": Peer(
        "torch", "2.13.0", of_torch("torch.optim", "RAdam"), TORCH, MOMENTS,
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "decoupled decay": {"wd": 0.1, "learning_rate": 0.01, "decoupled_weight_decay": True},
            "short memory": {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4},
        },
    ),
    "ademamix": Peer(
        "optax", "0.2.8", of_optax("optax.contrib.ademamix"),
        {"wd": "weight_decay", "beta1": "b1", "beta2": "b2", "beta3": "b3", "epsilon": "eps"},
        {"m1": "mean", "m2": "slow", "nu": "var"},
        {
            "defaults": {"learning_rate": 0.001},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "short memory": {"learning_rate": 0.01, "beta1": 0.5, "beta2": 0.9, "beta3": 0.99, "alpha": 2.0},
        },
    ),
    "adopt": Peer(
        "timm", "1.0.31", of_torch("timm.optim.adopt", "Adopt"),
        {**TORCH, "clip_exponent": "clip_exp", "decoupled_weight_decay": "decoupled"}, MOMENTS,
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "decoupled decay": {"wd": 0.1, "learning_rate": 0.01, "decoupled_weight_decay": True},
            "no limit": {"clip_exponent": None, "beta1": 0.5, "beta2": 0.9},
            "cautious": {"cautious": True, "learning_rate": 0.01},
        },
        # what a cautious step moves is about twice as long
        added=lambda optimizer, state: 2 * optimizer.lr * np.abs(state.get("mean", 0)),
    ),
    "adan": Peer(
        "timm", "1.0.31", of_torch("timm.optim.adan", "Adan"), {**TORCH, "proximal": "no_prox"},
        {"exp_avg": "mean", "exp_avg_diff": "change", "exp_avg_sq": "var"},
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "decay first": {"wd": 0.1, "learning_rate": 0.01, "proximal": False},
            "short memory": {"beta1": 0.5, "beta2": 0.7, "beta3": 0.9, "epsilon": 1e-4},
        },
    ),
    "laprop": Peer(
        "timm", "1.0.31", of_torch("timm.optim.laprop", "LaProp"), TORCH, MOMENTS,
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "short memory": {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4},
            "cautious": {"wd": 0.1, "learning_rate": 0.01, "cautious": True},
        },
        # what a cautious step moves is a few times as long
        added=lambda optimizer, state: 4 * np.abs(state.get("mean", 0)),
    ),
    "novograd": Peer(
        "timm", "1.0.31", of_torch("timm.optim.nvnovograd", "NvNovoGrad"),
        {**TORCH, "decoupled_weight_decay": "decoupled_decay"},
        {"exp_avg": "mean", "exp_avg_sq": "var"},
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "decoupled decay": {"wd": 0.1, "learning_rate": 0.01, "decoupled_weight_decay": True},
            "averaging": {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4, "grad_averaging": True},
        },
        added=lambda optimizer, state: optimizer.lr * np.abs(state.get("mean", 0)),
    ),
    "schedulefreesgd": Peer(
        "schedulefree", "1.4.1", of_torch("schedulefree", "SGDScheduleFree"), TORCH, {"z": "z"},
        {
            "defaults": {"learning_rate": 0.1},
            "decay": {"wd": 0.1, "learning_rate": 0.1, "momentum": 0.7},
            "warmup": {"learning_rate": 0.1, "warmup_steps": 5, "r": 1.0, "weight_lr_power": 1.0},
        },
        added=lambda optimizer, state: np.abs(state.get("z", 0)),
    ),
    "schedulefreeadamw": Peer(
        "schedulefree", "1.4.1", of_torch("schedulefree", "AdamWScheduleFree"), TORCH,
        {"z": "z", "exp_avg_sq": "var"},
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.01},
            "warmup": {"warmup_steps": 5, "r": 1.0, "weight_lr_power": 1.0},
            "short memory": {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4},
        },
        added=lambda optimizer, state: np.abs(state.get("z", 0)),
    ),
    "adafactor": Peer(
        "torch", "2.13.0", of_torch("torch.optim", "Adafactor"),
        {**TORCH, "epsilon1": ("eps", 0), "epsilon2": ("eps", 1), "clip_threshold": "d"},
        {"row_var": "row", "col_var": "col", "variance": "var"},
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.05},
            "slow decay": {"beta2_decay": -0.5, "clip_threshold": 1.5, "epsilon1": 1e-4, "epsilon2": 0.01},
        },
        # an element of the update is up to a few times the rate, and torch sums norms in float32
        added=lambda optimizer, state: 2 * optimizer.lr,
    ),
    "muon": Peer(
        "torch", "2.13.0", MuonRun,
        {"learning_rate": "lr", "wd": "weight_decay", "adjust_lr": "adjust_lr_fn"},
        {"momentum_buffer": "mean", **MOMENTS},
        {
            "defaults": {},
            "plain momentum": {"nesterov": False, "momentum": 0.5, "learning_rate": 0.01, "wd": 0.01},
            "as AdamW": {"adjust_lr": "match_rms_adamw", "ns_steps": 4},
        },
        # the iteration multiplies numbers near 1 by up to this before it adds them
        added=lambda optimizer, state: 4.775 * optimizer.lr,
    ),
    "prodigy": Peer(
        "prodigyopt", "1.1.2", of_torch("prodigyopt", "Prodigy"),
        {**TORCH, "bias_correction": "use_bias_correction"},
        {**MOMENTS, "s": "distance"},
        {
            "defaults": {},
            "decay": {"wd": 0.1, "learning_rate": 0.5},
            "coupled decay": {"wd": 0.1, "decouple": False, "d0": 1e-3},
            "corrected": {"bias_correction": True, "d0": 1e-3},
            "slow growth": {"growth_rate": 1.02, "safeguard_warmup": True, "d0": 1e-3},
        },
        attributes=("d", "d_max", "d_numerator"),
    ),
    "madgrad": Peer(
        "timm", "1.0.31", of_torch("timm.optim.madgrad", "MADGRAD"),
        {**TORCH, "decoupled_weight_decay": "decoupled_decay"},
        {"grad_sum_sq": "squares", "s": "total", "x0": "start"},
        {
            "defaults": {},
            "decay": {"wd": 0.1},
            "decoupled decay": {"wd": 0.1, "decoupled_weight_decay": True},
            "no momentum": {"momentum": 0.0},
        },
    ),
}  # fmt: skip
