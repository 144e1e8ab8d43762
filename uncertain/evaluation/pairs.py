"""Sources in pairs: every difference with an interval, and rank groups from them.

Means of row scores are compared over items, over trainings and over both; other figures over items
where each source has one training, else over trainings. P-values are Holm's over the pairs of one
figure.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.alignment import canonical_order, in_one_order, same_rows
from uncertain.evaluation.comparison import compare_methods
from uncertain.evaluation.pair_figures import figure_differences
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Row, natural_key
from uncertain.evaluation.row_scores import HIGHER_IS_BETTER, row_scores, split_variant
from uncertain.intervals import Estimate, holm, mean, over_trainings, rank_groups, undefined

Letters = dict[tuple[str, ...], str]
Scores = list[dict[str, NDArray[np.float64]]]
"""One entry a training: metric to row scores."""


def compare_sources(
    cases: Sequence[Predictions],
    figures: Sequence[Row] = (),
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> tuple[list[Row], Letters]:
    """Compare the sources of each task on its ``test`` split, and detection on its partners.

    Args:
        cases: Predictions of one or more tasks, sources, trainings and splits.
        figures: The figures of single trainings, from which the differences over trainings of
            AUROC, ECE and the like are taken.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.

    Returns:
        Rows of kind ``difference``, and the rank group of each compared figure, by task, split,
        metric, variant, source, training and over.

    Raises:
        ValueError: Two sources whose rows can't be paired (give row ids, or the same rows), or
            whose weights, groups or classes differ.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], 400)
        >>> y = (p.cumsum(axis=1) > np.random.default_rng(1).random((400, 1))).argmax(axis=1)
        >>> good = Predictions(ArrayDistribution("categorical", {"probs": p}), y, source="good")
        >>> flat = ArrayDistribution("categorical", {"probs": np.full((400, 3), 1 / 3)})
        >>> rows, letters = compare_sources([good, Predictions(flat, y, source="flat")])
        >>> [(r.source, r.other, r.p_value < 0.01) for r in rows if r.metric == "nll"]
        [('flat', 'good', True)]
    """
    rows: list[Row] = []
    letters: Letters = {}
    for task in dict.fromkeys(case.task for case in cases):
        tested: dict[str, list[Predictions]] = {}
        for case in cases:
            if case.task == task and case.split == "test" and case.target is not None:
                tested.setdefault(case.source, []).append(case)
        if len(tested) < 2:
            continue
        # By name: the order of a list must not decide the sign of a difference.
        tested = {
            source: sorted(tested[source], key=lambda case: natural_key(case.training))
            for source in sorted(tested, key=natural_key)
        }
        every = [case for trained in tested.values() for case in trained]
        _check_kinds(every)
        single = len(every) == len(tested)
        if single or same_rows(every):
            ordered = iter(in_one_order(every))
            tested = {name: [next(ordered) for _ in tested[name]] for name in tested}
            found, groups = _crossed(tested, level)
            letters |= groups
        else:
            found = _matched(tested, level)
        rows += found
        others = [c for c in cases if c.task == task and c.ood_name is not None]
        if single:
            rows += _over_items(tested, others, level=level, replicates=replicates, seed=seed)
    models = {case.source for case in cases}
    rows += _over_trainings([row for row in figures if row.training], models, level)
    return _adjusted(rows), letters | _ranked(rows, figures, level)


def _check_kinds(cases: Sequence[Predictions]) -> None:
    first = cases[0]
    for case in cases:
        if (case.is_classification, case.classes) != (first.is_classification, first.classes):
            raise ValueError(
                f"{first.source!r} and {case.source!r} can't be compared: one predicts "
                f"{_predicted(first)}, the other {_predicted(case)}; give them different tasks."
            )


def _predicted(case: Predictions) -> str:
    return f"{case.classes} classes" if case.is_classification else "numbers"


def _crossed(tested: Mapping[str, list[Predictions]], level: float) -> tuple[list[Row], Letters]:
    """Compare means of row scores of sources judged on the same rows."""
    names = list(tested)
    scores: dict[str, Scores] = {n: [row_scores(case) for case in tested[n]] for n in names}
    first = tested[names[0]][0]
    rows: list[Row] = []
    letters: Letters = {}
    for metric in _shared_metrics(scores):
        tables = [np.stack([s[metric] for s in scores[name]]) for name in names]
        order = canonical_order([column for table in tables for column in table], like=first)
        tables = [table[:, order] for table in tables]
        if not all(np.isfinite(table).all() for table in tables):
            rows += _infinite(names, metric, first, level)
            continue
        best = "high" if metric in HIGHER_IS_BETTER else "low"
        found = compare_methods(
            tables,
            weights=None if first.weights is None else first.weights[order],
            groups=None if first.groups is None else first.groups[order],
            level=level,
            best=best,
        )
        for (i, j), crossed in found.differences.items():
            for estimate in crossed:
                if np.isfinite(estimate.low) or estimate.over == "items":
                    rows.append(
                        _difference(first, names[i], names[j], *split_variant(metric), estimate)
                    )
        for name, letter in zip(names, found.letters, strict=True):
            training = tested[name][0].training if len(tested[name]) == 1 else ""
            over = found.over if len(tested[name]) > 1 else "items"
            key = (first.task, first.split, *split_variant(metric), name, training, over)
            letters[key] = letter
    return rows, letters


def _matched(tested: Mapping[str, list[Predictions]], level: float) -> list[Row]:
    """Compare sources whose trainings were judged on different rows, training by training."""
    rows: list[Row] = []
    by_training = {
        source: {case.training: case for case in trained} for source, trained in tested.items()
    }
    for a, b in itertools.combinations(tested, 2):
        shared = sorted((t for t in by_training[a] if t in by_training[b]), key=natural_key)
        pairs = [in_one_order([by_training[a][t], by_training[b][t]]) for t in shared]
        first = tested[a][0]
        scores: dict[str, Scores] = {
            a: [row_scores(case) for case, _ in pairs] or [row_scores(first)],
            b: [row_scores(case) for _, case in pairs] or [row_scores(tested[b][0])],
        }
        for metric in _shared_metrics(scores):
            if len(pairs) < 2:
                estimate = _unmatched(len(first), level)
            elif not all(np.isfinite(s[metric]).all() for side in scores.values() for s in side):
                rows += _infinite([a, b], metric, first, level)
                continue
            else:
                values = [
                    mean(x[metric] - y[metric], weights=case.weights).value
                    for x, y, (case, _) in zip(scores[a], scores[b], pairs, strict=True)
                ]
                estimate = over_trainings(values, level=level, n=len(pairs[0][0]), null=0.0)
            rows.append(_difference(first, a, b, *split_variant(metric), estimate))
    return rows


def _unmatched(n: int, level: float) -> Estimate:
    reason = (
        "trainings were judged on different rows, and fewer than two have the same name in both "
        "sources"
    )
    return undefined(reason, n=n, level=level, over="trainings")


def _over_items(
    tested: Mapping[str, list[Predictions]],
    others: Sequence[Predictions],
    *,
    level: float,
    replicates: int,
    seed: int,
) -> list[Row]:
    """Compare figures that are no means, one training a source, by a paired bootstrap or DeLong."""
    rows: list[Row] = []
    for a, b in itertools.combinations(tested, 2):
        first, second = tested[a][0], tested[b][0]
        strange = [
            (x, y)
            for x, y in itertools.product(others, others)
            if x.source == a and y.source == b and x.split == y.split
        ]
        for metric, variant, split, estimate in figure_differences(
            first, second, strange, level=level, replicates=replicates, seed=seed
        ):
            row = _difference(first, a, b, metric, variant, estimate)
            rows.append(dataclasses.replace(row, split=split))
    return rows


_SPREAD_METRICS = ("auroc", "augrc", "aurc", "excess_aurc", "ece_debiased", "rmse")


def _over_trainings(figures: Sequence[Row], sources: Collection[str], level: float) -> list[Row]:
    """Return differences over trainings with shared seeds of figures that are no means."""
    values: dict[tuple[str, ...], dict[str, dict[str, Row]]] = {}
    for row in figures:
        wanted = (row.split == "test" or row.split.startswith("ood:")) and row.source in sources
        if row.metric in _SPREAD_METRICS and row.kind == "estimate" and wanted:
            key = (row.task, row.split, row.metric, row.variant)
            values.setdefault(key, {}).setdefault(row.source, {})[row.training] = row
    rows: list[Row] = []
    for found in values.values():
        for a, b in itertools.combinations(sorted(found, key=natural_key), 2):
            shared = sorted((t for t in found[a] if t in found[b]), key=natural_key)
            if len(shared) < 2:
                continue
            first = found[a][shared[0]]
            estimate = over_trainings(
                [found[a][t].value - found[b][t].value for t in shared],
                level=level,
                n=first.n,
                null=0.0,
            )
            reason = first.reason if first.reason.startswith("trivial") else ""
            rows.append(
                Row.from_estimate(
                    first.metric,
                    estimate._replace(reason=reason or estimate.reason),
                    source=a,
                    other=b,
                    kind="difference",
                    variant=first.variant,
                    split=first.split,
                    task=first.task,
                    positive_class=first.positive_class,
                )
            )
    return rows


def _ranked(differences: Sequence[Row], figures: Sequence[Row], level: float) -> Letters:
    """Return rank groups by AUGRC, the one figure that is no mean of row scores and still ranks."""
    families: dict[tuple[str, ...], list[Row]] = {}
    for row in differences:
        if row.metric == "augrc" and row.p_value is not None:
            families.setdefault((row.task, row.split, row.variant, row.over), []).append(row)
    letters: Letters = {}
    for (task, split, variant, over), rows in families.items():
        names = sorted({name for row in rows for name in (row.source, row.other)}, key=natural_key)
        ranked = {
            row.source: row
            for row in figures
            if (row.task, row.split, row.metric, row.variant) == (task, split, "augrc", variant)
            and row.over == over and row.source in names and (over == "items" or not row.training)
        }  # fmt: skip
        if len(ranked) < len(names) or 2 * len(rows) < len(names) * (len(names) - 1):
            continue
        p_values = np.full((len(names), len(names)), np.nan)
        for row in rows:
            i, j = names.index(row.source), names.index(row.other)
            p_values[i, j] = p_values[j, i] = row.p_value
        values = np.array([ranked[name].value for name in names])
        found = rank_groups(values, p_values, level=level, best="low")
        for name, letter in zip(names, found, strict=True):
            training = ranked[name].training
            letters[task, split, "augrc", variant, name, training, over] = letter
    return letters


def _shared_metrics(scores: Mapping[str, Scores]) -> list[str]:
    first, *rest = (set(score) for trained in scores.values() for score in trained)
    order = next(iter(scores.values()))[0]
    shared = first.intersection(*rest)
    return [metric for metric in order if metric in shared]


def _infinite(names: Sequence[str], metric: str, first: Predictions, level: float) -> list[Row]:
    reason = f"{metric} is infinite on a row, so its difference has no interval"
    estimate = undefined(reason, n=len(first), level=level)
    return [
        _difference(first, a, b, *split_variant(metric), estimate)
        for a, b in itertools.combinations(names, 2)
    ]


def _difference(
    case: Predictions, a: str, b: str, metric: str, variant: str, estimate: Estimate
) -> Row:
    return Row.from_estimate(
        metric,
        estimate,
        source=a,
        other=b,
        kind="difference",
        variant=variant,
        split=case.split,
        task=case.task,
    )


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with Holm's p-values over the pairs of one figure."""
    families: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        key = (row.task, row.split, row.metric, row.variant, row.over)
        if row.p_value is not None:
            families.setdefault(key, []).append(i)
    adjusted = list(rows)
    for members in families.values():
        values = holm([rows[i].p_value for i in members])  # type: ignore[arg-type,misc]
        for i, value in zip(members, values, strict=True):
            adjusted[i] = dataclasses.replace(rows[i], p_value=float(value))
    return adjusted
