"""One typed table for every figure: what was measured, on what, how surely, and why not where not.

A :class:`Row` is one figure with its interval; :class:`Results` is a table of them in a canonical
order, so that tables built in any order, merged or read back are equal. Missing numbers are NaN in
memory and null in files, always beside a reason.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from uncertain import atomic, checks
from uncertain.intervals import Estimate

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Kind = Literal["estimate", "difference", "null", "undefined"]
Over = Literal["items", "trainings", "both"]
KINDS = ("estimate", "difference", "null", "undefined")
OVER = ("items", "trainings", "both")
FORMAT = "uncertain.results"
FORMAT_VERSION = 1

METRICS = (
    "accuracy", "nll", "brier", "ece", "ece_null", "ece_debiased", "rms_calibration_error_debiased",
    "smooth_ece", "smooth_ece_null", "adaptive_calibration_error",
    "calibration_ks", "calibration_kuiper", "spiegelhalter_z",
    "brier_miscalibration", "brier_discrimination", "brier_uncertainty",
    "log_miscalibration", "log_discrimination", "log_uncertainty",
    "rps", "grid_nll", "joint_nll", "energy_score",
    "crps", "rmse", "mae", "coverage", "coverage_null", "interval_score", "sharpness",
    "pit_ks",
    "quantile_calibration_error", "quantile_calibration_error_null",
    "auroc", "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive", "scod_cost",
    "aupr_error_positive", "aupr_correct_positive", "fpr95_error_positive", "augrc", "aurc",
    "excess_aurc", "risk_at_80_coverage", "risk_at_90_coverage", "risk_at_95_coverage",
    "coverage_at_1_risk", "coverage_at_5_risk",
    "parts_correlation", "epistemic_slope", "aleatoric_slope", "noise_aleatoric_rise",
    "noise_epistemic_share", "noise_spill", "rating_correlation", "rating_correlation_gain",
    "conformal_coverage", "set_size", "interval_width", "conformal_coverage_by_size",
    "conformal_coverage_by_class", "conformal_coverage_by_group",
)  # fmt: skip
"""The usual metrics in the order a reader wants them; others follow by name."""

_METRIC_ORDER = {name: i for i, name in enumerate(METRICS)}
_SPLIT_ORDER = {"test": 0, "validation": 1, "train": 2, "shift": 3, "ood": 4}
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


@dataclass(frozen=True, eq=False)
class Results:
    """A table of figures in canonical order, with where it came from.

    Attributes:
        rows: The rows; sorted on construction, exact duplicates dropped.
        metadata: Text facts: ``command``, ``seed``, ``created`` and versions.

    Raises:
        ValueError: Two rows name the same figure and disagree.

    Example:
        >>> a = Results([Row("accuracy", 0.9, 0.88, 0.92, source="net", n=900)])
        >>> b = Results([Row("nll", 0.31, 0.29, 0.33, source="net", n=900)])
        >>> a + b == b + a
        True
        >>> print(a + b)
        split  metric    source  value  95% interval     n
        test   accuracy  net     0.900  [0.880, 0.920]  900
        test   nll       net     0.310  [0.290, 0.330]  900
    """

    rows: tuple[Row, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __init__(self, rows: Iterable[Row], metadata: Mapping[str, str] | None = None) -> None:
        ordered = sorted(rows, key=_sort_key)
        object.__setattr__(self, "rows", tuple(_without_duplicates(ordered)))
        facts = {str(key): str(value) for key, value in (metadata or {}).items()}
        object.__setattr__(self, "metadata", facts)

    @classmethod
    def create(cls, rows: Iterable[Row], *, command: str = "", seed: int | None = None) -> Results:
        """Return a table stamped with versions, the command, the seed and the time of making it.

        Example:
            >>> table = Results.create([Row("accuracy", 0.9)], command="uncertain evaluate a.npz")
            >>> table.metadata["command"]
            'uncertain evaluate a.npz'
        """
        from uncertain.evaluation.provenance import now, short_text, versions

        found = versions()
        facts = {"command": command, "seed": "" if seed is None else str(seed), "created": now()}
        text = short_text(found)
        stamped = (row if row.versions else dataclasses.replace(row, versions=text) for row in rows)
        return cls(stamped, {**{k: v for k, v in facts.items() if v}, **found})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Results):
            return NotImplemented
        return self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)

    def __add__(self, other: Results) -> Results:
        if not isinstance(other, Results):
            return NotImplemented
        return Results((*self.rows, *other.rows), _join_facts(self.metadata, other.metadata))

    def select(
        self,
        *,
        metric: str | Collection[str] | None = None,
        source: str | Collection[str] | None = None,
        split: str | Collection[str] | None = None,
        variant: str | Collection[str] | None = None,
        kind: str | Collection[str] | None = None,
        task: str | Collection[str] | None = None,
        training: str | Collection[str] | None = None,
        other: str | Collection[str] | None = None,
        over: str | Collection[str] | None = None,
        subgroup: str | Collection[str] | None = None,
    ) -> Results:
        """Return the rows whose fields equal what is given, or are among it.

        Example:
            >>> table = Results([Row("accuracy", 0.9), Row("nll", 0.3), Row("brier", 0.1)])
            >>> [row.metric for row in table.select(metric=["nll", "brier"])]
            ['nll', 'brier']
        """
        asked = {
            "metric": metric, "source": source, "split": split, "variant": variant, "kind": kind,
            "task": task, "training": training, "other": other, "over": over,
            "subgroup": subgroup,
        }  # fmt: skip
        wanted = [
            (name, frozenset((want,) if isinstance(want, str) else want))
            for name, want in asked.items()
            if want is not None
        ]
        kept = [row for row in self.rows if all(getattr(row, n) in want for n, want in wanted)]
        # What is left of rows in order is in order: sorting again would be most of the cost.
        chosen = object.__new__(Results)
        object.__setattr__(chosen, "rows", tuple(kept))
        object.__setattr__(chosen, "metadata", self.metadata)
        return chosen

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The models and controls, by name."""
        return tuple(sorted({row.source for row in self.rows}, key=natural_key))

    def to_arrow(self) -> pa.Table:
        """Return a typed Arrow table; NaN is null, infinities stay, metadata is in the schema.

        Example:
            >>> table = Results([Row("accuracy", 0.9)]).to_arrow()
            >>> table.num_rows, str(table.schema.field("value").type), table["low"].null_count
            (1, 'double', 1)
        """
        from uncertain.evaluation import results_files

        return results_files.to_arrow(self)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Results:
        """Return the results that :meth:`to_arrow` made into a table.

        Raises:
            ValueError: Where the table is not one of ours, or a newer version wrote it.

        Example:
            >>> table = Results([Row("accuracy", 0.9)])
            >>> Results.from_arrow(table.to_arrow()) == table
            True
        """
        from uncertain.evaluation import results_files

        return results_files.from_arrow(table)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one column a field.

        Raises:
            ModuleNotFoundError: Where pandas is not installed.
        """
        checks.require("pandas", "benchmark")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_json(self) -> str:
        """Return JSON text: ``format``, ``version``, ``metadata`` and a flat list ``rows``.

        Numbers that are not finite are null; the row's ``reason`` says why.

        Example:
            >>> import json
            >>> table = Results([Row("nll", float("inf"), reason="1 row has probability 0")])
            >>> row = json.loads(table.to_json())["rows"][0]
            >>> row["value"], row["reason"]
            (None, '1 row has probability 0')
        """
        from uncertain.evaluation import results_files

        return results_files.to_json(self)

    def write(
        self, path: atomic.StrPath, *, format: Literal["parquet", "json"] | None = None
    ) -> None:
        """Write a Parquet or JSON file, whole or not at all.

        Args:
            path: Where to.
            format: What to write; by default what the ending, ``.parquet`` or ``.json``, says.

        Raises:
            ValueError: For another ending and no ``format``.
            OSError: Where the file can't be written.

        Example:
            >>> import pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "results.json"
            >>> Results([Row("accuracy", 0.9)]).write(path)
            >>> Results.read(path).rows[0].value
            0.9
        """
        from uncertain.evaluation import results_files

        results_files.write(self, path, format=format)

    @classmethod
    def read(cls, path: atomic.StrPath) -> Results:
        """Read what :meth:`write` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is empty, truncated, not ours, or of a newer version.
        """
        from uncertain.evaluation import results_files

        return results_files.read(path)

    def __str__(self) -> str:
        from uncertain.evaluation.formatting import text_table

        return text_table(self)

    def _repr_html_(self) -> str:
        from uncertain.evaluation.formatting import html_table

        return html_table(self)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts ``model-10`` after ``model-9``.

    Example:
        >>> sorted(["m10", "m9", "m"], key=natural_key)
        ['m', 'm9', 'm10']
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple((1, int(p), p) if p.isdecimal() else (0, 0, p) for p in parts if p)


def split_key(split: str) -> tuple[Any, ...]:
    """Return a sort key: the test set first, then shifts by severity, then the strange inputs."""
    head, _, rest = split.partition(":")
    return _SPLIT_ORDER.get(head, len(_SPLIT_ORDER)), natural_key(head), natural_key(rest)


def is_sanity(row: Row) -> bool:
    """Return whether a row's reason says that its pair is only a sanity check, and carries no claim.

    Example:
        >>> is_sanity(Row("auroc", 0.99, reason="sanity: noise")), is_sanity(Row("auroc", 0.99))
        (True, False)
    """
    return "sanity:" in row.reason


def metric_key(metric: str) -> tuple[int, str]:
    """Return a sort key: the usual order of metrics, then by name."""
    return _METRIC_ORDER.get(metric, len(_METRIC_ORDER)), metric


def _sort_key(row: Row) -> tuple[Any, ...]:
    # Every field takes part, so that the order never depends on the order of arrival.
    name = (
        natural_key(row.task), split_key(row.split), KINDS.index(row.kind) == 1,
        natural_key(row.subgroup),
        metric_key(row.metric), natural_key(row.variant), natural_key(row.source),
        natural_key(row.training), natural_key(row.other), row.over, row.kind, row.level,
        row.positive_class,
    )  # fmt: skip
    numbers = ((math.isnan(v), 0.0 if math.isnan(v) else v) for v in (row.value, row.low, row.high))
    p_value = -1.0 if row.p_value is None else row.p_value
    rest = (row.n, row.n_groups or 0, p_value, row.rank_group, row.reason, row.versions)
    return (*name, *numbers, *rest)


def _without_duplicates(rows: Iterable[Row]) -> Iterator[Row]:
    """Drop rows that repeat the one before; refuse one figure with two values."""
    last: Row | None = None
    for row in rows:
        if last is not None and _identity(row) == _identity(last):
            same = (row.value == last.value) or (math.isnan(row.value) and math.isnan(last.value))
            if not same:
                raise ValueError(
                    f"`rows` should give each figure once, got `{row.metric}` {row.variant!r} of "
                    f"{row.source!r} on {row.split!r} as {last.value} and {row.value}: give the "
                    "runs different `source`, `training` or `task` names."
                )
            if dataclasses.replace(row, versions="") == dataclasses.replace(last, versions=""):
                continue
        last = row
        yield row


def _identity(row: Row) -> tuple[Any, ...]:
    return (
        row.task, row.split, row.metric, row.variant, row.source, row.training, row.other,
        row.over, row.kind, row.level, row.positive_class, row.subgroup,
    )  # fmt: skip


def _join_facts(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """Keep what agrees; list what differs, each value once; the later time of making."""
    joined = dict(a)
    for key, value in b.items():
        if key not in joined or key == "created":
            joined[key] = max(value, joined.get(key, ""))
        elif value not in joined[key].split("; "):
            joined[key] = "; ".join(sorted({*joined[key].split("; "), value}))
    return joined
