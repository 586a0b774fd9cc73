"""Parameters: named weights with gradients and multipliers, over arrays that somebody else may own."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np

from .. import checks
from ..arrays import as_array, is_mxnet, is_parameter, is_torch
from ..context import Context, current_context, memory_context
from ..nd import NDArray, RowSparseNDArray, load, ops, save, sparse, view
from ..sparse import RowSparseArray, as_gradient
from . import stale_gradients

_REQUESTS = ("write", "add", "null")


class DeferredInitializationError(RuntimeError):
    """A parameter was used before `Parameter.initialize`."""


class Weight(NDArray):
    """A parameter's array; as in MXNet, it carries the flag for a fresh gradient."""

    parameter = None

    @property
    def _fresh_grad(self):
        return self.parameter is not None and self.parameter.fresh is not False

    @_fresh_grad.setter
    def _fresh_grad(self, fresh):
        self.parameter.fresh = bool(fresh)

    @property
    def grad(self):
        """The parameter's gradient."""
        return None if self.parameter is None else self.parameter.grad()


class Gradient(NDArray):
    """A parameter's gradient as scripts see it: writing to it makes it fresh."""

    parameter = None

    def __array_finalize__(self, source):
        NDArray.__array_finalize__(self, source)
        parameter = getattr(source, "parameter", None)
        if parameter is not None and self.base is not None:  # a view writes to the same gradient
            self.parameter = parameter

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self._written()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        result = super().__array_ufunc__(ufunc, method, *inputs, out=out, **kwargs)
        for target in out or ():
            if isinstance(target, Gradient):
                target._written()
        return result

    def __array_function__(self, function, types, args, kwargs):
        result = super().__array_function__(function, types, args, kwargs)
        targets = [kwargs.get("out"), kwargs.get("dst"), *(args[:1] if function in _WRITERS else ())]
        for target in targets:
            if isinstance(target, Gradient):
                target._written()
        return result

    def fill(self, value):
        """Set all elements to one number."""
        super().fill(value)
        self._written()

    def _written(self):
        if self.parameter is not None:
            self.parameter.fresh = True


_WRITERS = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)


class Parameter:
    """A weight to be trained.

    Parameters
    ----------
    name : str
    data : array, or list of arrays, optional
        The weight, updated in place: an ndarray or any array that `mxopt.arrays.as_array` can view; a list
        holds one copy per context. Without it, `initialize` makes the weight from `shape`.
    grad : array, RowSparseArray, or list of them, optional
        The gradient's memory, which the caller writes to before each step. Without it, pass gradients to
        `set_grad` or write them to ``parameter.grad()[:]``; for a torch tensor, its ``.grad`` is used.
    grad_req : {'write', 'add', 'null'}
        'add': `set_grad` accumulates until `zero_grad`. 'null': the parameter is frozen.
    shape, dtype
        Of a parameter without `data`.
    lr_mult, wd_mult : float
        Multipliers of the learning rate and of the weight decay.
    stype, grad_stype : {'default', 'row_sparse'}
        Storage as the script sees it. Weights store every row, so a 'row_sparse' one is an ordinary array.
    init : object, optional
        An initializer: called with the name and the array.
    allow_deferred_init : bool, default False
        Accepted as in MXNet.
    differentiable : bool, default True
        Accepted as in MXNet.

    Attributes
    ----------
    fresh : bool or None
        Whether a gradient has arrived since the last step. None: only its contents can tell, because the
        caller writes to its own array. Set it to True before a step to say that the gradient is new.
    """

    def __init__(
        self,
        name: str = "weight",
        data: Any = None,
        grad: Any = None,
        grad_req: str = "write",
        shape: Any = None,
        dtype: Any = None,
        lr_mult: float = 1.0,
        wd_mult: float = 1.0,
        init: Any = None,
        allow_deferred_init: bool = False,
        differentiable: bool = True,
        stype: str = "default",
        grad_stype: str = "default",
    ) -> None:
        for what, storage in (("stype", stype), ("grad_stype", grad_stype)):
            if storage not in ("default", "row_sparse"):
                raise ValueError(
                    f"{what} of parameter {name!r} must be 'default' or 'row_sparse', got {storage!r}"
                )
        if isinstance(data, str):  # MXNet's second argument
            data, grad_req = None, data
        self.name = name
        self.lr_mult = checks.number(f"lr_mult of parameter {name!r}", lr_mult, tiny=True)
        self.wd_mult = checks.number(f"wd_mult of parameter {name!r}", wd_mult, tiny=True)
        self.stype, self.grad_stype = stype, grad_stype
        self.init = init
        self._shape = None if shape is None else (shape,) if np.isscalar(shape) else tuple(shape)
        self._dtype = np.dtype(np.float32 if dtype is None else dtype)
        self._sources = self._data = self._grad = self._places = None
        self.fresh = None
        #: Counts what a trainer must look up again: new weights, another `grad_req`, another gradient owner.
        self.version = 0
        self.owner_writes = True
        self.grad_req = grad_req if differentiable else "null"
        if data is not None:
            self._hold(data)
        self._grad_sources = []
        if grad is not None:
            self._grad_sources = _listed(grad)
            self._grad = [self._seen(as_gradient(g, self._gradient_name)) for g in self._grad_sources]
            self._check_copies("grad", self._grad)

    def _hold(self, data):
        sources = _listed(data)
        arrays = []
        for source in sources:
            array = as_array(source, f"data of parameter {self.name!r}").view(Weight)
            array._context = getattr(source, "_context", Context("cpu", len(arrays)))
            array.parameter = self
            arrays.append(array)
        if len({array.shape for array in arrays}) > 1:
            raise ValueError(
                f"all copies of parameter {self.name!r} must have the same shape, "
                f"got {[array.shape for array in arrays]}"
            )
        self._sources, self._data = sources, arrays
        self._shape, self._dtype = arrays[0].shape, arrays[0].dtype
        self.version += 1

    def _check_copies(self, what, arrays):
        copies = len(self._data or arrays)
        if len(arrays) != copies:
            raise ValueError(
                f"{what} of parameter {self.name!r} must come once for each of its {copies} copies, got "
                f"{len(arrays)}"
            )
        for array in arrays:
            if array.shape != self._shape:
                raise ValueError(
                    f"{what} of parameter {self.name!r} must have the shape of its data, "
                    f"{self._shape}, got {array.shape}"
                )

    def __deepcopy__(self, memo):
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        apart = ("_trainer", "_sources", "_data", "_grad", "_grad_sources")
        for name, value in vars(self).items():
            if name not in apart:
                made.__dict__[name] = copy.deepcopy(value, memo)
        made._sources = made._data = made._grad = None
        made._grad_sources = copy.deepcopy(self._grad_sources, memo)
        if self._data is not None:
            made._hold([copy.deepcopy(source, memo) for source in self._sources])
            for array, other in zip(made._data, self._data):
                array._context = other._context
        if self._grad_sources and self._grad is not None:
            made._grad = [made._seen(as_gradient(g, made._gradient_name)) for g in made._grad_sources]
        elif self._grad is not None:
            made._grad = [
                made._seen(copy.deepcopy(g, memo), getattr(g, "_context", None)) for g in self._grad
            ]
        owner = memo.get(id(self._trainer())) if self._trainer is not None else None
        if owner is not None:
            made._set_trainer(owner)
        return made

    def __repr__(self):
        return f"Parameter {self.name} (shape={self._shape}, dtype={self._dtype})"

    @property
    def shape(self):
        """Shape of the weight."""
        return self._shape

    @property
    def dtype(self):
        """Dtype of the weight."""
        return self._dtype

    @property
    def grad_req(self):
        """'write', 'add' or 'null'."""
        return self._grad_req

    @grad_req.setter
    def grad_req(self, request):
        if request not in _REQUESTS:
            raise ValueError(
                f"grad_req of parameter {self.name!r} must be one of {_REQUESTS}, got {request!r}"
            )
        self._grad_req = request
        self.version += 1
        if request == "null":
            self._grad = None

    # -- the weight ----------------------------------------------------------------------------------

    def initialize(
        self,
        init: Any = None,
        ctx: Any = None,
        default_init: Any = None,
        force_reinit: bool = False,
        device: Any = None,
    ) -> None:
        """Allocate the weight of a parameter made with a shape.

        Parameters
        ----------
        init : str, `mxopt.initializer.Initializer` or callable, optional
            A name or an initializer fills the weight, whatever the parameter's name; any other callable is
            given the array. Zeros by default.
        ctx : Context or list of Context, optional
        default_init : object, optional
            Used where `init` is not given.
        force_reinit : bool, default False
            Reinitialize a parameter that already has values.
        device : Context, optional
            The same as `ctx`, by the name of MXNet 2.
        """
        if self._data is not None and not force_reinit:
            return
        if self._shape is None or min(self._shape, default=1) <= 0:
            raise ValueError(f"parameter {self.name!r} needs a shape to be initialized, got {self._shape}")
        init = init or self.init or "zeros"
        from .. import initializer

        named = isinstance(init, (str, initializer.Initializer))
        if named:
            init = initializer.create(init)
        arrays = []
        for context in _listed(ctx or device or current_context()):
            array = ops.zeros(self._shape, memory_context(context), self._dtype)
            if named:  # whatever the parameter is called, as in MXNet
                init._init_weight(initializer.InitDesc(self.name), array)
            elif isinstance(init, (initializer.Load, initializer.Mixed)):
                init(initializer.InitDesc(self.name), array)
            else:
                init(array)
            arrays.append(array)
        self._hold(arrays)

    def _held(self):
        if self._data is None:
            raise DeferredInitializationError(
                f"parameter {self.name!r} has no data yet; call initialize() or pass data"
            )
        return self._data

    def list_data(self) -> list[Any]:
        """The weight's copies, one per context."""
        self._catch_up()
        return list(self._held())

    def data(self, ctx: Any = None) -> Any:
        """The weight as an NDArray over the memory that is updated.

        Parameters
        ----------
        ctx : Context, optional
            Which copy, of a parameter that has several.
        """
        self._catch_up()
        return self._held()[self._position(ctx)]

    def _catch_up(self, rows=None):
        """Bring rows that ``lazy_update="exact"`` left behind up to date, before these or all are read."""
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is not None:
            trainer._catch_up(self, rows)

    def list_ctx(self) -> list[Context]:
        """The contexts of the copies."""
        return [array.context for array in self._held()]

    list_device = list_ctx

    def _position(self, ctx):
        if ctx is None:
            return 0
        contexts = self.list_ctx()
        if ctx not in contexts:
            raise RuntimeError(f"parameter {self.name!r} was not initialized on {ctx}, but on {contexts}")
        return contexts.index(ctx)

    def set_data(self, data: Any) -> None:
        """Copy values into the weight.

        Parameters
        ----------
        data : ndarray or RowSparseArray
            The new values.
        """
        if self._data is None:
            self._shape = tuple(np.shape(data)) if self._shape is None else self._shape
            self.initialize()
        values = np.asarray(data.todense() if isinstance(data, RowSparseArray) else data)
        if values.shape != self._shape:
            raise ValueError(
                f"data of parameter {self.name!r} must have shape {self._shape}, got {values.shape}"
            )
        self._catch_up()  # the steps that rows have missed are those of the old values
        for array in self._data:
            array[...] = values
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is not None:
            trainer._weight_was_set(self)

    def row_sparse_data(self, row_id):
        """The rows of the weight named by `row_id`, as a row-sparse array."""
        rows = np.unique(np.asarray(row_id).astype(np.int64))
        self._catch_up(rows)
        return RowSparseNDArray(np.asarray(self._held()[0])[rows], rows, self._shape)

    def list_row_sparse_data(self, row_id):
        """As `row_sparse_data`, for each copy.

        Parameters
        ----------
        row_id : array
            The rows that are wanted.
        """
        return [self.row_sparse_data(row_id) for _ in self._held()]

    def reset_ctx(self, ctx):
        """Keep a copy of the weight for each of these contexts.

        Parameters
        ----------
        ctx : Context or list of Context
            Where the parameter is from now on.
        """
        values = self.data().asnumpy()
        self._data = self._grad = None
        self.initialize(ctx=ctx)
        self.set_data(values)

    reset_device = reset_ctx

    def cast(self, dtype):
        """Change the dtype; weight and gradient get new memory."""
        self._dtype = np.dtype(dtype)
        if self._data is not None:
            self._hold([array.astype(dtype) for array in self._data])
            self._grad = None

    # -- the gradient --------------------------------------------------------------------------------

    def list_grad(self) -> list[Any]:
        """The gradients, one per context."""
        if self._grad_req == "null":
            raise RuntimeError(f"parameter {self.name!r} has no gradient, because its grad_req is 'null'")
        if self._grad is None:
            self._grad = [self._new_gradient(array) for array in self._held()]
        self._grad = [view(gradient) for gradient in self._grad]
        return list(self._grad)

    def grad(self, ctx: Any = None) -> Any:
        """The gradient; the next step uses what is written to it.

        Parameters
        ----------
        ctx : Context, optional
            Which copy, of a parameter that has several.
        """
        return self.list_grad()[self._position(ctx)]

    @property
    def _gradient_name(self):
        return f"gradient of parameter {self.name!r}"

    def _seen(self, gradient, context=None):
        """A gradient as the script sees it, which notices when it is written to."""
        if isinstance(gradient, RowSparseArray):
            return gradient
        gradient = gradient.view(Gradient)
        gradient.parameter = self
        if context is not None:
            gradient._context = context
        return gradient

    def _new_gradient(self, array):
        if self.grad_stype == "row_sparse":
            return sparse.zeros("row_sparse", self._shape, dtype=self._dtype)
        self.fresh = bool(self.fresh)
        self._mxopt_knows()
        return self._seen(np.zeros(self._shape, self._dtype), array.context)

    def _mxopt_knows(self):
        """Declare that every gradient comes through this object from now on."""
        if self.owner_writes:
            self.owner_writes = False
            self.version += 1

    def set_grad(self, grad: Any) -> None:
        """Set the gradient for the next step.

        With ``grad_req='add'`` it is added to the gradients since `zero_grad`; otherwise it is kept by
        reference.

        Parameters
        ----------
        grad : array, RowSparseArray, or list of them (one per context)
        """
        self.take_over(self.checked_gradient(grad))

    def checked_gradient(self, grad):
        """Check the argument of `set_grad` and return it as a list, one array per context; changes nothing.

        Parameters
        ----------
        grad : ndarray or RowSparseArray
            The gradient to be checked.
        """
        if self._grad_req == "null":
            raise RuntimeError(f"parameter {self.name!r} takes no gradient, because its grad_req is 'null'")
        if self.is_frozen():
            raise RuntimeError(
                f"parameter {self.name!r} takes no gradient, because its tensor has requires_grad=False; "
                "call its requires_grad_()"
            )
        if type(grad) is np.ndarray and grad.shape == self._shape and len(self._data or ()) == 1:
            return [grad]
        self._held()
        given = [view(as_gradient(g, self._gradient_name)) for g in _listed(grad)]
        self._check_copies("gradient", given)
        return given

    def take_over(self, given):
        """Set or add gradients that `checked_gradient` has returned.

        Parameters
        ----------
        given : ndarray or RowSparseArray
            What `checked_gradient` returned.
        """
        if self._grad_req == "add":
            given = [_added(old, new) for old, new in zip(self._grad or [None] * len(given), given)]
        self._grad = given
        self.fresh = True
        if self.owner_writes:
            self._mxopt_knows()

    def zero_grad(self) -> None:
        """Set the gradients to zero."""
        if self._grad_req != "null" and self._grad is not None:
            fresh = self.fresh
            self._grad = [_zeroed(gradient) for gradient in self._grad]
            self.fresh = fresh

    def unsettled(self):
        """The parameter's real MXNet arrays, on which MXNet may still be computing in the background."""
        return [array for array in (*(self._sources or ()), *self._grad_sources) if is_mxnet(array)]

    def tensors(self):
        """The torch tensors that are the weight."""
        return [source for source in self._sources or () if is_torch(source)]

    def follow(self):
        """Check where the weight's torch tensors are now, and whether torch trains them.

        A module may move its parameters to other memory (``.half()``, ``.to()``) and be frozen or unfrozen.
        """
        places = [(t.data_ptr(), t.dtype, t.requires_grad) for t in self.tensors()]
        if places != self._places:
            if self._places is not None and [p[:2] for p in places] != [p[:2] for p in self._places]:
                self._hold(self._sources)
            self._places = places
            self.version += 1

    def is_frozen(self):
        """Whether it is a parameter of a torch module that torch does not train."""
        tensors = self.tensors()
        return bool(tensors) and not any(t.requires_grad or not is_parameter(t) for t in tensors)

    def is_trained(self):
        """Whether steps move it."""
        return self._grad_req != "null" and not self.is_frozen()

    def take_gradients(self):
        """The gradients for a step, one per context; None if there are none or the last step used them."""
        if self._grad is None:
            found = [getattr(source, "grad", None) for source in self._sources or ()]
            if not found or any(g is None for g in found):
                return None
            return [as_gradient(g, self._gradient_name) for g in found]
        return None if self.fresh is False else self._grad

    def single_gradient(self):
        """The contiguous array that the owner writes, if it is the only gradient to look at."""
        gradients = self._grad or ()
        if len(gradients) != 1 or not isinstance(gradients[0], np.ndarray):
            return None
        array = np.asarray(gradients[0])
        return array if array.flags.c_contiguous or array.size <= stale_gradients.WHOLE else None

    def mark_used(self):
        """Note that a step has used the gradient."""
        self.fresh = None if self.owner_writes else False

    # internals that MXNet's own modules and scripts use

    _trainer = None

    def _set_trainer(self, trainer):
        known = self._trainer() if self._trainer is not None else None
        if self.stype != "default" and trainer is not None and known not in (None, trainer):
            raise RuntimeError(
                f"parameter {self.name!r} is row-sparse and has a trainer, which knows the rows in use; go "
                "on with that one, or call _set_trainer(None) first"
            )
        self._trainer = None if trainer is None else weakref.ref(trainer)

    def _reduce(self):
        """The mean of the copies, as MXNet's modules save it."""
        copies = self.list_data()
        return copies[0].copy() if len(copies) == 1 else ops.add_n(*copies) / len(copies)

    @staticmethod
    def _check_and_get(arrays, ctx):
        return arrays if ctx is list else arrays[0]

    @property
    def _stype(self):
        return self.stype

    @property
    def _grad_stype(self):
        return self.grad_stype

    def var(self):
        """Refused: there are no symbols."""
        raise NotImplementedError("mxopt has no symbols; it only steps arrays")


class Constant(Parameter):
    """A parameter that is never updated.

    Parameters
    ----------
    name : str
        Its name.
    value : array
        The value, which no trainer changes.
    """

    def __init__(self, name, value=None):
        super().__init__(name, np.array(value, np.float32), grad_req="null")


class ParameterDict(dict):
    """Parameters by name.

    Parameters
    ----------
    prefix : str, or dict of str to Parameter
        Put before the names given to `get`.
    """

    def __init__(self, prefix="", **parameters):
        super().__init__(() if isinstance(prefix, str) else prefix, **parameters)
        self._prefix = prefix if isinstance(prefix, str) else ""

    @property
    def prefix(self):
        """What `get` puts before names."""
        return self._prefix

    def get(self, name, default=None, **kwargs):
        """The parameter of this name; made from the keyword arguments if there is none yet.

        Parameters
        ----------
        name : str
            The name.
        default : Parameter, optional
            What to return when there is none.
        """
        name = self._prefix + name
        if name not in self and kwargs:
            self[name] = Parameter(name, **kwargs)
        return super().get(name, default)

    def initialize(self, init=None, ctx=None, verbose=False, force_reinit=False):
        """Initialize all.

        Parameters
        ----------
        init : object, optional
            An initializer: called with the name and the array.
        ctx : Context, optional
            Accepted as in MXNet.
        verbose : bool, default False
            Accepted as in MXNet.
        force_reinit : bool, default False
            Reinitialize parameters that already have values.
        """
        for parameter in self.values():
            parameter.initialize(init, ctx, force_reinit=force_reinit)

    def zero_grad(self):
        """Set all gradients to zero."""
        for parameter in self.values():
            parameter.zero_grad()

    def save(self, filename, strip_prefix=""):
        """Write the weights to a ``.params`` file.

        Parameters
        ----------
        filename : str or os.PathLike
            The file.
        strip_prefix : str, default ''
            Cut from the beginning of each name.
        """
        save(filename, {name.removeprefix(strip_prefix): p.data() for name, p in self.items()})

    def load(self, filename, ctx=None, allow_missing=False, ignore_extra=False, **_options):
        """Copy the weights of a ``.params`` file into the parameters of the same names.

        Parameters
        ----------
        filename : str or os.PathLike
            The file.
        ctx : Context, optional
            Accepted as in MXNet.
        allow_missing : bool, default False
            Leave parameters that are not given as they are.
        ignore_extra : bool, default False
            Ignore names that are not parameters.
        """
        arrays = load(filename)
        missing, extra = sorted(set(self) - set(arrays)), sorted(set(arrays) - set(self))
        if missing and not allow_missing:
            raise ValueError(
                f"{filename} has no parameter {missing[0]!r}; pass allow_missing=True to keep its values"
            )
        if extra and not ignore_extra:
            raise ValueError(
                f"{filename} has {extra[0]!r}, but no parameter has that name; pass ignore_extra=True"
            )
        for name in self.keys() & arrays.keys():
            self[name].set_data(arrays[name])

    def setattr(self, name, value):
        """Set an attribute of all, such as ``grad_req`` or ``lr_mult``.

        Parameters
        ----------
        name : str
            The attribute, such as ``lr_mult``.
        value : object
            Its value in every parameter.
        """
        for parameter in self.values():
            setattr(parameter, name, value)


def _listed(x):
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _added(old, new):
    """The sum of two gradients; the first is copied, since it may belong to the caller."""
    if old is None:
        return new.copy()
    if isinstance(old, RowSparseArray) and isinstance(new, RowSparseArray):
        return RowSparseNDArray(
            np.concatenate([old.data, new.data]), np.concatenate([old.indices, new.indices]), old.shape
        )
    if isinstance(old, RowSparseArray):
        return old.todense() + new
    if isinstance(new, RowSparseArray):
        old[np.asarray(new.indices)] += new.data
    else:
        old += new
    return old


def _zeroed(gradient):
    if isinstance(gradient, RowSparseArray):
        return sparse.zeros("row_sparse", gradient.shape, dtype=gradient.dtype)
    gradient[...] = 0
    return gradient
