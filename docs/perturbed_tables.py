"""Tables for the page of label measures, from the files in ``docs/results/wasserstein``.

They are what ``wasserstein_classification.py TASK --brief docs/results/wasserstein/TASK.json`` wrote. A
mark in the page, ``<!-- TASK: KIND -->``, is where a table is put; ``<!-- goals -->`` is where every task is
held against what was aimed at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from results_tables import markdown_table

MARK = re.compile(r"<!-- (\w+): (gains|parts|scores|views) -->")
GOALS = "<!-- goals -->"
CONTROL = "_gain_over_prototype"
TASKS = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "shapes": "shapes"}
ASKED = {"wasserstein": "one view", "wasserstein_turned": "turned views"}
AIMS = {
    "severe": "severe",
    "rotation": "turned, 4-5",
    "down": "down-scaled, 4-5",
    "noise": "noise",
    "noise_4_5": "noise, 4-5",
    "clean": "clean",
}
COLUMNS = {
    "clean": "clean",
    "severe": "severe",
    "rotation": "turned, 4-5",
    "down": "down-scaled, 4-5",
    "noise": "noise",
    "unseen": "unseen",
}
MODELS = {
    "softmax": "softmax, no views",
    "softmax_augmented": "softmax",
    "softmax_views": "softmax, 8 views averaged",
    "softmax_turned": "softmax, 16 turned views averaged",
    "deep_ensemble": "deep ensemble of 5",
    "prototype_features": "prototypes on the softmax's features",
    "cosine_features": "cosine head on them",
    "mahalanobis_features": "Mahalanobis on them",
    "knn_features": "nearest neighbours on them",
    "prototype_wide": "prototypes in 16 dimensions",
    "prototype_views": "prototypes, 8 views",
    "prototype_turned": "prototypes, 16 turned views",
    "prototype_distance": "prototypes, distance as logit",
    "wasserstein_no_covariance": "Wasserstein, no covariance",
    "wasserstein": "**Wasserstein**",
    "wasserstein_squared": "Wasserstein, squares as logits",
    "wasserstein_measure": "Wasserstein, loss of the mean distance",
    "wasserstein_shape": "Wasserstein, shape weighted 3 times",
    "wasserstein_invariance": "Wasserstein, invariance term",
    "wasserstein_centred": "Wasserstein, centred",
    "wasserstein_centred_invariance": "Wasserstein, centred, invariance term",
    "wasserstein_views_distance": "Wasserstein, 8 views by mean distance",
    "wasserstein_views": "Wasserstein, 8 views by likelihood",
    "wasserstein_turned": "Wasserstein, 16 turned views by likelihood",
}
PARTS = {
    "pull_gain": "the pull (no covariance yet)",
    "covariance_gain": "a covariance",
    "distance_gain": "distances, not squares, as logits",
    "particles_gain": "the loss of every view, not of their mean distance",
    "invariance_gain": "the diffusion-invariance term",
    "shape_weight_gain": "a plain weight on the shape instead",
    "turned_gain": "the whole, where both see 16 turned views",
}

Figures = Mapping[str, float | str | None]


def fill(page: str, folder: Path) -> str:
    """Put the tables of stored results into a page; a task that is not there says so."""

    def table(found: re.Match[str]) -> str:
        path = folder / f"{found[1]}.json"
        if not path.is_file():
            return f"*No confirming run of {found[1]} has been stored yet.*"
        held: Figures = json.loads(path.read_text())
        if held.get("half") != "confirm":
            raise ValueError(f"{path.name} should hold a confirming run, got {held.get('half')!r}.")
        return _KINDS[found[2]](held)

    page = MARK.sub(table, page)
    return page.replace(GOALS, _goals(folder)) if GOALS in page else page


def _goals(folder: Path) -> str:
    """Every task's gains, and on how many tasks each goal is met."""
    rows, met = [], []
    for model, views in ASKED.items():
        counts = {"severe": 0, "nll": 0, "noise": 0, "clean": 0}
        for task, name in TASKS.items():
            path = folder / f"{task}.json"
            if not path.is_file():
                rows.append([views, name, *["-"] * (len(AIMS) + 2)])
                continue
            held: Figures = json.loads(path.read_text())
            start = f"{model}{CONTROL}"
            gains = [_interval(held, f"{start}_{aim}", 1, 1) for aim in AIMS]
            saved = _interval(held, f"{start}_severe_nll_saved", -100, 0, " %")
            rows.append([views, name, f"{held['trainings']:.0f}", *gains, saved])
            for goal, reached in _reached(held, start).items():
                counts[goal] += reached
        met.append([views, *(f"{count} of {len(TASKS)}" for count in counts.values())])
    heads = ["asked with", "task", "trainings", *AIMS.values(), "severe NLL"]
    aims = [
        "severe: 1 point or more, above 0",
        "severe NLL: 10 % lower or more, below 0",
        "noise: interval not below 0",
        "clean: interval above -0.3",
    ]
    return markdown_table(heads, rows) + "\n\n" + markdown_table(["asked with", *aims], met)


def _reached(held: Figures, start: str) -> dict[str, bool]:
    """Which goals one task meets; a figure that is not there meets none."""

    def figure(name: str) -> float:
        value = held.get(f"{start}_{name}")
        return float(value) if isinstance(value, int | float) else math.nan

    return {
        "severe": figure("severe") >= 1 and figure("severe_low") > 0,
        "nll": figure("severe_nll_saved") >= 0.1 and figure("severe_nll_saved_low") > 0,
        "noise": figure("noise_high") >= 0 and figure("noise_4_5_high") >= 0,
        "clean": figure("clean_low") > -0.3,
    }


def _gains(held: Figures) -> str:
    rows = [
        [name, *_line(held, f"{model}{CONTROL}")]
        for model, name in MODELS.items()
        if f"{model}{CONTROL}_severe" in held
    ]
    return markdown_table(["gain over prototypes of", *COLUMNS.values(), "severe NLL"], rows)


def _parts(held: Figures) -> str:
    rows = [[name, *_line(held, part)] for part, name in PARTS.items() if f"{part}_severe" in held]
    return markdown_table(["gain of", *COLUMNS.values(), "severe NLL"], rows)


def _scores(held: Figures) -> str:
    rows = []
    for model, name in {"prototype": "prototypes", **MODELS}.items():
        if f"{model}_augrc" not in held:
            continue
        cells = [name]
        for score, digits in (("augrc", 4), ("augrc_clean", 4), ("near_ood_auroc", 3)):
            for by in ("", "_max_probability"):
                cells.append(_number(held.get(f"{model}_{score}{by}"), digits))
        rows.append(cells)
    ends = ("own", "largest probability")
    heads = [
        f"{s}, {by}" for s in ("AUGRC", "AUGRC of clean rows", "held-out AUROC") for by in ends
    ]
    return markdown_table(["model", *heads], rows)


def _views(held: Figures) -> str:
    heads, cells = ["views of a row"], ["accuracy"]
    for number in ("", "_asked_1", "_asked_2", "_asked_4", "_asked_8"):
        value = held.get(f"wasserstein_4{number}_clean_0_accuracy")
        heads.append(number.replace("_asked_", "") or "the row itself")
        cells.append(_number(100 * value if isinstance(value, float) else None, 1))
    return markdown_table(heads, [cells])


def _line(held: Figures, start: str) -> list[str]:
    cells = [_interval(held, f"{start}_{part}", 1, 1) for part in COLUMNS]
    return [*cells, _interval(held, f"{start}_severe_nll_saved", -100, 0, " %")]


def _interval(held: Figures, name: str, factor: float, digits: int, unit: str = "") -> str:
    value, low, high = (held.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if not all(isinstance(each, int | float) for each in (value, low, high)):
        return "-"
    ends = sorted(factor * float(each or 0) for each in (low, high))
    return f"{factor * float(value or 0):+.{digits}f}{unit} [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"


def _number(value: float | str | None, digits: int) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}"


_KINDS = {"gains": _gains, "parts": _parts, "scores": _scores, "views": _views}
