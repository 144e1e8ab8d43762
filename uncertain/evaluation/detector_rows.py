"""Detectors on the same cached features: how well each notices strange rows, and which are apart.

A source's scores named ``detector:NAME`` are judged here and not with the model's own uncertainty:
there are many of them, all read from one network, so that they are paired row by row and training
by training. Their AUROC has DeLong's interval; each is held against ``detector:msp``, and letters
say which can't be told apart.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.pair_letters import Letters, Ranking, adjusted, claim_remark, letters_of
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import natural_key
from uncertain.evaluation.sides import both_groups, both_weights
from uncertain.evaluation.uncertainty import DETECTOR, detectors_scores
from uncertain.intervals import Estimate, delong, delong_difference, over_trainings

BASELINE = f"{DETECTOR}msp"
"""What differences are taken from: the oldest and simplest."""

Sides = dict[tuple[str, str, str, str], tuple[Predictions, Predictions]]
"""Task, source, strange split, training -> test rows and strange rows."""


def detector_rows(cases: Sequence[Predictions], *, level: float) -> list[Row]:
    """Return the AUROC of every detector on every strange partner, one row a training.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("categorical", {"probs": np.full((4, 2), 0.5)})
        >>> test = Predictions(d, np.array([0, 1, 0, 1]), scores={"detector:knn": np.arange(4.0)})
        >>> ood = Predictions(d, None, split="ood:x", scores={"detector:knn": np.arange(4.0) + 2})
        >>> [(row.variant, row.value) for row in detector_rows([test, ood], level=0.95)]
        [('ood:x:detector:knn', 0.875)]
    """
    rows = []
    for test, ood in _sides(cases).values():
        positive, order, extra = _in_order(test, ood)
        for name, score in _both(test, ood).items():
            estimate = delong(score[order], positive[order], level=level, **extra)
            rows.append(_row(test, ood, name, estimate, training=test.training))
    return rows


def compare_detectors(
    cases: Sequence[Predictions], rows: Sequence[Row], *, level: float
) -> tuple[list[Row], Letters]:
    """Compare the detectors of each source on each partner, on the same features.

    One training is compared over items (DeLong, paired), several over trainings (paired t).

    Args:
        cases: The predictions.
        rows: The figures of single trainings and their means.
        level: Confidence level.

    Returns:
        The differences from ``detector:msp``, adjusted by Holm over all pairs of detectors, and the
        rank group of each figure.
    """
    sides: dict[tuple[str, str, str], list[tuple[Predictions, Predictions]]] = {}
    for (task, source, split, _), pair in _sides(cases).items():
        sides.setdefault((task, source, split), []).append(pair)
    found: list[Row] = []
    letters: Letters = {}
    for pairs in sides.values():
        differences, ranking = _compare(pairs, rows, level)
        differences = adjusted(differences)
        test, ood = pairs[0]
        for key, letter in letters_of([ranking], differences).items():
            *_, name, training, over = key
            variant = f"ood:{ood.ood_name}:{name}"
            figure = (test.task, ood.split, "auroc", variant, test.source, training, over)
            letters[figure] = letter
        found += [
            dataclasses.replace(row, source=test.source, variant=f"ood:{ood.ood_name}:{row.source}")
            for row in differences
            if row.other == BASELINE
        ]
    return found, letters


def _compare(
    pairs: Sequence[tuple[Predictions, Predictions]], rows: Sequence[Row], level: float
) -> tuple[list[Row], Ranking]:
    """Return every pair's difference, detectors as sources, and what their letters rank."""
    test, ood = pairs[0]
    values = {
        (row.training, row.variant.removeprefix(f"ood:{ood.ood_name}:")): row
        for row in rows
        if (row.task, row.split, row.source) == (test.task, ood.split, test.source)
        and row.metric == "auroc"
        and row.kind == "estimate"
        and row.over == "items"
    }
    shared = [set(_both(*pair)) for pair in pairs]
    trainings = [first.training for first, _ in pairs]
    defined = [n for n in set.intersection(*shared) if all((t, n) in values for t in trainings)]
    # The baseline last: every difference is then from it.
    names = sorted(defined, key=lambda name: (name == BASELINE, natural_key(name)))
    over = "items" if len(pairs) == 1 else "trainings"
    means = {
        name: float(np.mean([values[training, name].value for training in trainings]))
        for name in names
    }
    differences = []
    for a, b in itertools.combinations(names, 2):
        if over == "items":
            estimate = _paired(test, ood, a, b, level)
        else:
            gaps = [values[t, a].value - values[t, b].value for t in trainings]
            estimate = over_trainings(gaps, level=level, n=len(test) + len(ood), null=0.0)
            estimate = estimate._replace(reason=estimate.reason or claim_remark(len(trainings)))
        reason = values[trainings[0], a].reason
        if reason.startswith("trivial"):
            estimate = estimate._replace(reason=reason)
        differences.append(
            dataclasses.replace(
                _row(test, ood, a, estimate, training="", other=b), source=a, variant=""
            )
        )
    counts = dict.fromkeys(names, len(pairs))
    training = dict.fromkeys(names, trainings[0] if over == "items" else "")
    key = (test.task, ood.split, "auroc", "", over)
    return differences, Ranking(key, means, training, counts, "high", level)


def _paired(test: Predictions, ood: Predictions, a: str, b: str, level: float) -> Estimate:
    scores = _both(test, ood)
    positive, order, extra = _in_order(test, ood)
    return delong_difference(
        scores[a][order], scores[b][order], positive[order], level=level, **extra
    )


def _sides(cases: Sequence[Predictions]) -> Sides:
    tests = {(c.task, c.source, c.training): c for c in cases if c.split == "test"}
    found: Sides = {}
    for case in sorted(cases, key=lambda case: natural_key(case.training)):
        test = tests.get((case.task, case.source, case.training))
        if case.ood_name is not None and test is not None and _both(test, case):
            found[case.task, case.source, case.split, case.training] = (test, case)
    return found


def _both(test: Predictions, ood: Predictions) -> dict[str, NDArray[np.float64]]:
    """Return the detector scores that both sides have, test rows first."""
    inside, outside = detectors_scores(test), detectors_scores(ood)
    return {
        name: np.concatenate([inside[name], outside[name]]) for name in inside if name in outside
    }


def _in_order(
    test: Predictions, ood: Predictions
) -> tuple[NDArray[np.bool_], NDArray[np.intp], Mapping[str, Any]]:
    """Return which rows are strange, an order of rows that no list decides, and their weights."""
    positive = np.repeat([False, True], [len(test), len(ood)])
    weights, groups = both_weights(test, ood), both_groups(test, ood)
    keys: list[NDArray[Any]] = [*_both(test, ood).values(), positive]
    keys += [key for key in (weights, groups) if key is not None]
    order = np.lexsort(keys)
    extra = {
        "weights": None if weights is None else weights[order],
        "groups": None if groups is None else groups[order],
    }
    return positive, order, extra


def _row(
    test: Predictions,
    ood: Predictions,
    name: str,
    estimate: Estimate,
    *,
    training: str,
    other: str = "",
) -> Row:
    return Row.from_estimate(
        "auroc",
        estimate,
        source=test.source,
        kind="difference" if other else "estimate",
        other=other,
        variant=f"ood:{ood.ood_name}:{name}",
        split=ood.split,
        task=test.task,
        training=training,
        positive_class="ood",
    )
