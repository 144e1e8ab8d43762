"""Sources in pairs: every difference with an interval, and rank groups from them.

Means of row scores are compared over items, over trainings and over both; other figures over items
where each source has one training, else over trainings. Where trainings are splits of one data set
the corrected resampled t compares over both. P-values are Holm's over the pairs and tasks of one
figure.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.evaluation.alignment import canonical_order, in_one_order, same_rows
from uncertain.evaluation.comparison import compare_methods
from uncertain.evaluation.pair_figures import figure_differences
from uncertain.evaluation.pair_letters import (
    Letters,
    Ranking,
    adjusted,
    augrc_rankings,
    letters_of,
    marked,
)
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.resampling import overlap, shares_tested
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import natural_key
from uncertain.evaluation.row_scores import HIGHER_IS_BETTER, row_scores, split_variant
from uncertain.intervals import (
    Estimate,
    corrected_resampled_t,
    mean,
    over_trainings,
    undefined,
)

Scores = list[dict[str, NDArray[np.float64]]]
"""One entry a training: metric to row scores."""


def compare_sources(
    cases: Sequence[Predictions],
    figures: Sequence[Row] = (),
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    metrics: Collection[str] = (),
    family: str = "figure",
) -> tuple[list[Row], Letters]:
    """Compare the sources of each task on its ``test`` split, and detection on its partners.

    Args:
        cases: Predictions of one or more tasks, sources, trainings and splits.
        figures: The figures of single trainings, from which the differences over trainings of
            AUROC, ECE and the like are taken.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.
        metrics: Which differences are returned, and adjusted for; all where there are none.
        family: What Holm's p-values are over: see :func:`~.pair_letters.adjusted`.

    Returns:
        Rows of kind ``difference``, and the rank group of each compared figure, by task, split,
        metric, variant, source, training and over, with a remark where it rests on few trainings.

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
    rankings: list[Ranking] = []
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
            found, ranked = _crossed(tested, level)
        else:
            found, ranked = _matched(tested, level)
        rows += found
        rankings += ranked
        others = [c for c in cases if c.task == task and c.ood_name is not None]
        if single:
            rows += _over_items(tested, others, level=level, replicates=replicates, seed=seed)
    models = {case.source for case in cases}
    splits = shares_tested(cases)
    rows += _over_trainings([row for row in figures if row.training], models, splits, level)
    rows = adjusted([r for r in rows if not metrics or r.metric in metrics], family=family)
    tests = Counter((c.task, c.source) for c in cases if c.split == "test")
    rankings += augrc_rankings(rows, figures, tests)
    rankings = [r for r in rankings if not metrics or r.key[2] in metrics]
    return marked(rows, tests), letters_of(rankings, rows)


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


def _crossed(
    tested: Mapping[str, list[Predictions]], level: float
) -> tuple[list[Row], list[Ranking]]:
    """Compare means of row scores of sources judged on the same rows."""
    names = list(tested)
    scores: dict[str, Scores] = {n: [row_scores(case) for case in tested[n]] for n in names}
    first = tested[names[0]][0]
    rows: list[Row] = []
    rankings = []
    known = {n: _shared_metrics({n: scores[n]}) for n in names}
    for metric in dict.fromkeys(metric for n in names for metric in known[n]):
        # A pair is compared by what both have: one source that has no such figure, or an infinite
        # one, takes nothing from the others.
        tables = {n: np.stack([s[metric] for s in scores[n]]) for n in names if metric in known[n]}
        finite = {n: table for n, table in tables.items() if np.isfinite(table).all()}
        pairs = itertools.combinations(tables, 2)
        barred = [pair for pair in pairs if not all(n in finite for n in pair)]
        rows += _infinite(barred, metric, first, level)
        if len(finite) < 2:
            continue
        order = canonical_order([column for t in finite.values() for column in t], like=first)
        found = compare_methods(
            [table[:, order] for table in finite.values()],
            weights=None if first.weights is None else first.weights[order],
            groups=None if first.groups is None else first.groups[order],
            level=level,
        )
        compared = list(finite)
        for (i, j), crossed in found.differences.items():
            for e in crossed:
                if np.isfinite(e.low) or e.over == "items":
                    a, b = compared[i], compared[j]
                    rows.append(_difference(first, a, b, *split_variant(metric), e))
        values = dict(zip(compared, found.values.tolist(), strict=True))
        rankings.append(_ranking(tested, metric, found.over, values, level))
    return rows, rankings


def _ranking(
    tested: Mapping[str, list[Predictions]],
    metric: str,
    over: str,
    values: Mapping[str, float],
    level: float,
) -> Ranking:
    first = next(iter(tested.values()))[0]
    return Ranking(
        (first.task, first.split, *split_variant(metric), over),
        values,
        {n: tested[n][0].training if len(tested[n]) == 1 else "" for n in values},
        {n: len(tested[n]) for n in values},
        "high" if metric in HIGHER_IS_BETTER else "low",
        level,
    )


def _matched(
    tested: Mapping[str, list[Predictions]], level: float
) -> tuple[list[Row], list[Ranking]]:
    """Compare sources whose trainings were judged on different rows, training by training."""
    rows: list[Row] = []
    seen: dict[str, dict[str, float]] = {}
    compared: Counter[str] = Counter()
    share = _common_share(tested)
    scored = _scored_by_training(tested)
    for a, b in itertools.combinations(tested, 2):
        shared = sorted((t for t in scored[a] if t in scored[b]), key=natural_key)
        pairs = [(scored[a][t], scored[b][t]) for t in shared]
        first = tested[a][0]
        scores: dict[str, Scores] = {
            a: [one.scores for one, _ in pairs] or [next(iter(scored[a].values())).scores],
            b: [one.scores for _, one in pairs] or [next(iter(scored[b].values())).scores],
        }
        for metric in _shared_metrics(scores):
            if len(pairs) < 2:
                estimates = [_unmatched(len(first), level)]
            elif not all(np.isfinite(s[metric]).all() for side in scores.values() for s in side):
                rows += _infinite([(a, b)], metric, first, level)
                continue
            else:
                means = {
                    name: np.array(
                        [
                            mean(score[metric], weights=one.case.weights).value
                            for score, (one, _) in zip(scores[name], pairs, strict=True)
                        ]
                    )
                    for name in (a, b)
                }
                seen.setdefault(metric, {}).update({n: float(x.mean()) for n, x in means.items()})
                compared[metric] += 1
                estimates = _over_splits(
                    means[a] - means[b], share, n=len(pairs[0][0].case), level=level
                )
            rows += [_difference(first, a, b, *split_variant(metric), e) for e in estimates]
    over = "trainings" if share is None else "both"
    # Letters need every pair of those they are given to: a missing one would look undecided.
    ranked = [m for m, values in seen.items() if compared[m] == math.comb(len(values), 2)]
    return rows, [_ranking(tested, metric, over, seen[metric], level) for metric in ranked]


class _Scored(NamedTuple):
    case: Predictions
    scores: dict[str, NDArray[np.float64]]


def _scored_by_training(
    tested: Mapping[str, list[Predictions]],
) -> dict[str, dict[str, _Scored]]:
    """Return source -> training -> its rows in the order of that training, scored once for all pairs."""
    scored: dict[str, dict[str, _Scored]] = {source: {} for source in tested}
    every = [case for trained in tested.values() for case in trained]
    for training in dict.fromkeys(case.training for case in every):
        cases = [case for case in every if case.training == training]
        for case in in_one_order(cases):
            scored[case.source][training] = _Scored(case, row_scores(case))
    return scored


def _common_share(tested: Mapping[str, list[Predictions]]) -> float | None:
    """Return the share of rows that the splits of every source test, ``None`` where one's are none."""
    shares = [overlap(trained) for trained in tested.values()]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if len(known) == len(shares) else None


def _over_splits(values: ArrayLike, share: float | None, *, n: int, level: float) -> list[Estimate]:
    """Return paired differences over splits, and for new data where the splits are of one set."""
    found = [over_trainings(values, level=level, n=n, null=0.0)]
    if share is not None:
        found.append(corrected_resampled_t(values, test_share=share, level=level, n=n, null=0.0))
    return found


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


def _over_trainings(
    figures: Sequence[Row],
    sources: Collection[str],
    splits: Mapping[tuple[str, str], float | None],
    level: float,
) -> list[Row]:
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
            share = splits.get((first.task, a))
            share = None if splits.get((first.task, b)) is None else share
            differences = [found[a][t].value - found[b][t].value for t in shared]
            reason = first.reason if first.reason.startswith("trivial") else ""
            rows += [
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
                for estimate in _over_splits(differences, share, n=first.n, level=level)
            ]
    return rows


def _shared_metrics(scores: Mapping[str, Scores]) -> list[str]:
    first, *rest = (set(score) for trained in scores.values() for score in trained)
    order = next(iter(scores.values()))[0]
    shared = first.intersection(*rest)
    return [metric for metric in order if metric in shared]


def _infinite(
    pairs: Sequence[tuple[str, str]], metric: str, first: Predictions, level: float
) -> list[Row]:
    reason = f"{metric} is infinite on a row, so its difference has no interval"
    estimate = undefined(reason, n=len(first), level=level)
    return [_difference(first, a, b, *split_variant(metric), estimate) for a, b in pairs]


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
