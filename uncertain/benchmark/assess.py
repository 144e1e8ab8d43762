"""From a run's stored predictions to its results table and report."""

from __future__ import annotations

import dataclasses
import json
import math

from uncertain.benchmark.cells import prediction_file, tuning_file
from uncertain.benchmark.conformal import conformal_figures
from uncertain.benchmark.ledger import RECORD
from uncertain.benchmark.models import resolve_model
from uncertain.benchmark.plan import Cell, Plan
from uncertain.benchmark.split_rows import run_hashes
from uncertain.benchmark.tasks import SANITY, Task, load_splits
from uncertain.evaluation import Predictions, Results, Row, evaluate, read_predictions, write_report

SANITY_REASON = "sanity: this pair shows only whether something is broken, and supports no claim"


def assess(plan: Plan, *, command: str = "", seed: int = 0) -> Results:
    """Judge every prediction of a finished run; write ``results.parquet`` and ``report.html``.

    Args:
        plan: The run; every cell is done.
        command: The command line, kept in both files.
        seed: Seed of the bootstrap.

    Returns:
        The results, costs included.

    Raises:
        ValueError: A cell is not done.
    """
    pending = plan.pending
    if pending:
        raise ValueError(f"{len(pending)} cells are not done yet, the first is {pending[0].key}.")
    predictions: list[Predictions] = []
    validation: list[Predictions] = []
    rows: list[Row] = []
    for task in dict.fromkeys(cell.task for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.task == task]
        predictions += _with_inputs(task, [p for cell in cells for p in _load(plan, cell)])
        validation += [p for cell in cells for p in _load_validation(plan, cell)]
        rows += _with_means([row for cell in cells for row in _costs(plan, cell)])
    judged = evaluate(predictions, validation=validation, seed=seed, command=command)
    hashes = run_hashes(plan.out, ((cell.task, cell.seed) for cell in plan.cells))
    facts = {
        "settings": "; ".join(choices(plan)),
        "tasks": plan.suite,
        "budget": plan.budget,
        "half": plan.half,
        "splits": json.dumps(hashes),
    }
    if plan.half == "confirm":
        looks = json.loads((plan.out / RECORD).read_text())["looks"]
        facts["confirm_runs"] = str(looks[-1]["number"])
    rows += conformal_figures(predictions, validation)
    results = _mark_sanity(judged + Results(rows, facts))
    results.write(plan.out / "results.parquet")
    write_report(
        results,
        predictions,
        plan.out / "report.html",
        title=f"Benchmark: {plan.suite}",
        command=command,
    )
    return results


def choices(plan: Plan) -> list[str]:
    """Return one line a tuned model and split: what validation chose, and from how many."""
    lines = []
    tuned = dict.fromkeys(
        (
            tuning_file(plan.out, cell.task, name, cell.seed),
            f"{cell.task.name}{_split(cell)} {name}",
        )
        for cell in plan.cells
        for name in [resolve_model(cell.model).tunes_as or cell.model]
    )
    for path, title in tuned:
        if not path.is_file():
            continue
        facts = json.loads(path.read_text())
        chosen = ", ".join(f"{key} {value}" for key, value in facts["settings"].items())
        best = min((t["nll"] for t in facts["trials"] if t["nll"] is not None), default=math.inf)
        lines.append(
            f"{title}: {chosen} (of {len(facts['trials'])} candidates, validation NLL {best:.4g})"
        )
    return lines


def _split(cell: Cell) -> str:
    return f" split {cell.task.split_of(cell.seed)}" if cell.task.split_by_seed else ""


def _load(plan: Plan, cell: Cell) -> list[Predictions]:
    folder = plan.folder(cell)
    names = json.loads((folder / "cell.json").read_text())["splits"]
    return [read_predictions(prediction_file(folder, name), split=name) for name in names]


def _load_validation(plan: Plan, cell: Cell) -> list[Predictions]:
    """Return what temperatures are fitted on; a run of an older version kept none."""
    path = prediction_file(plan.folder(cell), "validation")
    return [read_predictions(path, split="validation")] if path.is_file() else []


def _with_inputs(task: Task, predictions: list[Predictions]) -> list[Predictions]:
    """Join the test images by row id, so that the report can show the mistakes."""
    test = load_splits(task, 0)["test"]
    if len(test.x.shape) != 4:
        return predictions
    images = dict(zip(test.row_ids.tolist(), test.x[:].numpy(), strict=True))
    return [dataclasses.replace(p, inputs=images) if p.split == "test" else p for p in predictions]


def _mark_sanity(results: Results) -> Results:
    """Say on every row of a pair that is only a sanity check that it carries no claim."""
    rows = [
        dataclasses.replace(row, reason="; ".join(filter(None, [row.reason, SANITY_REASON])))
        if row.split.removeprefix("ood:") in SANITY and row.split.startswith("ood:")
        else row
        for row in results.rows
    ]
    return Results(rows, results.metadata)


def _costs(plan: Plan, cell: Cell) -> list[Row]:
    facts = json.loads((plan.folder(cell) / "cell.json").read_text())
    return [
        Row(
            metric=name,
            value=float(value),
            low=float("nan"),
            high=float("nan"),
            kind="estimate",
            source=cell.model,
            split="test",
            task=cell.task.name,
            training=str(cell.seed),
            n=1,
        )
        for name, value in facts["cost"].items()
        if value is not None
    ]


def _with_means(costs: list[Row]) -> list[Row]:
    """Add the mean over trainings where there are several: it stands for the model."""
    named: dict[tuple[str, str], list[Row]] = {}
    for row in costs:
        named.setdefault((row.source, row.metric), []).append(row)
    means = [
        dataclasses.replace(
            rows[0],
            value=sum(row.value for row in rows) / len(rows),
            training="",
            over="trainings",
            n=len(rows),
        )
        for rows in named.values()
        if len(rows) > 1
    ]
    return costs + means
