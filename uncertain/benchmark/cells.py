"""What a worker does: choose settings on validation, train, predict every split, write it down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uncertain import atomic, data, predictive
from uncertain.benchmark.models import Model, resolve_model, train_model
from uncertain.benchmark.plan import Cell, folder_name
from uncertain.benchmark.tasks import Budget, Task, class_count, load_splits, targets
from uncertain.benchmark.training import Predictor, Settings, Trained, Training
from uncertain.data import Split

Report = Callable[[int, int], None]

TUNING_SEED = 10_000
"""The candidates' trainings use a seed that no reported training has."""


class Trial(NamedTuple):
    """One candidate's settings and what validation said of them."""

    settings: dict[str, float | int]
    nll: float


def tuning_file(out: Path, task: Task, model: str) -> Path:
    """Return where a model's chosen settings lie."""
    return out / "tuning" / task.name / f"{folder_name(model)}.json"


def tune(out: Path, task: Task, name: str, budget: Budget, report: Report) -> None:
    """Train every candidate once and keep the settings of the lowest validation NLL."""
    model = resolve_model(name)
    splits = load_splits(task, 0)
    trials: list[Trial] = []
    for done, settings in enumerate(model.candidates):
        training = _training(out, task, splits, TUNING_SEED, budget, settings, report)
        training = replace(training, report=_shifted_report(report, done, len(model.candidates)))
        trained = train_model(model, training)
        trials.append(Trial(dict(settings), _nll(trained.predictor, training)))
    best = min(trials, key=lambda trial: trial.nll if math.isfinite(trial.nll) else math.inf)
    path = tuning_file(out, task, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = {"settings": best.settings, "trials": [trial._asdict() for trial in trials]}
    atomic.write_text(path, json.dumps(chosen, indent=2))


def run_cell(out: Path, folder: Path, cell: Cell, budget: Budget, report: Report) -> None:
    """Train one model with one seed on one task; its folder is complete when ``cell.json`` is."""
    model = resolve_model(cell.model)
    splits = load_splits(cell.task, cell.seed)
    settings = chosen_settings(out, cell.task, cell.model, model)
    training = _training(out, cell.task, splits, cell.seed, budget, settings, report)
    trained = train_model(model, training)
    folder.mkdir(parents=True, exist_ok=True)
    judged = [name for name in splits if name not in ("train", "validation")]
    for name in judged:
        _predict(trained.predictor, splits[name], cell, name, folder)
    _record(folder, cell, settings, trained, judged)


def chosen_settings(out: Path, task: Task, name: str, model: Model) -> Settings:
    """Return what tuning chose, or the model's only candidate."""
    tuned = model.tunes_as or name
    path = tuning_file(out, task, tuned)
    if len(resolve_model(tuned).candidates) == 1:
        return resolve_model(tuned).candidates[0]
    settings: Settings = json.loads(path.read_text())["settings"]
    return settings


def prediction_file(folder: Path, split: str) -> Path:
    """Return where a cell's predictions of one split lie."""
    return folder / f"{split.replace(':', '-')}.parquet"


def _training(
    out: Path,
    task: Task,
    splits: dict[str, Split],
    seed: int,
    budget: Budget,
    settings: Settings,
    report: Report,
) -> Training:
    return Training(
        task=task.name,
        kind=task.kind,
        train=splits["train"],
        validation=splits["validation"],
        classes=class_count(task, splits["train"]),
        network=task.network,
        steps=task.steps_of(budget),
        batch_size=task.batch_size,
        checkpoint_seconds=task.checkpoint_seconds,
        seed=seed,
        settings=settings,
        folder=out,
        report=report,
    )


def _shifted_report(report: Report, done: int, parts: int) -> Report:
    return lambda step, steps: report(done * steps + step, parts * steps)


def _nll(predictor: Predictor, training: Training) -> float:
    split = training.validation
    predicted = predictive.predict(predictor, split.x, batch_size=1024)
    return float(-predictive.log_prob(predicted, targets(split)).double().mean())


def _predict(predictor: Predictor, split: Split, cell: Cell, name: str, folder: Path) -> None:
    predicted = predictive.predict(predictor, split.x, batch_size=1024)
    predictive.save_predictions(
        prediction_file(folder, name),
        predicted,
        None if name.startswith("ood:") else split.y,
        row_ids=split.row_ids,
        groups=split.groups,
        scores=_controls(split)
        if len(split.x.shape) == 4 and not name.startswith("shift:")
        else {},
        source=cell.model,
        split=name,
        training=str(cell.seed),
        task=cell.task.name,
    )


def _controls(split: Split) -> dict[str, np.ndarray]:
    """Return scores that look at no model, so that a trivial pair shows itself."""
    return {f"control:{name}": score.numpy() for name, score in data.controls(split.x[:]).items()}


def _record(
    folder: Path, cell: Cell, settings: Settings, trained: Trained, judged: list[str]
) -> None:
    facts = {
        "task": cell.task.name,
        "model": cell.model,
        "seed": cell.seed,
        "settings": dict(settings),
        "cost": asdict(trained.cost),
        "splits": judged,
    }
    atomic.write_text(folder / "cell.json", json.dumps(facts, indent=2))
