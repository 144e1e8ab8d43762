"""Inducing variables of a hidden layer: on its matrix, or on what it returns.

The prior is the same. At D = 2, 8 and 16 inputs, for a grid of sizes of both:

- the share of the prior variance of h that the inducing points leave unexplained at new rows, at
  lengthscales of the root of D;
- CPU time of a step of training (one thread, the least of five) and the numbers that are trained;
- after equal CPU time on rows of a function from the model's own prior (600 train, noise .05 of the
  target's variance), the bound a row and the held-out negative log density a row.

Figures are of the size of each family that came out best; ``advantage`` is the held-out negative log
density on the returned values less that on the matrix, above 0 where the matrix wins.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from uncertain.fit import Batch
from uncertain.gp import Deformation, DirectDeformation, ThinDeepGP
from uncertain.gp.initialisation import cluster_centres, projection, start_at

ROWS, TESTED, POINTS, NOISE = 600, 600, 50, 0.05
LATENT = 2


class Outcome(NamedTuple):
    """What one size of one family came to."""

    unexplained: float
    milliseconds: float
    numbers: int
    bound: float
    nll: float


def surface(inputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows and targets of a draw from the prior of one hidden layer."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS + TESTED, inputs, generator=g, dtype=torch.float64)
    k = (-0.5 * torch.cdist(x, x).square() / inputs).exp() * (x @ x.T) / inputs
    eye = torch.eye(len(x), dtype=torch.float64)
    root = torch.linalg.cholesky(k + 1e-8 * eye)
    h = root @ torch.randn(len(x), LATENT, generator=g, dtype=torch.float64)
    f = torch.linalg.cholesky((-0.5 * torch.cdist(h, h).square()).exp() + 1e-8 * eye)
    noise = NOISE**0.5 * torch.randn(len(x), generator=g, dtype=torch.float64)
    return x, f @ torch.randn(len(x), generator=g, dtype=torch.float64) + noise


def model_of(family: str, x: Tensor, y: Tensor, count: int) -> ThinDeepGP:
    """Return a model whose layer has ``count`` inducing points, on standardised rows."""
    points, matrix = cluster_centres(x, count, 0), projection(x, LATENT)
    layer: Any
    if family == "matrix":
        layer = Deformation(points, latent_dim=LATENT)
        start_at(layer, x, matrix)
    else:
        layer = DirectDeformation(points, latent_dim=LATENT)
        layer.start_at(x, matrix)
    with torch.no_grad():
        top = cluster_centres(layer(x)[0], POINTS, 0)
    return ThinDeepGP(layer, top, rows=len(x), members=512, noise=NOISE)


@torch.no_grad()
def unexplained(family: str, x: Tensor, count: int) -> float:
    """Return the share at new rows, at the same points and lengthscale (the root of D) for both."""
    points, new = cluster_centres(x[:ROWS], count, 0), x[ROWS:]
    if family == "matrix":
        known = Deformation(points, latent_dim=1).responses(new).square().sum(1)
    else:
        layer = DirectDeformation(points, latent_dim=1)
        known = layer.responses(new, new).square().sum(1) / new.square().sum(1)
    return 1 - float(known.mean())


def outcome(family: str, data: tuple[Tensor, Tensor], count: int, seconds: float) -> Outcome:
    """Train one model for some CPU seconds and judge it."""
    x, y = data
    scale = x[:ROWS].std(0), y[:ROWS].std()
    x, y = (x - x[:ROWS].mean(0)) / scale[0], (y - y[:ROWS].mean()) / scale[1]
    model = model_of(family, x[:ROWS], y[:ROWS], count)
    layer: Any = model.hidden
    share = unexplained(family, x, count)
    batch = Batch(x[:ROWS], y[:ROWS], torch.ones(ROWS).double(), torch.arange(ROWS), float(ROWS))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    started = time.process_time()
    times: list[float] = []
    while time.process_time() - started < seconds or len(times) < 5:
        before = time.process_time()
        optimizer.zero_grad()
        model.objective(batch).backward()
        optimizer.step()
        times.append(time.process_time() - before)
    model.condition(*batch[:2])
    with torch.no_grad():
        bound = -float(model.eval().objective(batch))
        nll = -float(model(x[ROWS:]).log_prob(y[ROWS:]).mean())
    numbers = sum(p.numel() for p in layer.parameters())
    return Outcome(share, 1000 * min(times), numbers, bound, nll)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("--inputs", type=int, nargs="+", default=[2, 8, 16], help="D")
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 25, 50], help="points")
    parser.add_argument("--seconds", type=float, default=6.0, help="CPU seconds of each training")
    parser.add_argument("--seed", type=int, default=0, help="of the surface")


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Compare the families at every number of inputs; print a table and return the figures."""
    inputs, sizes, seconds = options.inputs, options.sizes, options.seconds
    if options.quick:
        inputs, sizes, seconds = inputs[:1], sizes[:1], 0.0
    table = Table(title="inducing variables on the matrix, or on what is returned")
    for column in ("D", "on", "points", "unexplained", "ms a step", "numbers", "bound", "NLL"):
        table.add_column(column, justify="right")
    figures: dict[str, float] = {}
    for width in inputs:
        data, best = surface(width, options.seed), {}
        for family in ("matrix", "returned"):
            found = {size: outcome(family, data, size, seconds) for size in sizes}
            for size, each in found.items():
                cells = (f"{each.unexplained:.3f}", f"{each.milliseconds:.1f}", str(each.numbers))
                ends = (f"{each.bound:.3f}", f"{each.nll:.3f}")
                table.add_row(str(width), family, str(size), *cells, *ends)
            best[family] = min(found.values(), key=lambda o: -o.bound)
            figures |= {
                f"{family}_{width}_nll": best[family].nll,
                f"{family}_{width}_bound": best[family].bound,
                f"{family}_{width}_unexplained_25": found.get(25, best[family]).unexplained,
            }
        figures[f"advantage_{width}"] = best["returned"].nll - best["matrix"].nll
    Console(width=100).print(table)
    return figures
