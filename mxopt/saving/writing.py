"""Writing states to bytes and files, in our format and MXNet's."""

from __future__ import annotations

import copy
import warnings

from .. import checks, dialects
from ..states import StateMismatch, files, mxnet, native
from . import document, mxnet_objects, narrow, orders, rows
from .background import Saving
from .undecided import known_weights, still_undecided

FORMATS = ("mxopt", *mxnet.FORMATS)


def get_states(updater, dump_optimizer=False, format="mxopt"):
    """The states of an updater as bytes.

    Parameters
    ----------
    updater : Updater
    dump_optimizer : bool, default False
        Whether to save the optimizer as well: its hyper-parameters, multipliers and scheduler. Our own format
        always keeps the update counts, so that a resumed run continues where it stopped.
    format : {'mxopt', 'mxnet-1.x', 'mxnet-2.x'}
        Ours, or the pickle that real MXNet 1.9.1 or 2.0 loads.

    Returns
    -------
    bytes

    Raises
    ------
    StateMismatch
        Names whatever the format cannot hold.
    """
    return b"".join(_pieces(updater, dump_optimizer, format))


def save_states(updater, path, dump_optimizer=False, format="mxopt", keep_previous=False, background=False):
    """Write the states of an updater to a file; see `get_states`.

    The file is written next to its target, synced and renamed: a crash at any moment leaves either the old
    file or the new one.

    Parameters
    ----------
    path : str or os.PathLike
    keep_previous : bool, default False
        Whether to keep a replaced file as ``<path>.prev``.
    background : bool, default False
        Whether to copy the states and return at once, while another thread writes the file. The file holds
        the states as of the call, whatever is stepped in the meantime.

    Returns
    -------
    Saving or None
        With `background`, a handle to wait for the file (`mxopt.saving.background.Saving`).
    """
    path = files.checked_path(path)
    if format != "mxopt":
        pieces = _pieces(updater, dump_optimizer, format)
        if background:
            pieces = [bytes(piece) for piece in pieces]

        def write():
            files.write_atomically(path, pieces, keep_previous)
    else:
        tree, names = document.describe(updater, dump_optimizer), document.array_names(updater)
        if background:
            tree = copy.deepcopy(tree)

        def write():
            with native.draft(tree, names) as (pieces, *head):
                files.write_atomically(path, pieces, keep_previous, head)

    if not background:
        return write()
    before = updater._saving
    if before is not None and before.done():
        before.settle()
    updater._saving = Saving(write, path, before)
    return updater._saving


def _pieces(updater, dump_optimizer, format):
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {format!r}{checks.nearest(format, FORMATS)}")
    if format == "mxopt":
        return native.to_pieces(document.describe(updater, dump_optimizer), document.array_names(updater))
    dialect = dialects.get(format.partition("-")[2])
    undecided = still_undecided(updater)
    # states saved without an optimizer, in the dialect assumed on loading, leave the same question open
    if undecided and (dump_optimizer or dialect is not undecided.dialect):
        undecided.warn("no weight has been seen that would tell")
    if updater._scaler is not None:
        warnings.warn(
            f"{format} has no place for loss_scale: its scale and counts are left out of the file",
            UserWarning,
            stacklevel=checks.outside(),
        )
    if updater._averages is not None:
        warnings.warn(
            f"{format} has no place for ema: the averages of the weights are left out of the file",
            UserWarning,
            stacklevel=checks.outside(),
        )
    if any(map(narrow.has_narrow, updater.states.values())):
        warnings.warn(
            f"{format} has no place for narrow states: they are written as float32",
            UserWarning,
            stacklevel=checks.outside(),
        )
    optimizer = updater.optimizer
    target = orders.as_in(optimizer, dialect)
    if target is None:
        raise StateMismatch(
            f"MXNet {dialect.name} has no optimizer {type(optimizer).__name__.lower()!r}, so its states "
            "cannot be written for it"
        )
    record = mxnet_objects.to_record(optimizer, dialect) if dump_optimizer else None
    arrange, states = orders.Arrangement(optimizer, target), {}
    known = narrow.with_weights(optimizer, rows.of_updater(updater), known_weights(optimizer))
    if any(map(narrow.has_split, updater.states.values())):
        warnings.warn(
            f"{format} has no place for split masters: they are written as float32",
            UserWarning,
            stacklevel=checks.outside(),
        )
    for key, state in known.items():
        arranged = arrange(narrow.widened(state))
        if arranged is None:
            raise StateMismatch(
                f"the state of {checks.who(optimizer, key)} is {orders.spelled(state)}, and "
                f"{type(optimizer).__name__.lower()!r} with its present hyper-parameters keeps "
                f"{arrange.spelled}"
            )
        states[key] = arranged[0]
    return mxnet.to_pieces(states, record, format)
