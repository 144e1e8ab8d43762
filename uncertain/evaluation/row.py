"""One figure with its interval, and what both are about.

Missing numbers are NaN in memory and null in files, always beside a reason.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from uncertain import checks
from uncertain.intervals import Estimate

Kind = Literal["estimate", "difference", "null", "undefined"]
Over = Literal["items", "trainings", "both"]
KINDS = ("estimate", "difference", "null", "undefined")
OVER = ("items", "trainings", "both")
_NUMBERS = ("value", "low", "high")
_OPTIONAL = ("n_groups", "p_value")
NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One figure, its interval, and what both are about.

    Attributes:
        metric: The quantity: ``accuracy``, ``nll``, ``auroc``, ...
        value: The figure; NaN where undefined, infinite where it is (an NLL), both with a reason.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end of the interval; NaN where there is none.
        kind: ``estimate``; ``difference`` of ``source`` minus ``other``; ``null``, the figure's
            level if nothing were wrong; or ``undefined``.
        source: The model, or the control, that is judged.
        variant: The convention, bins or score; part of the figure's name.
        split: ``test``, ``validation``, ``ood:NAME`` or ``shift:KIND:SEVERITY``.
        task: The data set.
        training: Which training of the source; empty for a single one or for a mean over several.
        other: What a difference is taken from.
        level: Nominal coverage of the interval.
        over: What would vary in a repetition: ``items``, ``trainings`` or ``both``.
        n: Rows the figure rests on.
        n_groups: Independent groups of rows, where rows were grouped.
        p_value: Two-sided, adjusted by Holm where several comparisons were made.
        reason: Why the value or the interval is missing or unusual.
        positive_class: What a ranking metric counts as positive.
        rank_group: Sources that share a letter are not told apart.
        subgroup: Which rows the figure is about, part of its name: ``site=B``, or ``worst site``
            for the worst of a column's subgroups; empty for all rows.
        versions: What computed it.

    Raises:
        ValueError: Where the parts contradict each other.

    Example:
        >>> Row("accuracy", 0.9, 0.88, 0.92, source="net", n=900).kind
        'estimate'
        >>> Row("auroc", float("nan"), source="net", kind="undefined")
        Traceback (most recent call last):
        ValueError: `reason` should say why `auroc` of 'net' is nan, got nothing.
    """

    metric: str
    value: float
    low: float = NAN
    high: float = NAN
    kind: Kind = "estimate"
    source: str = "model"
    variant: str = ""
    split: str = "test"
    task: str = ""
    training: str = ""
    other: str = ""
    level: float = 0.95
    over: Over = "items"
    n: int = 0
    n_groups: int | None = None
    p_value: float | None = None
    reason: str = ""
    positive_class: str = ""
    rank_group: str = ""
    versions: str = ""
    subgroup: str = ""

    def __post_init__(self) -> None:
        # NumPy scalars become plain numbers, so that rows print, hash and serialise alike.
        for name in (*_NUMBERS, "level"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "n", int(self.n))
        if self.n_groups is not None:
            object.__setattr__(self, "n_groups", int(self.n_groups))
        if self.p_value is not None:
            number = float(self.p_value)
            object.__setattr__(self, "p_value", None if math.isnan(number) else number)
        _check_row(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        return self._comparable == other._comparable

    def __hash__(self) -> int:
        return hash(self._comparable)

    @property
    def _comparable(self) -> tuple[Any, ...]:
        """Every field, NaN as ``None``: two rows without an interval are equal."""
        values = (getattr(self, name) for name in FIELDS)
        return tuple(None if isinstance(v, float) and math.isnan(v) else v for v in values)

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are there."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @classmethod
    def from_estimate(
        cls,
        metric: str,
        estimate: Estimate,
        *,
        source: str,
        kind: Kind = "estimate",
        variant: str = "",
        split: str = "test",
        task: str = "",
        training: str = "",
        other: str = "",
        positive_class: str = "",
        subgroup: str = "",
    ) -> Row:
        """Return the row of an :class:`~uncertain.intervals.Estimate`.

        A NaN value makes the row ``undefined``, whatever ``kind`` asked for.

        Example:
            >>> from uncertain.intervals import undefined
            >>> Row.from_estimate("auroc", undefined("one class only", n=5), source="net").kind
            'undefined'
        """
        return cls(
            metric=metric,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            kind="undefined" if math.isnan(estimate.value) else kind,
            source=source,
            variant=variant,
            split=split,
            task=task,
            training=training,
            other=other,
            level=estimate.level,
            over=estimate.over,  # type: ignore[arg-type]
            n=estimate.n,
            n_groups=estimate.n_groups,
            p_value=estimate.p_value,
            reason=estimate.reason,
            positive_class=positive_class,
            subgroup=subgroup,
        )


FIELDS = tuple(f.name for f in dataclasses.fields(Row))
"""The columns of the table, in order."""


def _check_row(row: Row) -> None:
    checks.check_choice("kind", row.kind, KINDS)
    checks.check_choice("over", row.over, OVER)
    checks.check_range("level", row.level, 0, 1, open_low=True, open_high=True)
    checks.check_range("n", row.n, 0)
    if row.p_value is not None:
        checks.check_range("p_value", row.p_value, 0, 1)
    if not row.metric:
        raise ValueError("`metric` should name the quantity, got an empty string.")
    if not math.isfinite(row.value) and not row.reason:
        raise ValueError(
            f"`reason` should say why `{row.metric}` of {row.source!r} is {row.value}, got nothing."
        )
    if math.isnan(row.value) != (row.kind == "undefined"):
        raise ValueError(
            f"`kind` should be 'undefined' exactly where the value is NaN, got {row.kind!r} beside "
            f"{row.value} for `{row.metric}` of {row.source!r}."
        )
    if row.low > row.high:
        raise ValueError(
            f"`low` should not exceed `high`, got {row.low} and {row.high} for `{row.metric}` of "
            f"{row.source!r}."
        )
    if (row.kind == "difference") != bool(row.other) and row.kind != "undefined":
        raise ValueError(
            f"`other` should name what a difference is taken from, and only there, got "
            f"{row.other!r} beside kind {row.kind!r} for `{row.metric}` of {row.source!r}."
        )
