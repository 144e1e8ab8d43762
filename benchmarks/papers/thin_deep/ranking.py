"""From figures a split to a table, a check that they can be right, and a ranking."""

from __future__ import annotations

import math

import numpy as np
from rich.console import Console
from rich.table import Table

from thin_deep.columns import PROCESSES
from uncertain.intervals import Estimate, corrected_resampled_t

Found = dict[str, list[dict[str, float]]]
Figures = dict[str, float]

HEALTHY = {
    "concrete": 3.02,
    "energy": 0.687,
    "bostonHousing": 2.42,
    "kin8nm": -1.246,
    "power-plant": 2.778,
}
"""Mean NLL of an exact process, Matern-5/2 with a lengthscale an input, on the standard splits."""
TIED = 0.05
"""Nats within which a difference whose interval contains 0 is a tie."""


def summary(found: Found) -> Figures:
    """Return the mean of every figure over the splits, ``<column>_<figure>``."""
    made = {}
    for name, cells in found.items():
        for figure in ("rmse", "nll", "nll_bias", "crps", "seconds"):
            made[f"{name}_{figure}"] = float(np.mean([cell[figure] for cell in cells]))
        made[f"{name}_nll_error"] = _error([cell["nll"] for cell in cells])
    return made


def show(name: str, figures: Figures, columns: list[str], *, ordinal: bool) -> None:
    """Print the table."""
    heads = ("RMSE", "-log P(cell)" if ordinal else "NLL", "bias", "RPS" if ordinal else "CRPS")
    table = Table("model", *heads, "CPU s a fit", title=f"{name}, mean over splits, original units")
    for column in columns:
        error = figures[f"{column}_nll_error"]
        table.add_row(
            column,
            f"{figures[f'{column}_rmse']:.4g}",
            f"{figures[f'{column}_nll']:.3f} ± {error:.3f}",
            f"{figures[f'{column}_nll_bias']:+.4f}",
            f"{figures[f'{column}_crps']:.4g}",
            f"{figures[f'{column}_seconds']:.0f}",
        )
    Console(width=120).print(table)


def ranked(name: str, found: Found) -> Figures:
    """Return differences to the best process, by splits; nothing where the exact one is not healthy."""
    made: Figures = {}
    if name in HEALTHY and "exact_gp" in found:
        values = [cell["nll"] for cell in found["exact_gp"]]
        gap, error = float(np.mean(values)) - HEALTHY[name], _error(values)
        made = {"exact_gp_health_gap": gap, "healthy": float(not gap > error)}
        print(f"exact process: {gap:+.3f} from {HEALTHY[name]}, standard error {error:.3f}")
        if not made["healthy"]:
            print("That is worse than it is known to be, so nothing is ranked.")
            return made
    processes = [column for column in PROCESSES if column in found]
    if len(processes) < 2:
        return made
    means = {column: np.mean([cell["nll"] for cell in found[column]]) for column in processes}
    best = min(means, key=lambda column: float(means[column]))
    for column in found:
        difference = paired(found, column, best)
        made |= _ends(f"{column}_behind_best", difference)
        tied = column == best or (
            difference.value <= TIED and (math.isnan(difference.low) or difference.low <= 0)
        )
        made[f"{column}_best_or_tied"] = float(tied)
        print(f"{column:<24} {_told(difference)} behind {best}{', tied' if tied else ''}")
    if {"thin_deep_gp_1", "thin_deep_gp_3"} <= found.keys():
        depth = paired(found, "thin_deep_gp_3", "thin_deep_gp_1")
        made |= _ends("depth_3_minus_1", depth)
        print(f"NLL of three layers minus that of one: {_told(depth)}")
    return made


def paired(found: Found, first: str, second: str) -> Estimate:
    """Return the mean difference of NLL over the splits, corrected for the rows they share."""
    pairs = zip(found[first], found[second], strict=True)
    values = [one["nll"] - other["nll"] for one, other in pairs]
    share = found[first][0]["test_share"]
    return corrected_resampled_t(values, test_share=share, null=0.0)


def _ends(name: str, difference: Estimate) -> Figures:
    return {name: difference.value, f"{name}_low": difference.low, f"{name}_high": difference.high}


def _told(difference: Estimate) -> str:
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _error(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
