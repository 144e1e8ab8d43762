"""Files in, sets and their coverage out: what ``uncertain conformal`` does, as one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.conformal.intervals import (
    ConformalIntervals,
    fit_cqr,
    fit_normalised_residuals,
)
from uncertain.evaluation.conformal.judging import (
    Fit,
    conformal_rows,
    grouping,
    usual_fits,
)
from uncertain.evaluation.conformal.sets import ConformalSets, fit_aps, fit_raps, fit_thr
from uncertain.evaluation.files import check_outputs, read_sources
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.readers import read_predictions
from uncertain.evaluation.results import Results
from uncertain.evaluation.rows import row_ids_of, write_table
from uncertain.intervals import check_level

StrPath = str | Path
Score = Literal["thr", "aps", "raps", "cqr", "residuals"]
_FITS: Mapping[str, Fit] = {
    "thr": fit_thr,
    "aps": fit_aps,
    "raps": fit_raps,
    "cqr": fit_cqr,
    "residuals": fit_normalised_residuals,
}


def conformal_files(
    calibration: StrPath,
    test: StrPath,
    *,
    coverage: float = 0.9,
    scores: Sequence[str] = (),
    by: Sequence[str] = (),
    within: str | None = None,
    columns: Mapping[str, str] | None = None,
    renormalise: bool = False,
    out: StrPath | None = None,
    json: StrPath | None = None,
    sets: StrPath | None = None,
    level: float = 0.95,
    command: str = "",
) -> Results:
    """Fit conformal sets on one file of predictions and judge them on another.

    Args:
        calibration: Predictions on labelled rows that the model was not trained on.
        test: Predictions of the same model on other rows. Without labels, sets are written and nothing
            is judged.
        coverage: The share of targets to be covered, in (0, 1).
        scores: ``thr``, ``aps`` or ``raps`` for classes, ``cqr`` or ``residuals`` for numbers; by default
            the first two, or the last two.
        by: Columns of the test rows by whose values coverage is had too.
        within: A column of both files whose every value gets a threshold of its own.
        columns: Role to array name (see :func:`~uncertain.evaluation.readers.read_predictions`).
        renormalise: Divide rows of probabilities by their sums instead of refusing them.
        out: Where the HTML report goes.
        json: Where the table goes, as JSON.
        sets: Where the set of every test row goes: ``.csv`` or ``.parquet``.
        level: Confidence level of the figures' intervals, in (0, 1).
        command: The command line, kept in the results.

    Returns:
        The figures of :func:`~uncertain.evaluation.evaluate_conformal`; none without labels.

    Raises:
        ValueError: A file can't be read or holds what can't be judged, and as the fits; nothing is
            written then.
        TypeError: A score for classes where predictions are of numbers, or the other way round.
        OSError: An output can't be written; found out before anything is read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> rng = np.random.default_rng(0)
        >>> for name in ("calibration", "test"):
        ...     p = rng.dirichlet([1, 1, 1], 500)
        ...     labels = (p.cumsum(axis=1) > rng.random((500, 1))).argmax(axis=1)
        ...     np.savez(folder / f"{name}.npz", probs=p, labels=labels)
        >>> found = conformal_files(folder / "calibration.npz", folder / "test.npz", scores=["aps"])
        >>> [(row.variant, row.p_value > 0.01) for row in found.select(metric="conformal_coverage")]
        [('APS,0.9', True)]
    """
    check_level(level)
    checks.check_range("coverage", coverage, 0, 1, open_low=True, open_high=True)
    for name in scores:
        checks.check_choice("score", name, get_args(Score))
    outputs = {"--out": out, "--json": json, "--sets": sets}
    check_outputs(outputs, [calibration, test])
    held, case = _read(
        calibration, test, by, within, dict(columns or {}), renormalise, labelled=sets is None
    )
    if case.target is None and not (out is None and json is None):
        raise ValueError(
            f"{test} has no labels to judge by: write its --sets alone, or add labels."
        )
    fits = [_FITS[name] for name in dict.fromkeys(scores)] or usual_fits(case)
    fitted = [fit(held, alpha=1 - coverage, **grouping(held, within)) for fit in fits]
    rows = [
        row
        for value in fitted
        if case.target is not None
        for row in conformal_rows(value, case, **grouping(case, within), by=by, level=level)
    ]
    results = Results.create(rows, command=command)
    if sets is not None:
        write_table(_sets_table(fitted, case, within), Path(sets))
    if json is not None:
        results.write(json, format="json")
    if out is not None:
        from uncertain.evaluation.report import write_report

        write_report(results, [case], out, title="Conformal prediction", command=command)
    return results


def _read(
    calibration: StrPath,
    test: StrPath,
    by: Sequence[str],
    within: str | None,
    columns: dict[str, str],
    renormalise: bool,
    *,
    labelled: bool,
) -> tuple[Predictions, Predictions]:
    """Return calibration and test predictions, as those of one model."""
    inside = [] if within is None else [within]
    held = read_predictions(
        calibration, columns=columns, split="validation", by=inside, renormalise=renormalise
    )
    wanted = list(dict.fromkeys([*by, *inside]))
    if labelled:
        (case,) = read_sources([test], columns, wanted, renormalise=renormalise)
    else:
        case = read_predictions(
            test, columns=columns, by=wanted, renormalise=renormalise, labelled=False
        )
    if case.is_classification != held.is_classification or case.classes != held.classes:
        kinds = [f"{p.classes} classes" if p.is_classification else "numbers" for p in (held, case)]
        raise ValueError(
            f"{test} should hold predictions of {kinds[0]}, as {calibration} does, got {kinds[1]}: "
            "are they of the same model?"
        )
    held = dataclasses.replace(held, source=case.source, training=case.training, task=case.task)
    return held, case


def _sets_table(
    fitted: Sequence[ConformalSets | ConformalIntervals], case: Predictions, within: str | None
) -> Any:
    """Return row ids with each method's classes, joined by |, or ends of intervals."""
    import pyarrow as pa

    columns: dict[str, NDArray[Any]] = {"row_id": row_ids_of(case)}
    for value in fitted:
        found = value(case, **grouping(case, within))
        name = value.method.lower()
        if isinstance(value, ConformalSets):
            columns[f"{name}_size"] = found.sum(axis=1)
            columns[f"{name}_set"] = _named(found.astype(np.bool_), case.class_names)
        else:
            columns |= {f"{name}_low": found[:, 0], f"{name}_high": found[:, 1]}
    return pa.table(columns)


def _named(sets: NDArray[np.bool_], class_names: Sequence[str] | None) -> NDArray[Any]:
    names = np.asarray(range(sets.shape[1]) if class_names is None else class_names).astype(str)
    return np.array(["|".join(names[inside]) for inside in sets], dtype=str)
