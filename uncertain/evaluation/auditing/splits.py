"""What is wrong between splits: shared rows, and labels in other shares.

References:
    Lipton, Wang and Smola, Detecting and correcting for label shift with black box predictors, ICML
    (2018).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.auditing.findings import Finding, Severity
from uncertain.evaluation.predictions import Predictions
from uncertain.keyed import hash_keys, mix

ALPHA = 0.001
"""Below this a difference of label shares is more than chance; small, as many splits are looked at."""
ALIKE = 0.9
"""Share of equal rows above which two splits without row ids are the same rows."""
FEWEST_ALIKE = 10
"""Equal rows below which that may be chance."""
_REMEDY = "Split again by row id, or by group, and train again."


def check_overlap(cases: Sequence[Predictions]) -> Iterator[Finding]:
    """Yield rows that two splits of one source share.

    Ids that only number the rows of each file are no evidence: where the ids of both count from 0 or
    1, equal labels must say that they are the same rows. Without ids rows are known by label and
    prediction together, where nearly all that are met once in one file are met once in the other.

    Args:
        cases: Predictions of train, validation and test splits.
    """
    parts = [c for c in cases if c.split in ("train", "validation", "test")]
    for a, b in itertools.combinations(parts, 2):
        alike = (a.source, a.training, a.task) == (b.source, b.training, b.task)
        if not alike or a.split == b.split:
            continue
        if a.row_ids is None or b.row_ids is None:
            yield from _same_contents(a, b)
            continue
        shared, here, there = np.intersect1d(a.row_ids, b.row_ids, return_indices=True)
        if not len(shared) or not _same_rows(a, b, here, there):
            continue
        seen = f"{len(shared):,} rows are in both ({len(shared) / min(len(a), len(b)):.1%} of the smaller)."
        yield _overlap(a, b, len(shared), seen)


def _overlap(a: Predictions, b: Predictions, shared: int, seen: str) -> Finding:
    severity: Severity = "fail" if "test" in (a.split, b.split) else "warn"
    about = f"{a.source}: {a.split} and {b.split}"
    return Finding(severity, "row overlap", about, seen, {"shared": shared}, _REMEDY)


def _same_contents(a: Predictions, b: Predictions) -> Iterator[Finding]:
    """Yield that two splits without ids hold the same labels and predictions.

    Sure predictions and those of a constant repeat in any file, so that only rows met once count.
    """
    if a.target is None or b.target is None or a.distribution.family != b.distribution.family:
        return
    here, there = _contents(a), _contents(b)
    fewer = min(len(here), len(there))
    shared = len(np.intersect1d(here, there, assume_unique=True))
    if shared >= FEWEST_ALIKE and shared >= ALIKE * fewer:
        yield _overlap(
            a, b, shared,
            f"Without row ids: {shared:,} of {fewer:,} rows that are met once have the same label and "
            f"the same prediction in both.",
        )  # fmt: skip


def _contents(case: Predictions) -> NDArray[np.uint64]:
    """Return a hash of label and prediction for each row that no other row of the case equals."""
    columns = [
        np.asarray(case.target),
        *(v for _, v in sorted(case.distribution.parameters.items())),
    ]
    hashes = np.zeros(len(case), np.uint64)
    for column in columns:
        wide = np.asarray(column, dtype=np.float64).reshape(len(case), -1) + 0.0
        hashes = mix(hashes ^ hash_keys(wide.view(np.int64)))
    values, counts = np.unique(hashes, return_counts=True)
    return np.asarray(values[counts == 1])


def _same_rows(a: Predictions, b: Predictions, here: np.ndarray, there: np.ndarray) -> bool:
    if not (_counts(a.row_ids) and _counts(b.row_ids)):
        return True
    if a.target is None or b.target is None:
        return False
    return float(np.mean(np.asarray(a.target)[here] == np.asarray(b.target)[there])) > 0.9


def _counts(ids: np.ndarray | None) -> bool:
    if ids is None or ids.dtype.kind not in "iu":
        return False
    return bool(ids.min() in (0, 1) and ids.max() - ids.min() == len(ids) - 1)


def check_labels(cases: Sequence[Predictions]) -> Iterator[Finding]:
    """Yield splits whose labels come in other shares, and what the predictions say of unlabelled ones.

    Labelled splits are compared by a chi-square test of their counts. Where a split has no labels,
    the counts of *predicted* classes are held against those on the labelled test split: under label
    shift these move, and their confusion matrix solves for the shares (black-box shift estimation).

    Args:
        cases: Predictions of one or more sources, of whichever splits there are.
    """
    classes = [c for c in cases if c.is_classification and c.ood_name is None]
    for test in (c for c in classes if c.split == "test" and c.target is not None):
        for other in classes:
            same = (other.source, other.training, other.task) == (
                test.source, test.training, test.task,
            )  # fmt: skip
            if other is test or not same:
                continue
            if other.target is not None:
                counts = np.array([_counted(c.target, test.classes) for c in (test, other)])
                what = "labels"
            else:
                counts = np.array([_counted(_predicted(c), test.classes) for c in (test, other)])
                what = "predicted classes"
            p = _chi_square(counts)
            if p < ALPHA:
                shares = counts / counts.sum(axis=1, keepdims=True)
                worst = int(np.abs(shares[0] - shares[1]).argmax())
                yield Finding(
                    "warn", "label shift", f"{test.source}: test and {other.split}",
                    f"The {what} come in other shares (chi-square p = {p:.2g}): class {worst} "
                    f"{shares[0, worst]:.1%} in test, {shares[1, worst]:.1%} in {other.split}"
                    + _estimated(test, other) + ".",
                    {"p": p, "largest_gap": float(np.abs(shares[0] - shares[1]).max())},
                    "Calibration and accuracy don't carry over between them; weight the classes.",
                )  # fmt: skip


def _counted(values: np.ndarray | None, classes: int) -> np.ndarray:
    return np.bincount(np.asarray(values, dtype=np.int64), minlength=classes)


def _predicted(case: Predictions) -> np.ndarray:
    return np.asarray(families.class_probabilities(case.distribution).argmax(axis=1))


def _estimated(test: Predictions, other: Predictions) -> str:
    """Return the shares of labels that the predictions on an unlabelled split speak for."""
    if other.target is not None:
        return ""
    k = test.classes
    joint = np.zeros((k, k))
    np.add.at(joint, (_predicted(test), np.asarray(test.target)), 1 / len(test))
    weights, *_ = np.linalg.lstsq(joint, _counted(_predicted(other), k) / len(other), rcond=None)
    shares = np.maximum(weights, 0) * joint.sum(axis=0)
    if not shares.sum():
        return ""
    return ", by its confusions about " + ", ".join(f"{s:.0%}" for s in shares / shares.sum())


def _chi_square(counts: np.ndarray) -> float:
    from scipy.stats import chi2

    seen = counts[:, counts.sum(axis=0) > 0].astype(np.float64)
    if seen.shape[1] < 2:
        return 1.0
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / seen.sum()
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), seen.shape[1] - 1))


def check_run(folder: Path) -> Iterator[Finding]:
    """Yield what is wrong with the rows of a benchmark run: tuning must be a part of training.

    ``splits/TASK/SPLIT.json`` holds the ids of the rows that a run trained on, tuned on and tested.
    Overlaps are counted anew, not read.

    Args:
        folder: A run's folder.

    Raises:
        ValueError: The folder is no run's, or a record can't be read.
    """
    if not (folder / "run.json").is_file():
        raise ValueError(
            f"{folder} should be the folder of a benchmark run, got no run.json in it."
        )
    records = sorted((folder / "splits").rglob("*.json"))
    if not records:
        yield Finding(
            "fail", "tuning rows", str(folder.name),
            "The run doesn't say which rows it trained, tuned and tested on.", {},
            "Run the benchmark again with this version: it writes the rows down.",
        )  # fmt: skip
    for path in records:
        try:
            parts = json.loads(path.read_text())["parts"]
            ids = {name: set(part["row_ids"]) for name, part in parts.items()}
            train, tuning, test = ids["train"], ids["tuning"], ids["test"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no record of a split's rows ({error!r}).") from error
        about = f"{path.parent.name}, split {path.stem}"
        for name, both in (("tuned on", tuning & test), ("trained on", train & test)):
            if both:
                yield Finding(
                    "fail", "tuning rows", about, f"{len(both):,} test rows were {name}.",
                    {"shared": len(both)}, "Tune and stop early on part of the training data.",
                )  # fmt: skip
        if tuning & train:
            yield Finding(
                "note", "tuning rows", about,
                f"{len(tuning & train):,} rows were both trained and tuned on.",
                {"shared": len(tuning & train)}, "Tuning then favours models that memorise.",
            )  # fmt: skip
