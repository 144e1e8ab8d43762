"""What the sections of a report are written from: the table, indexed, and the predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.corp import SCORES, TERMS
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking_sums import SELECTIVE
from uncertain.evaluation.report.glossary import CONFORMAL, COSTS
from uncertain.evaluation.report.html import Attributes
from uncertain.evaluation.report.svg import series_style
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_order import metric_key, natural_key, split_key
from uncertain.evaluation.temperature_scaled import is_scaled

CONTROL = "control"
DETECTOR = "detector"
PREFERRED = {
    "ece": ("equal_width,15,l1,top_label",),
    "ece_null": ("equal_width,15,l1,top_label",),
    "smooth_ece": ("reflected,bandwidth=value,top_label",),
    **dict.fromkeys(("calibration_ks", "calibration_kuiper", "spiegelhalter_z"), ("top_label",)),
    **{f"{score}_{term}": ("top_label",) for score in SCORES for term in TERMS},
    "ece_debiased": ("equal_width,15,l1,top_label",),
    "rms_calibration_error_debiased": ("equal_width,15,l2,top_label",),
    "auroc": ("error:msp", "error:entropy", "error:sd"),
    **dict.fromkeys(SELECTIVE, ("error:msp", "msp")),
    "coverage": ("0.9", "0.95"),
    "interval_score": ("0.9", "0.95"),
    "sharpness": ("0.9", "0.95"),
}
OVER_ORDER = {"both": 0, "trainings": 1, "items": 2}


class Material:
    """The results and predictions of one report, and the questions its sections ask of them."""

    def __init__(
        self,
        results: Results,
        predictions: Sequence[Predictions],
        *,
        command: str = "",
        prefix: str = "f",
    ) -> None:
        self._prefix = prefix
        self.every = results
        self.results = _raw(results.select(subgroup=""))
        self.command = command or results.metadata.get("command", "")
        self.predictions = tuple(
            sorted(
                predictions,
                key=lambda p: (
                    natural_key(p.task), split_key(p.split), natural_key(p.source),
                    natural_key(p.training),
                ),
            )
        )  # fmt: skip
        self._rows: dict[tuple[str, str, str, str], list[Row]] = {}
        for row in self.results.rows:
            self._rows.setdefault((row.task, row.split, row.metric, row.source), []).append(row)
        self._given = 0

    def identifier(self) -> str:
        """Return an identifier that the page has not used yet."""
        self._given += 1
        return f"{self._prefix}{self._given}"

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The models, without controls, in natural order."""
        names = {row.source for row in self.results.rows if not is_control(row)}
        names |= {p.source for p in self.predictions}
        return tuple(sorted(names, key=natural_key))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The data sets."""
        names = {row.task for row in self.results.rows} | {p.task for p in self.predictions}
        return tuple(sorted(names, key=natural_key))

    def style(self, source: str) -> Attributes:
        """Return the colour and dashes that a model has in every plot."""
        return series_style(self.sources.index(source))

    def splits(self, task: str) -> tuple[str, ...]:
        """The splits of a task that have figures."""
        return self._splits.get(task, ())

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for row in self.results.rows:
            found.setdefault(row.task, set()).add(row.split)
        return {task: tuple(sorted(splits, key=split_key)) for task, splits in found.items()}

    def sources_of(self, task: str) -> tuple[str, ...]:
        """The models that were judged on a task."""
        return self._sources_of.get(task, ())

    @cached_property
    def _sources_of(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for key in self._rows:
            found.setdefault(key[0], set()).add(key[3])
        for p in self.predictions:
            found.setdefault(p.task, set()).add(p.source)
        return {
            task: tuple(source for source in self.sources if source in names)
            for task, names in found.items()
        }

    def rows(
        self, task: str, split: str, metric: str, source: str, *, kind: str = "estimate"
    ) -> list[Row]:
        """Return the rows of one figure, in all its variants and trainings."""
        figures = kind == "estimate"
        kinds = (kind, "undefined") if figures else (kind,)
        found = self._rows.get((task, split, metric, source), [])
        # An undefined difference is no figure of its source.
        return [r for r in found if r.kind in kinds and not (figures and r.other)]

    def row(
        self,
        task: str,
        split: str,
        metric: str,
        source: str,
        *,
        variant: str | None = None,
        training: str | None = None,
        kind: str = "estimate",
    ) -> Row | None:
        """Return the row that stands for a figure: over all trainings where there are several.

        Args:
            task: The data set.
            split: The split.
            metric: The metric.
            source: The model.
            variant: The variant; the usual one where ``None``.
            training: One training's row, where the training is named.
            kind: The kind of row.
        """
        rows = [
            row
            for row in self.rows(task, split, metric, source, kind=kind)
            if not row.variant.startswith("ood:") or variant == row.variant
        ]
        if training is not None:
            rows = [row for row in rows if row.training == training]
        if variant is None:
            variant = main_variant(metric, {row.variant for row in rows})
        rows = [row for row in rows if row.variant == variant]
        return min(rows, key=_stands_for, default=None)

    def null_of(self, row: Row) -> Row | None:
        """Return the null of a plug-in error; of its first training, where it is a mean of several."""
        rows = [
            r
            for r in self.rows(row.task, row.split, f"{row.metric}_null", row.source, kind="null")
            if r.variant == row.variant
        ]
        same = [r for r in rows if r.training == row.training]
        return next(iter(same or rows), None)

    def metrics(self, task: str, split: str) -> list[str]:
        """Return the quality metrics of a split, in the usual order."""
        return self._metrics.get((task, split), [])

    @cached_property
    def _metrics(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        for row in self.results.rows:
            quality = row.kind in ("estimate", "undefined") and row.metric not in COSTS
            if quality and not row.variant.startswith("ood:") and not is_control(row):
                found.setdefault((row.task, row.split), set()).add(row.metric)
        return {key: sorted(names, key=metric_key) for key, names in found.items()}

    def first(self, task: str, split: str, source: str) -> Predictions | None:
        """Return the predictions of a source's first training on a split."""
        found = (
            p for p in self.predictions if (p.task, p.split, p.source) == (task, split, source)
        )
        return next(found, None)

    def labelled(self, task: str, split: str = "test") -> list[Predictions]:
        """Return each source's first training on a split, where it has targets."""
        firsts = (self.first(task, split, source) for source in self.sources_of(task))
        return [p for p in firsts if p is not None and p.target is not None]

    def trainings(self, task: str, split: str, source: str) -> int:
        """Return how many trainings of a source there are predictions of."""
        return sum((p.task, p.split, p.source) == (task, split, source) for p in self.predictions)

    def probabilities(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return class probabilities (N, C), computed once for each object."""
        cache: dict[int, NDArray[np.float64]] = self.__dict__.setdefault("_probabilities", {})
        if id(predictions) not in cache:
            cache[id(predictions)] = families.class_probabilities(predictions.distribution)
        return cache[id(predictions)]


def _raw(results: Results) -> Results:
    """Leave out what has a section of its own: conformal sets, and figures after scaling."""
    rows = [row for row in results.rows if not is_scaled(row) and row.metric not in CONFORMAL]
    return results if len(rows) == len(results) else Results(rows, results.metadata)


def is_control(row: Row) -> bool:
    """Return whether a row's score looks at no model."""
    return row.source.startswith(CONTROL) or ood_parts(row)[1].startswith(CONTROL)


def is_detector(row: Row) -> bool:
    """Return whether a row's score is a detector's, read from a network's features and logits."""
    return ood_parts(row)[1].startswith(DETECTOR)


def ood_parts(row: Row) -> tuple[str, str]:
    """Return the name and the score of a variant ``ood:NAME:SCORE``, empty where it is none.

    Example:
        >>> ood_parts(Row("auroc", 0.9, variant="ood:glyphs:control:mean"))
        ('glyphs', 'control:mean')
    """
    if not row.variant.startswith("ood:"):
        return "", ""
    rest = row.variant.removeprefix("ood:")
    for prefix in (CONTROL, DETECTOR):
        if f":{prefix}:" in rest:
            name, _, score = rest.partition(f":{prefix}:")
            return name, f"{prefix}:{score}"
    name, _, score = rest.rpartition(":")
    return (name, score) if name else (score, "")


def is_trivial(rows: Sequence[Row]) -> bool:
    """Return whether a control tells a pair apart: by the table's word, or above 0.85."""
    return any(
        "trivial:" in r.reason or (is_control(r) and max(r.value, 1 - r.value) > 0.85) for r in rows
    )


def main_variant(metric: str, variants: Iterable[str]) -> str:
    """Return the variant that stands for a metric: the usual one, else the first.

    Example:
        >>> main_variant("ece", ["equal_mass,15,l1,top_label", "equal_width,15,l1,top_label"])
        'equal_width,15,l1,top_label'
    """
    found = sorted(variants)
    for preferred in PREFERRED.get(metric, ()):
        if preferred in found:
            return preferred
    return found[0] if found else ""


def defined(row: Row | None) -> bool:
    """Return whether a row is there and has a finite value."""
    return row is not None and math.isfinite(row.value)


def _stands_for(row: Row) -> tuple[bool, int, tuple[tuple[int, int, str], ...]]:
    return bool(row.training), OVER_ORDER[row.over], natural_key(row.training)
