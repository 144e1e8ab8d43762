"""Tables for the page of label measures, from the files in ``docs/results/wasserstein``.

They are what ``wasserstein_classification.py TASK --brief docs/results/wasserstein/TASK.json`` wrote. A
mark in the page, ``<!-- TASK: KIND -->``, is where a table is put.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from results_tables import markdown_table

MARK = re.compile(r"<!-- (\w+): (gains|parts|scores|views) -->")
CONTROL = "_gain_over_prototype"
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

    return MARK.sub(table, page)


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
