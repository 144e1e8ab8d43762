r"""The synthetic surface of the paper: two inputs that one latent dimension explains.

.. math:: z = W(x)\,x, \qquad W(x) = [2 x_1 \sin(3.1414\, x_1),\; 2 \cos(3.1414\, x_1)], \qquad
          y = \mathrm{sinc}(z) - z^2

at 350 inputs, uniform on the square; half of them train, without noise. Targets are standardised on
the training part, so every figure is in units of their standard deviation.

A seed is solved where the root mean squared error is at most .003, the negative log density at most
-3.5 and the least relevant latent row is below a thousandth of the most relevant. Neither W, nor the
test part, nor the number of latent dimensions is used. Seconds are CPU time of one thread, from the
data to the fitted model, restarts included.

References:
    D. A. de Souza et al., "Thin and deep Gaussian processes", 2023, section 4.1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import KFold
from torch import Tensor

from uncertain import atomic, gp
from uncertain.predictive import log_prob

RMSE, NLPD, RATIO = 3e-3, -3.5, 1e-3
_LEVEL = 0.95
_MEMBERS = 512


class Surface(NamedTuple):
    """One split of the surface.

    Attributes:
        x, y: (175, 2) and (175,), to train on.
        test_x, test_y: (175, 2) and (175,).
    """

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


def surface(seed: int, noise: float = 0.0) -> Surface:
    """Return the split of a seed.

    Args:
        seed: Of the split, and of the noise.
        noise: Its standard deviation, in units of the training targets'.
    """
    x = np.random.default_rng(0).uniform(-1, 1, (350, 2))
    angle = 3.1414 * x[:, 0]
    z = 2 * x[:, 0] * np.sin(angle) * x[:, 0] + 2 * np.cos(angle) * x[:, 1]
    y = np.sinc(z) - z**2
    train, test = next(iter(KFold(2, shuffle=True, random_state=seed).split(x)))
    y = (y - y[train].mean()) / y[train].std()
    y = y + noise * np.random.default_rng([seed, 1]).normal(size=len(y))
    whole_x, whole_y = torch.from_numpy(x), torch.from_numpy(y)
    return Surface(whole_x[train], whole_y[train], whole_x[test], whole_y[test])


def solve(seed: int, noise: float) -> dict[str, float]:
    """Fit one seed, and return its figures."""
    data = surface(seed, noise)
    started = time.process_time()
    model = gp.ThinDeepGP.from_data(data.x, data.y, seed=seed, members=_MEMBERS)
    fitted = gp.fit(model, (data.x, data.y), seed=seed)
    seconds = time.process_time() - started
    with torch.no_grad():
        predicted = model(data.test_x)
        relevance = model.relevance(data.x)
        below = predicted.cdf(data.test_y)
        ends = (1 - _LEVEL) / 2, (1 + _LEVEL) / 2
        inside = (below >= ends[0]) & (below <= ends[1])
        return {
            "rmse": float((predicted.mean - data.test_y).square().mean().sqrt()),
            "nlpd": float(-log_prob(predicted, data.test_y).mean()),
            "relevance_ratio": float(relevance.min() / relevance.max()),
            "coverage": float(inside.double().mean()),
            "noise_found": float(model.scale * model.noise_variance().sqrt()),
            "bound": float(-fitted.objective[-1] * len(data.x)),
            "seconds": seconds,
        }


def is_solved(found: dict[str, float]) -> bool:
    """Return whether figures of one seed, without noise, count as solved."""
    return found["rmse"] <= RMSE and found["nlpd"] <= NLPD and found["relevance_ratio"] < RATIO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation added to y")


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Fit the seeds that are not in the folder yet, show all, and return the summary."""
    seeds = options.seeds[:1] if options.quick else options.seeds
    found: dict[int, dict[str, float]] = {}
    for seed in seeds:
        file = folder / f"noise-{options.noise:g}" / f"{seed}.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(file, json.dumps(solve(seed, options.noise)))
        found[seed] = json.loads(file.read_text())
        print(seed, found[seed], flush=True)
    _show(found)
    return _summary(found, options.noise)


def _show(found: dict[int, dict[str, float]]) -> None:
    names = list(next(iter(found.values())))
    table = Table("seed", *names, "solved", title="sinc, in units of the target's deviation")
    for seed, each in found.items():
        table.add_row(
            str(seed), *(f"{each[name]:.4g}" for name in names), "yes" if is_solved(each) else "no"
        )
    Console(width=160).print(table)


def _summary(found: dict[int, dict[str, float]], noise: float) -> dict[str, float]:
    each = {name: [one[name] for one in found.values()] for name in next(iter(found.values()))}
    made = {f"{name}_median": statistics.median(values) for name, values in each.items()}
    worst = ("rmse", "nlpd", "relevance_ratio", "seconds")
    made |= {name: max(each[name]) for name in worst}
    made |= {"coverage_lowest": min(each["coverage"]), "coverage_highest": max(each["coverage"])}
    if noise:
        off = [abs(value / noise - 1) for value in each["noise_found"]]
        made |= {"noise_off_median": statistics.median(off), "noise_off": max(off)}
    solved = [is_solved(one) for one in found.values()]
    return made | {"share_solved": sum(solved) / len(solved), "seeds": len(solved)}
