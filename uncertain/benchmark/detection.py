"""Detectors of a cell: features recorded once a network, and every detector's score of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uncertain import baselines, evaluation
from uncertain.benchmark.plan import Cell
from uncertain.benchmark.tasks import Splits
from uncertain.benchmark.training import Predictor, Training, network_path
from uncertain.evaluation import detectors

Scores = dict[str, NDArray[np.float64]]


def features_file(out: Path, cell: Cell, split: str) -> Path:
    """Return where the features of a split lie, for whatever else wants to read them."""
    return out / "features" / cell.task.name / cell.key / f"{split.replace(':', '-')}.parquet"


def detect(
    predictor: Predictor, splits: Splits, out: Path, cell: Cell, training: Training
) -> tuple[dict[str, Scores], Mapping[str, str]]:
    """Return the scores of the test rows and of every strange partner, by split.

    Only for one softmax network and tasks with partners; the bank is the training part, and
    validation stays unseen. Features go to files, so a cell that is run again does not record again.

    Args:
        predictor: The trained model.
        splits: The task's rows.
        out: The run's folder.
        cell: Which training.
        training: What it was trained on. The features of the training rows lie beside the shared
            network, where heads on the same network have them too.

    Returns:
        Split -> score name -> scores, empty where detectors do not apply; and why single detectors
        did not.
    """
    strange = [name for name in splits if name.startswith("ood:")]
    if not strange or not isinstance(predictor, baselines.Softmax):
        return {}, {}
    collected = {}
    shared = network_path(training)
    for name in ("train", "test", *strange):
        path = features_file(out, cell, name)
        if name == "train" and shared.is_file():
            path = shared.with_suffix(".features.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        collected[name] = evaluation.collect(predictor.network, splits[name], out=path)
    battery = detectors.fit_detectors(collected.pop("train"))
    scores: dict[str, Scores] = {}
    for name, rows in collected.items():
        scores[name] = detectors.detector_scores(battery, rows)
        scores[name]["detector:odin"] = detectors.odin(predictor, splits[name].x)
    return scores, battery.skipped
