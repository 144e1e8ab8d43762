"""The audit itself: predictions, files or a run's folder in, findings out."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uncertain import atomic, checks
from uncertain.evaluation.auditing.findings import AuditReport, Finding
from uncertain.evaluation.auditing.inputs import check_inputs, read_inputs
from uncertain.evaluation.auditing.oracles import known_truths, recompute, recompute_detection
from uncertain.evaluation.auditing.rows import check_rows, nulls
from uncertain.evaluation.auditing.splits import check_labels, check_overlap, check_run
from uncertain.evaluation.detection import detection_rows
from uncertain.evaluation.files import check_outputs, read_ood, read_sources
from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning
from uncertain.evaluation.readers import read_predictions

StrPath = str | Path


def audit(
    predictions: Predictions | Iterable[Predictions],
    *,
    inputs: Mapping[str, NDArray[np.generic]] | None = None,
) -> AuditReport:
    """Audit predictions: recompute their figures, and look for what makes figures mislead.

    Args:
        predictions: Of any splits: ``train`` and ``validation`` are held against ``test``.
        inputs: What the models saw, by split or by the name of the strange rows, (N, ...) each.

    Returns:
        The findings.

    Raises:
        ValueError: There is nothing to audit, inputs are of no split or strange rows that are
            predicted or not one a row, or a source's splits are predictions of different kinds.
        ModuleNotFoundError: An oracle (scikit-learn, scoringrules) is not installed.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], 300)
        >>> y = (p.cumsum(axis=1) > np.random.default_rng(1).random((300, 1))).argmax(axis=1)
        >>> report = audit(Predictions(ArrayDistribution("categorical", {"probs": p}), y))
        >>> report.failed, len(report.recomputed)
        (False, 5)
    """
    cases = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    checks.check_not_empty("predictions", cases)
    _check_kinds(cases)
    _check_inputs_of(cases, inputs or {})
    findings = list(known_truths())
    recomputed: dict[str, tuple[float, float]] = {}
    levels: dict[str, str] = {}
    for case in cases:
        findings += check_rows(case)
        if case.target is not None and case.ood_name is None:
            found, wrong = recompute(case)
            recomputed |= found
            findings += wrong
        if case.split == "test" and case.target is not None:
            own = [c for c in cases if c.ood_name is not None and _model(c) == _model(case)]
            levels |= nulls(case, own)
            for strange in own:
                found, wrong = recompute_detection(case, strange)
                recomputed |= found
                findings += wrong
    findings += check_overlap(cases)
    findings += check_labels(cases)
    findings += _trivial(cases)
    findings += _unseen(cases, inputs or {})
    findings += check_inputs(inputs or {})
    return AuditReport(tuple(findings), recomputed, levels)


def audit_files(
    files: Sequence[StrPath],
    *,
    ood: Sequence[tuple[str, StrPath]] = (),
    train: StrPath | None = None,
    validation: StrPath | None = None,
    inputs: Sequence[tuple[str, StrPath]] = (),
    columns: Mapping[str, str] | None = None,
    out: StrPath | None = None,
    json: StrPath | None = None,
    command: str = "",
) -> AuditReport:
    """Audit files of predictions, or the folder of a benchmark run.

    Args:
        files: Predictions on test rows, or one folder of ``uncertain benchmark``.
        ood: Name and file of out-of-distribution rows; a name's k-th file belongs to the k-th model.
        train: Predictions of the first model on its training rows.
        validation: Predictions of the first model on its validation rows.
        inputs: Name and file of what models saw: ``train``, ``validation``, ``test``, or the name of
            strange rows.
        columns: Role to array name.
        out: Where a page goes.
        json: Where the findings go, as JSON.
        command: The command line, kept in the page.

    Raises:
        ValueError: A file can't be read, or the folder is no run's.
        OSError: An output can't be written; found out before anything is read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> p = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
        >>> np.savez(folder / "net.npz", probs=p, labels=np.array([0, 1, 1]))
        >>> [f.check for f in audit_files([folder / "net.npz"]).findings]
        ['size']
    """
    parts = [(s, p) for s, p in (("train", train), ("validation", validation)) if p is not None]
    inside = [*files, *(p for _, p in (*ood, *inputs, *parts))]
    check_outputs({"--out": out, "--json": json}, [p for p in inside if not Path(p).is_dir()])
    named = dict(columns or {})
    # What repeats is a finding here, and need not be said twice.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepeatedRowsWarning)
        if len(files) == 1 and Path(files[0]).is_dir():
            report = audit_run(Path(files[0]))
        else:
            cases = read_sources(files, named, (), renormalise=False)
            cases += read_ood(files, ood, named, renormalise=False)
            cases += [
                read_predictions(path, columns=named, source=cases[0].source, split=split)
                for split, path in parts
            ]
            report = audit(cases, inputs={name: read_inputs(Path(path)) for name, path in inputs})
    if json is not None:
        atomic.write_text(json, report.to_json())
    if out is not None:
        from uncertain.evaluation.auditing.page import render_audit

        atomic.write_text(out, render_audit(report, command=command))
    return report


def audit_run(folder: Path) -> AuditReport:
    """Audit a benchmark run: its rows, and the predictions of every cell.

    Args:
        folder: The run's folder.

    Raises:
        ValueError: The folder is no run's.
    """
    findings = list(check_run(folder))
    cases = []
    for path in sorted((folder / "cells").rglob("*.parquet")):
        split = path.stem.replace("-", ":", 1) if path.stem.startswith("ood-") else path.stem
        if split == "test" or split.startswith("ood:"):
            cases.append(read_predictions(path, split=split))
    if not cases:
        return AuditReport((*findings, *known_truths()))
    report = audit(cases)
    return dataclasses.replace(report, findings=(*findings, *report.findings))


def _check_kinds(cases: Sequence[Predictions]) -> None:
    """Refuse splits of one source that predict different things: nothing holds between them."""
    first: dict[tuple[str, str, str], Predictions] = {}
    for case in cases:
        known = first.setdefault(_model(case), case)
        if case.classes != known.classes:
            raise ValueError(
                f"{case.source} on {case.split} should predict {_predicted(known)} as on "
                f"{known.split}, got {_predicted(case)}: is it another model's file?"
            )


def _predicted(case: Predictions) -> str:
    return f"{case.classes} classes" if case.is_classification else "numbers"


def _check_inputs_of(
    cases: Sequence[Predictions], inputs: Mapping[str, NDArray[np.generic]]
) -> None:
    """Refuse inputs under a name that means nothing, or of other rows than were predicted."""
    rows: dict[str, set[int]] = {"train": set(), "validation": set(), "test": set()}
    for case in cases:
        rows.setdefault(case.ood_name or case.split, set()).add(len(case))
    for name, x in inputs.items():
        checks.check_choice("a name of `inputs`", name, rows)
        if rows[name] and len(x) not in rows[name]:
            expected = " or ".join(f"{count:,}" for count in sorted(rows[name]))
            raise ValueError(
                f"`inputs` of {name} should be one a predicted row, {expected}, got {len(x):,}."
            )


def _model(case: Predictions) -> tuple[str, str, str]:
    return case.task, case.source, case.training


def _trivial(cases: Sequence[Predictions]) -> list[Finding]:
    """Return the pairs that a control score in the files tells apart."""
    said: dict[tuple[str, str], Finding] = {}
    tests = {_model(c) for c in cases if c.split == "test" and c.ood_name is None}
    paired = [c for c in cases if c.ood_name is None or _model(c) in tests]
    for row in detection_rows(paired, level=0.95, replicates=100, seed=0):
        if row.reason.startswith("trivial:"):
            said[row.task, row.split] = Finding(
                "warn", "trivial pair", f"{row.task} {row.split}".strip(), f"{row.reason}.", {},
                "A good AUROC shows nothing here: take a pair that differs in content.",
            )  # fmt: skip
    return list(said.values())


def _unseen(
    cases: Sequence[Predictions], inputs: Mapping[str, NDArray[np.generic]]
) -> Iterable[Finding]:
    """Yield the pairs that nothing could be said of: a clean audit is no proof of what it skipped."""
    for name in sorted({case.ood_name for case in cases if case.ood_name is not None}):
        missing = [side for side in ("test", name) if side not in inputs]
        if missing:
            yield Finding(
                "note", "inputs not seen", f"test and {name}",
                "Shared inputs, near copies, size, codec and trivial statistics were not looked for.",
                {}, "Give " + " and ".join(f"--inputs {side}=FILE" for side in missing) + ".",
            )  # fmt: skip
