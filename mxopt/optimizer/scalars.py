"""The numbers that an optimizer passes to its rules: named, checked, and read as MXNet reads them."""

from __future__ import annotations

import math
import operator

import numpy as np

from .. import checks, kernels


class RuleScalars:
    """The part of an optimizer that makes the scalars of its rules (`kernels.Scalars`)."""

    #: The scalars' names, in the order of `scalars`; checked against the rules when the class is registered.
    scalar_names: tuple[str, ...] = ("lr", "wd", "rescale_grad", "clip_gradient")
    #: The scalars that MXNet passes to its operator as text (see `mxopt.kernels.as_read_by_mxnet`).
    text_scalars: tuple[str, ...] = ()
    #: The scalars that are bias corrections 1 - beta**t, and their betas; float32 uses powf.
    corrections: dict[str, str] = {}
    #: Those that may be infinite, which means no limit. All others must be finite...
    limits: tuple[str, ...] = ("clip_gradient",)
    #: ...except these, which a loss scaler sets to NaN or infinity to skip a step.
    unchecked: tuple[str, ...] = ("rescale_grad", "norm_rescale")

    rescale_grad: float
    clip_gradient: float | None

    _texts: tuple[bool, ...] = (False,) * 4
    _corrections: tuple[tuple[int, int], ...] = ()
    _may_be = bytes(4)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._texts = tuple(name in cls.text_scalars for name in cls.scalar_names)
        cls._corrections = tuple(tuple(map(cls.scalar_names.index, pair)) for pair in cls.corrections.items())
        cls._may_be = bytes(
            2 if name in cls.unchecked else int(name in cls.limits) for name in cls.scalar_names
        )

    _read_as_text = property(operator.attrgetter("_texts"))

    def scalars(self, t, lr, wd, *numbers):
        """The scalars of one tensor's rule, in the order of `scalar_names`.

        Parameters
        ----------
        t : int
            Its update count, this update included.
        lr, wd : float
            Its learning rate and weight decay, multipliers applied.
        *numbers : float
            For classes with states of one number a tensor, what these hold. Their new values are among the
            scalars, under the states' names.
        """
        return lr, wd, self._rescale, self._clip

    #: `rescale_grad` as a float, and the bound of clipping (infinite: none). Every step reads both. Usually
    #: they are what was set; the two methods below handle everything else.
    _rescale = property(kernels.rescale_of)
    _clip = property(kernels.clip_of)

    def _converted_rescale(self):
        # MXNet's AdamW leaves a one-element array there.
        rescale = self.rescale_grad
        return float(rescale.item() if hasattr(rescale, "item") else rescale)

    def _checked_clip(self):
        clip = self.clip_gradient
        try:
            if clip > 0:
                return clip
        except (TypeError, ValueError):
            pass
        checks.optional_number("clip_gradient", clip)
        return math.inf

    _scalars = kernels.scalars_of

    def _scalars_from(self, rates, numbers):
        """The scalars of tensors whose states hold `numbers`, a row for each."""
        if len(rates) == 1 and (numbers == numbers[:1]).all():
            numbers = numbers[:1]
        elif len(rates) == 1:
            rates = rates * len(numbers)
        held = map(tuple, numbers.tolist())
        return self._tabulated([(*rate, *one) for rate, one in zip(rates, held)], self.scalars)

    def _tabulated(self, rates, make):
        """`kernels.Scalars` of ``make(t, lr, wd)``, and numbers if there are any; equal rates share a row."""
        if len(rates) == 1:
            (rate,) = rates
            row, single = self._row(make(*rate), rate[0])
            return kernels.Scalars([row], None, None if single is row else [single])
        seen, table, singles, rows, differ = {}, [], [], [], False
        for rate in rates:
            at = None if self.scalars_differ else seen.get(rate)
            if at is None:
                at = seen[rate] = len(table)
                row, single = self._row(make(*rate), rate[0])
                table.append(row)
                singles.append(single)
                differ = differ or single is not row
            rows.append(at)
        return kernels.Scalars(
            table, np.array(rows, np.int32) if len(table) > 1 else None, singles if differ else None
        )

    #: Whether equal (t, lr, wd) may still give different scalars, tensor by tensor.
    scalars_differ = False

    def _row(self, row, t):
        """The scalars of one tensor, checked, and those for float32 (the same object if equal)."""
        try:
            single = kernels.read_row(row, self._read_as_text, self._corrections, t, self._may_be)
        except TypeError:  # an attribute was set to a one-element array, or to something that is not a number
            row = checks.plain_scalars(self.scalar_names, row)
            single = kernels.read_row(row, self._read_as_text, self._corrections, t, self._may_be)
        if single is None:
            raise checks.not_finite(self.scalar_names, row, self._may_be)
        return row, single

    def _scalars_by_rows(self, by_rows, scalars):
        """The scalars when some tensors, given by `by_rows`, are updated by rows."""
        return scalars

    def between(self, indices, rule, sums, scalars):
        """The scalars for the rules that follow a read-only one: each tensor's sums filled in by name.

        Parameters
        ----------
        indices : list
        rule : Rule
            The rule that has run.
        sums : float64 array (number of tensors, number of sums)
        scalars : kernels.Scalars

        Returns
        -------
        kernels.Scalars
            With one row per tensor.
        """
        scalars, columns = scalars.each(len(sums)), self._columns(rule)
        scalars.table[:, columns] = scalars.singles[:, columns] = sums
        return scalars

    def _columns(self, rule):
        """The columns of a rule's sums among the scalars of the rules after it."""
        return [self.scalar_names.index(name) for name in rule.sums]
