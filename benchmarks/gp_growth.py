"""How time and memory of the thin-and-deep process grow with rows and inducing points.

One closed-form step (collapsed bound of all rows, gradients of every parameter) at D = Q = 4, on one
thread, over rows 1,000 to 1,000,000 and M = 25 to 400 wherever N M^2 is at most 7e8 (with --quick: 3e6),
beside the cost model

    t = a + b N M^2 + c M^3 + d N M,

fitted to all of them by least squares of relative errors, with no coefficient below zero.

growth_seconds_<N>_<M>, growth_mib_<N>_<M>
    CPU seconds a step; the largest sum of bytes of tensors alive at once.
growth_worst_ratio
    Of measured to modelled seconds or its inverse, over sizes of at least a twentieth of a second.
growth_exponent_rows, growth_exponent_points
    Slopes of log seconds in log N at the largest M that has three row counts, and in log M at the
    largest N that has three.
million_*
    A million rows (with --quick: 5,000, here) trained in batches of 1,000 with M = 128 in a process of its
    own, and 500 steps: seconds from the data to the start, a step, of the last pass that conditions on
    all rows, and the peak of resident memory, of which the data are 40 MB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from gp import Alive
from numpy.typing import NDArray
from scipy.optimize import nnls

from uncertain import fit
from uncertain.fit import Batch
from uncertain.gp import ThinDeepGP

INPUTS = 4
ROWS = (1000, 10_000, 100_000, 1_000_000)
POINTS = (25, 50, 100, 200, 400)
MOST, QUICK = 7e8, 3e6
_LEAST = 0.05


def data_of(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return synthetic rows: a wave whose length changes, and noise."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(rows, INPUTS, generator=g, dtype=torch.float64)
    noise = 0.1 * torch.randn(rows, generator=g, dtype=torch.float64)
    return x, (8 * x[:, 0].square()).sin() + x[:, 1] + noise


def step_of(rows: int, points: int) -> Callable[[], None]:
    """Return a step on all rows, its inducing points drawn from them."""
    x, y = data_of(rows)
    model = ThinDeepGP.from_data(x, y, inducing_points=x[:points]).train()
    batch = Batch(x, y, torch.ones(rows).double(), torch.arange(rows), float(rows))

    def step() -> None:
        model.zero_grad()
        model.objective(batch).backward()

    return step


def seconds_of(step: Callable[[], None]) -> float:
    """Return CPU seconds of a step: the median of five short ones, or the second of two long ones."""
    taken = []
    for _ in range(5):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
        if len(taken) == 2 and taken[-1] > 1:
            return taken[-1]
    return float(np.median(taken))


def terms(rows: float, points: float) -> list[float]:
    """Return what the cost model weighs."""
    return [1.0, rows * points**2, points**3, rows * points]


def modelled(sizes: list[tuple[int, int]], seconds: list[float]) -> NDArray[np.float64]:
    """Return the weights of the cost model, none below zero."""
    scaled = np.array([terms(*size) for size in sizes]) / np.array(seconds)[:, None]
    weights, _ = nnls(scaled / scaled.max(0), np.ones(len(sizes)))
    return np.asarray(weights / scaled.max(0), np.float64)


def slope(pairs: list[tuple[int, float]]) -> float:
    """Return the slope of log seconds between the two largest sizes; nan for fewer than three."""
    if len(pairs) < 3:
        return math.nan
    (low, first), (high, last) = sorted(pairs)[-2:]
    return math.log(last / first) / math.log(high / low)


def grow(figures: harness.Figures, *, most: float) -> None:
    """Measure every size, and fit the cost model."""
    sizes = [pair for pair in itertools.product(ROWS, POINTS) if pair[0] * pair[1] ** 2 <= most]
    seconds = []
    for rows, points in sizes:
        step = step_of(rows, points)
        seconds.append(seconds_of(step))
        figures.add(f"growth_seconds_{rows}_{points}", seconds[-1], "s CPU")
        alive = Alive()
        with alive:
            step()
        figures.add(f"growth_mib_{rows}_{points}", alive.peak / 2**20, "MiB of tensors")
    weights = modelled(sizes, seconds)
    for name, weight in zip(("1", "n_m2", "m3", "n_m"), weights, strict=True):
        figures.add(f"growth_weight_{name}", float(weight))
    off = [
        abs(math.log(found / float(np.dot(weights, terms(*size)))))
        for size, found in zip(sizes, seconds, strict=True)
        if found >= _LEAST
    ]
    figures.add("growth_worst_ratio", math.exp(max(off)) if off else math.nan, "x")
    by_size = dict(zip(sizes, seconds, strict=True))
    along_rows = [[(n, by_size[n, m]) for n in ROWS if (n, m) in by_size] for m in POINTS]
    along_points = [[(m, by_size[n, m]) for m in POINTS if (n, m) in by_size] for n in ROWS]
    for name, lines in (("rows", along_rows), ("points", along_points)):
        known = [value for value in map(slope, lines) if not math.isnan(value)]
        figures.add(f"growth_exponent_{name}", known[-1] if known else math.nan)


def train(rows: int, steps: int, points: int) -> dict[str, float]:
    """Train in batches and condition on all rows; meant for a process of its own."""
    torch.set_num_threads(1)
    x, y = data_of(rows)
    times = [time.process_time()]
    model = ThinDeepGP.from_data(x, y, num_inducing=points)
    times.append(time.process_time())
    adam = partial(torch.optim.Adam, lr=0.01)
    fit.fit(model, (x, y), steps=steps, batch_size=min(1000, rows), optimizer=adam)
    times.append(time.process_time())
    model.eval().condition(x, y)
    times.append(time.process_time())
    start, run, last = (b - a for a, b in itertools.pairwise(times))
    with torch.no_grad():
        error = (model.moments(x[:2000]).mean - y[:2000]).square().mean().sqrt()
    return {
        "start_seconds": start,
        "step_seconds": run / steps,
        "condition_seconds": last,
        "rmse": float(error),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def million(figures: harness.Figures, *, quick: bool) -> None:
    """Train a million rows elsewhere, so that the peak is theirs alone."""
    if quick:
        for name, value in train(5000, 5, 20).items():
            figures.add(f"million_{name}", value)
        return
    command = [sys.executable, __file__, "--train", "1000000", "500", "128"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for name, value in json.loads(found.splitlines()[-1]).items():
        figures.add(f"million_{name}", value)


def draw(values: dict[str, Any], path: Path) -> None:
    """Draw measured seconds and bytes over rows, with the cost model dashed."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    weights = [values[f"growth_weight_{name}"] for name in ("1", "n_m2", "m3", "n_m")]
    colours = pyplot.get_cmap("viridis")(np.linspace(0, 0.85, len(POINTS)))
    for points, colour in zip(POINTS, colours, strict=True):
        rows = [n for n in ROWS if f"growth_seconds_{n}_{points}" in values]
        for panel, name in zip(panels, ("seconds", "mib"), strict=True):
            found = [values[f"growth_{name}_{n}_{points}"] for n in rows]
            panel.loglog(rows, found, "o", color=colour, label=f"M = {points}")
        if rows:
            along = np.geomspace(rows[0], rows[-1], 50)
            costs = [float(np.dot(weights, terms(n, points))) for n in along]
            panels[0].loglog(along, costs, "--", lw=1, color=colour)
            panels[1].loglog(rows, found, lw=1, color=colour)
    panels[0].set(xlabel="rows N", ylabel="CPU seconds a step")
    panels[0].set_title(
        "one step; dashed: a + b N M² + c M³ + d N M", fontsize="medium", loc="left"
    )
    panels[1].set(xlabel="rows N", ylabel="MiB of tensors alive")
    panels[0].legend(frameon=False)
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Read the options that only this script has, and hand the others over."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--train", type=int, nargs=3)
    parser.add_argument(
        "--parts", nargs="+", choices=("grow", "million"), default=["grow", "million"]
    )
    options, rest = parser.parse_known_args()
    if options.train:
        print(json.dumps(train(*options.train)))
        return

    def measure(figures: harness.Figures, *, quick: bool) -> None:
        if "grow" in options.parts:
            grow(figures, most=QUICK if quick else MOST)
            if options.figure:
                draw(figures.values, options.figure)
        if "million" in options.parts:
            million(figures, quick=quick)

    doc = f"{__doc__}\nFurther options: --figure FILE draws it; --parts grow million."
    harness.main(doc, measure, rest)


if __name__ == "__main__":
    main()
