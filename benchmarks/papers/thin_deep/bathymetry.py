"""Land and sea floor around Vancouver Island: a surface that is rough in some places and flat in others.

matplotlib's sample ``topobathy.npz``, 91 x 120 heights on a grid. Inputs are kilometres east and north of
the middle; the target is the height in units of its standard deviation over all rows, so that a negative
log-likelihood of 1.42 is what knowing mean and spread gives. With ``--points 1000`` that many are drawn.

Five folds of two kinds. ``random``: a test row has neighbours in training, a few kilometres away.
``blocked``: the map is cut into 5 x 4 rectangles, four of which are held out together, so that a model has
to say how little it knows inside. Figures are means over folds, with the standard deviation over folds
beside them (folds share training rows: it is no standard error).

Every model of the package is fitted by one call, with its own plan, shortened to what fits into ``--seconds``
of CPU: the cap is the same for all, and ``steps`` says what was left. The thin-and-deep process races six
starts on 500 rows before that, beyond the cap: its ``seconds`` say so. ``<folds>_<model>_nll`` (with 512
nodes where a model mixes), ``_nll_bias`` (what it falls by from 256 to 512), ``_crps``, ``_rmse`` and
``_seconds``, CPU of one thread a fit. The exact process takes no more than 2,000 rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from matplotlib import cbook
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import atomic, evaluation, fit, gp, predictive

Kind = Literal["random", "blocked"]
Make = Callable[[Tensor, Tensor, int, int], nn.Module]
KINDS: tuple[Kind, ...] = ("random", "blocked")
FOLDS = 5
MEMBERS = 512
STARTS = 6
SCORES = ("nll", "nll_bias", "crps", "rmse", "seconds", "steps")
_BLOCKS = (5, 4)
_KILOMETRES = 111.32  # a degree of latitude
_ROWS = 500


class Surface(NamedTuple):
    """Heights at places.

    Attributes:
        x: (N, 2) kilometres east and north of the middle.
        y: (N,) heights in units of their spread.
    """

    x: Tensor
    y: Tensor


def surface(points: int | None) -> Surface:
    """Return all heights, or so many drawn at random, always the same."""
    with np.load(cbook.get_sample_data("topobathy.npz", asfileobj=False)) as held:
        east, north = np.meshgrid(held["longitude"], held["latitude"])
        height = held["topo"].astype(np.float64).ravel()
    x = np.stack([east.ravel(), north.ravel()], 1).astype(np.float64)
    x -= (x.min(0) + x.max(0)) / 2
    x *= _KILOMETRES * np.array([np.cos(np.deg2rad(north.mean())), 1.0])
    y = (height - height.mean()) / height.std()
    order = np.random.default_rng(0).permutation(len(y))[:points]
    return Surface(torch.from_numpy(x[order]), torch.from_numpy(y[order]))


def folds_of(x: Tensor, kind: Kind) -> NDArray[np.int64]:
    """Return the fold of every row: drawn row by row, or block by block."""
    rng = np.random.default_rng(1)
    if kind == "random":
        return rng.permutation(len(x)) % FOLDS
    rows = x.numpy()
    low, high = rows.min(0), rows.max(0)
    cell = np.floor((rows - low) / (high - low) * (1 - 1e-9) * _BLOCKS).astype(np.int64)
    of_block = rng.permutation(_BLOCKS[0] * _BLOCKS[1]) % FOLDS
    return np.asarray(of_block[cell[:, 0] * _BLOCKS[1] + cell[:, 1]], np.int64)


def _thin_deep(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.ThinDeepGP.from_data(x, y, num_inducing=count, members=MEMBERS, seed=seed)


def _compositional(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.CompositionalDeepGP.from_data(x, y, num_inducing=count, members=MEMBERS, seed=seed)


def _nonstationary(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.NonstationaryGP.from_data(x, y, num_inducing=count, seed=seed)


def _deep_kernel(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.DeepKernelGP.from_data(x, y, num_inducing=count, seed=seed)


def _sparse(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.SparseGP.from_data(x, y, num_inducing=count, kernel="squared_exponential", seed=seed)


def _exact(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.ExactGP.from_data(x, y, kernel="squared_exponential")


def _exact_matern(x: Tensor, y: Tensor, count: int, seed: int) -> nn.Module:
    return gp.ExactGP.from_data(x, y, kernel="matern_5_2")


MODELS: dict[str, Make] = {
    "thin_deep_gp": _thin_deep,
    "compositional_deep_gp": _compositional,
    "nonstationary_gp": _nonstationary,
    "deep_kernel": _deep_kernel,
    "sparse_gp": _sparse,
    "exact_gp": _exact,
    "exact_gp_matern": _exact_matern,
}
"""Each from inputs, targets, the number of inducing points and a seed."""
EXACT = ("exact_gp", "exact_gp_matern")
_MOST_ROWS = 2000


def judge(predicted: Distribution, y: Tensor) -> dict[str, float]:
    """Return the mean scores of predictions; a mixture's likelihood with what half the nodes lose."""
    nll = float(evaluation.nll(predicted, y).mean())
    parts = [
        evaluation.crps(predictive.select(predicted, slice(at, at + _ROWS)), y[at : at + _ROWS])
        for at in range(0, len(y), _ROWS)
    ]
    return {
        "nll": nll,
        "nll_bias": _of_half(predicted, y) - nll,
        "crps": float(torch.cat(parts).mean()),
        "rmse": float((predicted.mean - y).square().mean().sqrt()),
    }


def _of_half(predicted: Distribution, y: Tensor) -> float:
    """Return the negative log-likelihood of half the members, averaged over both halves."""
    if not isinstance(predicted, MixtureSameFamily):
        return float(evaluation.nll(predicted, y).mean())
    logs = predicted.component_distribution.log_prob(y[:, None])
    halves = [logs[:, start::2] for start in (0, 1)]
    return statistics.mean(
        float(math.log(half.shape[1]) - half.logsumexp(1).mean()) for half in halves
    )


def plan_within(model: Any, x: Tensor, y: Tensor, seconds: float) -> list[gp.Phase]:
    """Return the model's own plan, with as many steps of Adam as fit into CPU seconds."""
    own = gp.plans.after_race if isinstance(model, gp.ThinDeepGP) else None
    plan = gp.plans.plan_of(model, len(x)) if own is None else own(len(x))
    size = min(len(x), max(phase.batch_size or len(x) for phase in plan))
    rows = torch.arange(size)
    batch = fit.Batch(x[rows], y[rows], torch.ones(size).double(), rows, float(len(x)))
    taken = []
    for _ in range(4):
        start = time.process_time()
        model.train().objective(batch).backward()
        taken.append(time.process_time() - start)
    model.zero_grad()
    steps = sum(phase.steps for phase in plan if phase.method == "adam")
    share = min(1.0, seconds / max(1e-9, min(taken) * steps))
    return [
        phase._replace(steps=max(1, round(share * phase.steps)))
        if phase.method == "adam"
        else phase
        for phase in plan
    ]


def solve(
    data: Surface, kind: Kind, fold: int, make: Make, count: int, most: float
) -> dict[str, float]:
    """Fit one model to all but one fold, and return its scores there."""
    held = torch.from_numpy(folds_of(data.x, kind) == fold)
    x, y = data.x[~held], data.y[~held]
    started = time.process_time()
    model = make(x, y, count, fold)
    plan = plan_within(model, x, y, most)
    starts = STARTS if isinstance(model, gp.ThinDeepGP) else None
    gp.fit(model, (x, y), plan=plan, starts=starts, seed=fold)
    seconds = time.process_time() - started
    with torch.no_grad():
        predicted = predictive.predict(model, data.x[held], batch_size=_ROWS)
    return judge(predicted, data.y[held]) | {
        "seconds": seconds,
        "steps": sum(p.steps for p in plan),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("--points", default="1000", help="how many, or `all`")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU, most a fit by Adam")
    parser.add_argument("--folds", type=int, choices=range(1, FOLDS + 1), default=FOLDS)
    parser.add_argument("--inducing", type=int, help="by default 100, and 300 of all points")


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Fit what is not in the folder yet, show all, and return the means over folds."""
    points = None if options.points == "all" else int(options.points)
    points, folds = (200, 1) if options.quick else (points, options.folds)
    most = 2.0 if options.quick else options.seconds
    count = options.inducing or (20 if options.quick else 300 if points is None else 100)
    data = surface(points)
    names = [n for n in options.models if n not in EXACT or len(data.x) * 0.8 <= _MOST_ROWS]
    place = folder / f"{len(data.x)}-{count}-{most:g}s"
    # Fold by fold, so that a run that is cut short has whole folds to compare.
    for fold, kind, name in itertools.product(range(folds), KINDS, names):
        file = place / kind / f"{name}-{fold}.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            scores = solve(data, kind, fold, MODELS[name], count, most)
            atomic.write_text(file, json.dumps(scores))
            print(kind, name, fold, scores, flush=True)
    made: dict[str, float] = {}
    title = f"{len(data.x)} heights, {folds} folds, {count} inducing points"
    table = Table("folds", "model", *SCORES, title=title)
    for kind, name in itertools.product(KINDS, names):
        found = [json.loads((place / kind / f"{name}-{f}.json").read_text()) for f in range(folds)]
        each = {score: [one[score] for one in found] for score in SCORES}
        means = {score: statistics.mean(values) for score, values in each.items()}
        table.add_row(
            kind, name, *(f"{means[s]:.3g} ± {np.std(values):.2g}" for s, values in each.items())
        )
        made |= {f"{kind}_{name}_{score}": value for score, value in means.items()}
    Console(width=140).print(table)
    return made
