"""The one judge: predictions in, a table of figures with intervals out.

Every source is judged by the same rules on every split; sources that predict the same rows are
compared in pairs; trainings of one source are averaged, and the spread over them is kept apart from
the interval over rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from uncertain import checks, keyed
from uncertain.evaluation.across import across_trainings
from uncertain.evaluation.alignment import without_trivial_groups
from uncertain.evaluation.detection import detection_rows
from uncertain.evaluation.detector_rows import compare_detectors
from uncertain.evaluation.leakage import with_leaks
from uncertain.evaluation.ordinal import ranked_probability_scores
from uncertain.evaluation.pair_letters import lettered
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_scores import class_arrays
from uncertain.evaluation.subgroups import subgroup_rows, subgroups
from uncertain.intervals import Estimate, check_level, mean, undefined


def evaluate(
    predictions: Predictions | Iterable[Predictions],
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    compare: bool = True,
    by: Sequence[str] = (),
    temperature_scaled: bool = False,
    validation: Predictions | Iterable[Predictions] = (),
    command: str = "",
) -> Results:
    """Judge predictions.

    Args:
        predictions: One or more, told apart by ``task``, ``source``, ``training`` and ``split``. In
            ``test`` the model is judged on what it was made for; each ``shift:KIND:SEVERITY`` with
            labels is judged alike; ``ood:NAME`` is what it should notice.
        level: Confidence level of every interval, in (0, 1).
        replicates: Bootstrap replicates, at least 100.
        seed: Seed of the bootstrap.
        compare: Whether sources are compared in pairs on each task's ``test`` split.
        by: Columns by whose values every figure is had too, and the worst subgroup: names of
            ``Predictions.columns``, ``class`` for the label, ``predicted`` for the predicted class.
        temperature_scaled: Whether NLL, Brier score, calibration and their differences are had once
            more after temperature scaling of every source, under variants that start with
            ``temperature_scaled``. Implied by ``validation``.
        validation: Rows to fit the temperatures on, one a source and training; they are not judged.
            A source without any is scaled by halves of the rows judged.
        command: The command line, kept in the results.

    Returns:
        One row a figure; see :class:`~uncertain.evaluation.Row`. Where a source was calibrated on the
        rows it is judged on, the reason of every figure of it says so.

    Raises:
        TypeError: Something else than predictions.
        ValueError: Nothing to judge, the same predictions twice, an unnamed training beside others,
            an out-of-distribution split without a test split of the same source and training,
            sources that can't be paired, a column of ``by`` that is not there or is no grouping, or
            ``validation`` of a source and training that is not judged.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> judged = Predictions(ArrayDistribution("categorical", {"probs": p}), np.array([0, 1, 1, 1]))
        >>> evaluate(judged).select(metric="accuracy").rows[0].value
        0.75
    """
    cases = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    checks.check_not_empty("predictions", cases)
    check_level(level)
    checks.check_range("replicates", replicates, 100)
    checks.check_range("seed", seed, 0)
    cases = [without_trivial_groups(_checked(case)) for case in cases]
    given = [validation] if isinstance(validation, Predictions) else validation
    held_out = [_checked(case) for case in given]
    _check_distinct(cases)
    _check_labelled(cases)
    judged = [case for case in cases if case.target is not None and case.ood_name is None]
    members = subgroups(judged, by)
    judge = partial(judge_one, level=level, replicates=replicates, seed=seed)
    rows: list[Row] = []
    for case in judged:
        rows += judge(case)
    for group in members:
        rows += subgroup_rows(group, judge=judge, level=level, replicates=replicates, seed=seed)
    rows += detection_rows(cases, level=level, replicates=replicates, seed=seed)
    rows += across_trainings(rows, cases, level=level)
    if compare and len({case.source for case in cases}) > 1:
        from uncertain.evaluation.pairs import compare_sources

        whole = [row for row in rows if not row.subgroup]
        pairs, letters = compare_sources(
            cases, whole, level=level, replicates=replicates, seed=seed
        )
        rows = [lettered(row, letters) for row in rows] + pairs
    if compare:
        differences, letters = compare_detectors(cases, rows, level=level)
        rows = [lettered(row, letters) for row in rows] + differences
    rows = with_leaks(rows, cases)
    if temperature_scaled or held_out:
        from uncertain.evaluation.temperature_scaled import scaled_rows

        rows += scaled_rows(
            cases, held_out, judge=judge, compare=compare, level=level, replicates=replicates, seed=seed
        )  # fmt: skip
    return Results.create(rows, command=command, seed=seed)


def judge_one(
    case: Predictions, *, level: float = 0.95, replicates: int = 1000, seed: int = 0
) -> list[Row]:
    """Return the figures of one source on one labelled split.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(9), "scale": np.ones(9)})
        >>> rows = judge_one(Predictions(d, np.linspace(-2, 2, 9)))
        >>> [row.metric for row in rows[:4]]
        ['nll', 'crps', 'rmse', 'mae']
    """
    if case.is_classification:
        from uncertain.evaluation.classification_report import classification_estimates

        p, log_p = class_arrays(case)
        estimates: Sequence[tuple[str, str, str, Estimate]] = classification_estimates(
            p,
            np.asarray(case.target),
            log_probabilities=log_p,
            weights=case.weights,
            groups=case.groups,
            level=level,
            replicates=replicates,
            seed=seed,
        )
        if case.ordinal:
            scores = ranked_probability_scores(p, np.asarray(case.target))
            found = mean(scores, weights=case.weights, groups=case.groups, level=level)
            estimates = [*estimates, ("rps", "", "estimate", found)]
    else:
        from uncertain.evaluation.regression import regression_estimates

        estimates = regression_estimates(
            case.distribution,
            np.asarray(case.target),
            weights=case.weights,
            groups=case.groups,
            level=level,
            seed=seed,
            grid=case.grid,
        )
    estimates = [*estimates, *joint_estimates(case, level=level, seed=seed)]
    return [
        Row.from_estimate(
            metric,
            estimate,
            source=case.source,
            kind=kind,  # type: ignore[arg-type]
            variant=variant,
            split=case.split,
            task=case.task,
            training=case.training,
        )
        for metric, variant, kind, estimate in estimates
    ]


def _checked(case: Predictions) -> Predictions:
    if not isinstance(case, Predictions):
        raise TypeError(
            f"`predictions` should hold Predictions, got {type(case).__name__}: make them with "
            "`from_distribution`, `read_predictions` or `Predictions`."
        )
    return case


def joint_estimates(
    case: Predictions, *, level: float = 0.95, seed: int = 0
) -> list[tuple[str, str, str, Estimate]]:
    """Return the scores of several rows, or several targets, together, where there are such.

    ``joint_nll`` on disjoint blocks of ten rows where predictions have members, and the energy score
    where rows have several targets.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(9), "scale": np.ones(9)})
        >>> joint_estimates(Predictions(d, np.zeros(9)))
        []
    """
    from uncertain.evaluation import joint

    found: list[tuple[str, str, str, Estimate]] = []
    y, d = np.asarray(case.target), case.distribution
    n_groups = None if case.groups is None else keyed.count_distinct(case.groups)
    absent = partial(undefined, n=len(case), level=level, n_groups=n_groups)
    if d.members is not None and d.members > 1:
        variant = f"disjoint,{joint.SIZE}"
        if case.weights is not None or case.groups is not None:
            figure = absent("blocks of rows have no weights or groups")
        elif len(case) < 2 * joint.SIZE:
            figure = absent(f"fewer than two blocks of {joint.SIZE} rows")
        else:
            try:
                figure = joint.joint_nll(d, y, level=level, seed=seed)._replace(n=len(case))
            except TypeError as error:
                figure = absent(str(error).rstrip("."))
        found.append(("joint_nll", variant, "estimate", figure))
    if d.event_shape and d.event_shape[0] > 1 and not case.is_classification:
        try:
            scores = joint.sampled_energy_scores(d, y, seed=seed)
            figure = mean(scores, weights=case.weights, groups=case.groups, level=level)
        except TypeError as error:
            figure = absent(str(error).rstrip("."))
        found.append(("energy_score", f"fair,{joint.DRAWS}", "estimate", figure))
    return found


def _check_distinct(cases: Sequence[Predictions]) -> None:
    seen: set[tuple[str, ...]] = set()
    for case in cases:
        key = _key(case)
        if key in seen:
            raise ValueError(
                f"`predictions` should come once, got source {case.source!r}, split {case.split!r}, "
                f"training {case.training!r}, task {case.task!r} twice: give runs different names."
            )
        seen.add(key)
        test = (*key[:3], "test")
        if case.ood_name is not None and not any(_key(c) == test for c in cases):
            raise ValueError(
                f"{case.split!r} of source {case.source!r} has no `test` split to be told apart "
                "from: give the in-distribution predictions too."
            )
        if case.ood_name is not None:
            _check_same_kind(next(c for c in cases if _key(c) == test), case)

    for task, source, training, _ in seen:
        others = {t for a, b, t, _ in seen if (a, b) == (task, source)}
        if not training and len(others) > 1:
            raise ValueError(
                f"`training` should be named for every training of source {source!r}, got an empty "
                "name beside others: their mean has the empty name."
            )


def _key(case: Predictions) -> tuple[str, str, str, str]:
    return case.task, case.source, case.training, case.split


def _check_same_kind(test: Predictions, strange: Predictions) -> None:
    """Raise where the strange rows can't be what the same model predicted."""
    kinds = [
        f"{case.classes} classes" if case.is_classification else "numbers"
        for case in (test, strange)
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{strange.split!r} of source {strange.source!r} should hold predictions of {kinds[0]}, "
            f"as its test split does, got {kinds[1]}: is it the file of another model?"
        )


def _check_labelled(cases: Sequence[Predictions]) -> None:
    if all(case.target is None and case.ood_name is None for case in cases):
        raise ValueError("`predictions` should have labels to be judged by, got none.")
