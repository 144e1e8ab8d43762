"""What a worker does: choose settings on validation, train, predict every split, write it down."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import atomic, data, evaluation, fit, predictive
from uncertain.benchmark.backbones import BACKBONES
from uncertain.benchmark.detection import detect
from uncertain.benchmark.models import Model, resolve_model, train_model
from uncertain.benchmark.plan import Cell, folder_name
from uncertain.benchmark.split_rows import record_rows
from uncertain.benchmark.tasks import Budget, Task, class_count, load_splits, targets
from uncertain.benchmark.training import (
    Predictor,
    Settings,
    Trained,
    Training,
    member_trainings,
    shared_network,
)
from uncertain.data import Split

Report = Callable[[int, int], None]

TUNING_SEED = 10_000_000
"""The candidates of split s train with this seed plus s, which no reported training has."""


class Trial(NamedTuple):
    """One candidate's settings and what validation said of them."""

    settings: Settings
    nll: float
    error: float
    """Brier score or CRPS, which decides where no NLL is finite (a forest's probabilities of 0)."""


def tuning_file(out: Path, task: Task, model: str, seed: int) -> Path:
    """Return where a model's chosen settings lie; a folder beside it holds the trials.

    Where seeds use splits of their own so does tuning: the validation rows of one split are test
    rows of another.
    """
    folder = out / "tuning" / task.name
    if task.split_by_seed:
        folder /= f"split-{task.split_of(seed)}"
    return folder / f"{folder_name(model)}.json"


def try_candidate(
    out: Path, task: Task, name: str, number: int, seed: int, budget: Budget, report: Report
) -> None:
    """Train one candidate and score it on validation; the last one of a model's chooses.

    Args:
        out: The run's folder.
        task: What to train on.
        name: The model.
        number: The candidate's place among the model's.
        seed: The training seed whose split is used.
        budget: Which number of steps.
        report: Progress.
    """
    model = resolve_model(name)
    settings = model.candidates[number]
    path = _trial_file(out, task, name, settings, seed)
    if not path.is_file():
        training = _training(out, task, seed, budget, settings, report)
        training = replace(
            training,
            seed=TUNING_SEED + task.split_of(seed),
            network_settings=_network_settings(out, task, model, seed),
        )
        try:
            trial = _score(settings, train_model(model, training).predictor, training)
        except fit.NonFiniteError:
            trial = Trial(settings, math.inf, math.inf)  # A candidate that diverges has lost.
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, json.dumps(_finite(trial), indent=2))
    _choose(out, task, name, model, seed)


def _choose(out: Path, task: Task, name: str, model: Model, seed: int) -> None:
    """Keep the settings of the lowest validation NLL, once every trial is there."""
    paths = [_trial_file(out, task, name, settings, seed) for settings in model.candidates]
    if not all(path.is_file() for path in paths):
        return
    records = [json.loads(path.read_text()) for path in paths]
    best = min(records, key=lambda record: [_or_infinity(record[k]) for k in ("nll", "error")])
    # Two trials that end together both come here, and write the same.
    atomic.write_text(
        tuning_file(out, task, name, seed),
        json.dumps({"settings": best["settings"], "trials": records}, indent=2),
    )


def _trial_file(out: Path, task: Task, name: str, settings: Settings, seed: int) -> Path:
    folder = tuning_file(out, task, name, seed).with_suffix("")
    facts = json.dumps(dict(sorted(settings.items())))
    return folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:12]}.json"


def _finite(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON can hold it: what is not finite is null."""
    values = {
        k: v if math.isfinite(v) else None for k, v in (("nll", trial.nll), ("error", trial.error))
    }
    return {"settings": dict(trial.settings), **values}


def _or_infinity(value: float | None) -> float:
    return math.inf if value is None else value


def train_network(
    out: Path, task: Task, name: str, seed: int, member: int, budget: Budget, report: Report
) -> None:
    """Train one of the networks that the cells of a seed share; nothing, where it is there."""
    settings = chosen_settings(out, task, name, seed)
    training = _training(out, task, seed, budget, settings, report)
    shared_network(member_trainings(training, member + 1)[member])


def run_cell(out: Path, folder: Path, cell: Cell, budget: Budget, report: Report) -> None:
    """Train one model with one seed on one task; its folder is complete when ``cell.json`` is."""
    model = resolve_model(cell.model)
    record_rows(out, cell.task, cell.seed)
    settings = chosen_settings(out, cell.task, cell.model, cell.seed)
    training = _training(out, cell.task, cell.seed, budget, settings, report)
    training = replace(
        training, network_settings=_network_settings(out, cell.task, model, cell.seed)
    )
    trained = train_model(model, training)
    folder.mkdir(parents=True, exist_ok=True)
    splits = load_splits(cell.task, cell.seed)
    judged = [name for name in splits if name not in ("train", "validation")]
    rows = len(splits["train"]) + len(splits["validation"])
    detected, skipped = detect(trained.predictor, splits, out, cell, training)
    # Validation is not judged: temperatures are fitted on it, so that models are compared with them.
    for name in ["validation", *judged]:
        scores = detected.get(name, {})
        _predict(trained.predictor, splits[name], cell, name, folder, scores, training_rows=rows)
    _record(folder, cell, settings, trained, judged, skipped)


def chosen_settings(out: Path, task: Task, name: str, seed: int) -> Settings:
    """Return what tuning chose, or the model's only candidate."""
    tuned = resolve_model(name).tunes_as or name
    candidates = resolve_model(tuned).candidates
    if len(candidates) == 1:
        return candidates[0]
    settings: Settings = json.loads(tuning_file(out, task, tuned, seed).read_text())["settings"]
    return settings


def _network_settings(out: Path, task: Task, model: Model, seed: int) -> Settings:
    """Return the settings of the network that a model stands on; none where it stands alone."""
    if not model.backbone:
        return {}
    return chosen_settings(out, task, BACKBONES[task.kind], seed)


def prediction_file(folder: Path, split: str) -> Path:
    """Return where a cell's predictions of one split lie."""
    return folder / f"{split.replace(':', '-')}.parquet"


def _training(
    out: Path, task: Task, seed: int, budget: Budget, settings: Settings, report: Report
) -> Training:
    splits = load_splits(task, seed)
    train = splits["train"]
    return Training(
        task=task.name,
        kind=task.kind,
        train=train,
        validation=splits["validation"],
        classes=class_count(task, train),
        network=task.network,
        steps=task.steps_of(budget),
        batch_size=task.batch_size,
        checkpoint_seconds=task.checkpoint_seconds,
        seed=seed,
        settings=settings,
        folder=out,
        report=report,
    )


def _score(settings: Settings, predictor: Predictor, training: Training) -> Trial:
    split = training.validation
    predicted = predictive.predict(predictor, split.x, batch_size=1024)
    y = targets(split)
    error = evaluation.brier if training.kind == "classification" else evaluation.crps
    nll = -predictive.log_prob(predicted, y).double().mean()
    return Trial(settings, float(nll), float(error(predicted, y).double().mean()))


def _predict(
    predictor: Predictor,
    split: Split,
    cell: Cell,
    name: str,
    folder: Path,
    scores: Mapping[str, NDArray[Any]],
    *,
    training_rows: int,
) -> None:
    predicted = predictive.predict(predictor, split.x, batch_size=1024)
    images = len(split.x.shape) == 4 and name.partition(":")[0] not in ("shift", "validation")
    controls = _controls(split) if images else {}
    predictive.save_predictions(
        prediction_file(folder, name),
        predicted,
        None if name.startswith("ood:") else split.y,
        row_ids=split.row_ids,
        groups=split.groups,
        scores={**scores, **controls},
        source=cell.model,
        split=name,
        training=str(cell.seed),
        task=cell.task.name,
        training_rows=training_rows,
    )


def _controls(split: Split) -> dict[str, np.ndarray]:
    """Return scores that look at no model, so that a trivial pair shows itself."""
    return {f"control:{name}": score.numpy() for name, score in data.controls(split.x[:]).items()}


def _record(
    folder: Path,
    cell: Cell,
    settings: Settings,
    trained: Trained,
    judged: list[str],
    skipped: Mapping[str, str],
) -> None:
    facts = {
        "task": cell.task.name,
        "model": cell.model,
        "seed": cell.seed,
        "settings": dict(settings),
        "cost": asdict(trained.cost),
        "splits": judged,
        "detectors_skipped": dict(skipped),
    }
    atomic.write_text(folder / "cell.json", json.dumps(facts, indent=2))
