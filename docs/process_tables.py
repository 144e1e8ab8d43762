"""Tables for the page of Gaussian processes, from the files in ``docs/results/gp``.

They are what ``thin_deep_gp.py uci SET --brief docs/results/gp/SET-HALF.json`` wrote. A mark in the page,
``<!-- uci HALF: KIND -->``, is where a table is put.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from results_tables import markdown_table

MARK = re.compile(r"<!-- uci (develop|confirm): (nll|crps|goals) -->")
MODELS = {
    "thin_deep_gp_1": "thin and deep, one layer",
    "thin_deep_gp_2": "thin and deep, two layers",
    "thin_deep_gp_3": "thin and deep, three layers",
    "exact_gp": "exact",
    "exact_student_t": "exact, Student-t noise",
    "sparse_gp": "sparse",
    "compositional_deep_gp": "compositional deep",
    "deep_kernel": "deep kernel",
    "nonstationary_gp": "non-stationary",
    "deep_ensemble": "deep ensemble, no process",
    "gradient_boosted_trees": "boosted trees, no process",
}
SETS = {
    "energy": "energy",
    "concrete": "concrete",
    "bostonHousing": "boston",
    "kin8nm": "kin8nm",
    "power-plant": "power plant",
    "wine-quality-red": "wine, ordinal",
}
GOALS = {
    "energy": 0.62,
    "concrete": 2.95,
    "bostonHousing": 2.42,
    "kin8nm": -1.33,
    "power-plant": 2.74,
}
"""Mean NLL of one hidden layer, named before anything was run."""

Figures = Mapping[str, float | str | bool | None]


def fill(page: str, folder: Path) -> str:
    """Put the tables of stored results into a page; a half that is not there says so."""

    def table(found: re.Match[str]) -> str:
        held = read(folder, found[1])
        if not held:
            return f"*Nothing has been stored of the splits to {found[1]} yet.*"
        return goals(held) if found[2] == "goals" else scores(held, found[2])

    return MARK.sub(table, page)


def read(folder: Path, half: str) -> dict[str, Figures]:
    """Return what is stored of one half of the splits, by set.

    Raises:
        ValueError: For a file of other splits than its name says.
    """
    made: dict[str, Figures] = {}
    for name in SETS:
        path = folder / f"{name}-{half}.json"
        if not path.is_file():
            continue
        made[name] = json.loads(path.read_text())
        if made[name].get("half") != half:
            raise ValueError(
                f"{path.name} should hold splits to {half}, got {made[name].get('half')!r}."
            )
    return made


def scores(held: Mapping[str, Figures], score: str) -> str:
    """Return one score of every model on every set; the best process and ties with it are bold."""
    rows = []
    for model, title in MODELS.items():
        cells = [_score(figures, model, score) for figures in held.values()]
        if any(cell != "-" for cell in cells):
            rows.append([title, *cells])
    splits = ["splits", *(_number(figures.get("splits"), 0) for figures in held.values())]
    seconds = [
        "CPU seconds a fit, at most",
        *(_number(f.get("seconds_a_fit"), 0) for f in held.values()),
    ]
    return markdown_table(["", *(SETS[name] for name in held)], [*rows, splits, seconds])


def goals(held: Mapping[str, Figures]) -> str:
    """Return what one hidden layer reaches beside what was asked of it."""
    heads = ["", "goal", "NLL, one layer", "behind the best process", "three layers minus one"]
    rows = []
    for name, figures in held.items():
        nll = figures.get("thin_deep_gp_1_nll")
        rows.append(
            [
                SETS[name],
                _number(GOALS.get(name), 2),
                _number(nll, 3),
                _interval(figures, "thin_deep_gp_1_behind_best"),
                _interval(figures, "depth_3_minus_1"),
            ]
        )
    return markdown_table(heads, rows)


def _score(figures: Figures, model: str, score: str) -> str:
    cell = _number(figures.get(f"{model}_{score}"), 3)
    if score != "nll" or cell == "-":
        return cell
    error = figures.get(f"{model}_nll_error")
    if isinstance(error, float):
        cell = f"{cell} ± {error:.3f}"
    best = figures.get(f"{model}_best_or_tied") and figures.get("splits") != 1  # One tells nothing.
    return f"**{cell}**" if best else cell


def _interval(figures: Figures, name: str) -> str:
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if not isinstance(value, float):
        return "-"
    if not isinstance(low, float) or not isinstance(high, float):
        return f"{value:+.3f}"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _number(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"
