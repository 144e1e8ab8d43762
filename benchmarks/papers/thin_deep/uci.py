r"""Ten models on the standard splits of tables: error, density and time of each, by one rule for all.

    python benchmarks/papers/thin_deep_gp.py uci concrete --splits 10 --json concrete.json

The set is a name of the folder of local data, or a file of the same layout: ``X``, ``y``,
``n_splits`` and ``test_<k>``. A split is a training part, the rest being tested; nothing is tuned on
tests. Rows that repeat, inputs and target, are kept once, where targets have 20 values or fewer: else
a model could look them up. Such targets are ordinal: ``nll`` is then minus the logarithm of the
probability of the target's cell and ``crps`` the ranked probability score, since a density can be
made as large as one likes by spikes on the grid.

A mixture that stands for an integral has 512 members; ``nll_bias`` is its NLL at half of them minus
that at all. Fits have a CPU time that the budget shares out, and one thread. Differences are over the
splits, with the corrected resampled t of Nadeau and Bengio. No model is ranked where the exact
process, whose figures are known, is worse than they are by more than its standard error. Above 2,000
rows it is trained on 2,000 and conditioned on all, up to 10,000.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from thin_deep import ranking
from thin_deep.columns import COLUMNS, MEMBERS, Task
from uncertain import __version__, atomic, predictive
from uncertain.data import local
from uncertain.evaluation import ordinal, scores
from uncertain.families import cdf

_ORDINAL = 20
_MANY = 2000
_HALF = 10
_DESK = 3 * 3600 * 0.9
_MOST = {"desk": 300.0, "full": 3600.0}


class Table(NamedTuple):
    """A set with its splits.

    Attributes:
        name: Of the set.
        x: (N, D).
        y: (N,).
        tests: The test rows of every split.
        grid: The spacing of the targets where they are ordinal.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    tests: list[NDArray[np.int64]]
    grid: float | None

    def parts(self, split: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return inputs and targets to train on, and those to be tested on."""
        inside = np.ones(len(self.x), dtype=bool)
        inside[self.tests[split]] = False
        x, y = torch.from_numpy(self.x), torch.from_numpy(self.y)
        return x[inside], y[inside], x[~inside], y[~inside]


def read(name: str) -> Table:
    """Return a set by name, or from a file, with repeated rows dropped where targets are ordinal."""
    path = Path(name)
    if path.suffix != ".npz":
        file = f"uci/{name}.npz"
        folder = local.found_folder([file])
        local.check_files(f"uci/{name}", [file], folder)
        path = Path(folder or "") / file
    source = local.read_uci(path.parent, path.name)
    x, y, tests = source.x, source.y, list(source.tests)
    grid = ordinal.grid_spacing(y) if len(np.unique(y)) <= _ORDINAL else None
    if grid is not None:
        _, first = np.unique(np.column_stack([x, y]), axis=0, return_index=True)
        first.sort()
        place = np.full(len(x), -1)
        place[first] = np.arange(len(first))
        tests = [place[test][place[test] >= 0] for test in tests]
        x, y = x[first], y[first]
    return Table(path.stem, x, y, tests, grid)


def judge(predicted: Distribution, y: Tensor, table: Table) -> dict[str, float]:
    """Return the figures of one fitted model on the rows of one test part."""
    half = _half(predicted)
    made = {
        "rmse": float((predicted.mean - y).square().mean().sqrt()),
        "nll": _nll(predicted, y, table.grid),
    }
    made["nll_bias"] = 0.0 if half is None else _nll(half, y, table.grid) - made["nll"]
    made["crps"] = _crps(predicted, y, table)
    return made


def _nll(predicted: Distribution, y: Tensor, grid: float | None) -> float:
    if grid is None:
        return float(scores.nll(predicted, y).mean())
    arrays = predictive.to_arrays(predicted)
    return float(-ordinal.log_cell_probabilities(arrays, y.numpy(), grid).mean())


def _crps(predicted: Distribution, y: Tensor, table: Table) -> float:
    if table.grid is None:
        return float(scores.crps(predicted, y).mean())
    low, high, step = table.y.min(), table.y.max(), table.grid
    edges = np.arange(low + step / 2, high, step)
    arrays = predictive.to_arrays(predicted)
    below = np.stack([cdf(arrays, np.full(len(y), edge)) for edge in edges], axis=1)
    ends = np.zeros((len(y), 1)), np.ones((len(y), 1))
    probabilities = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
    labels = np.round((y.numpy() - low) / step).astype(np.int64)
    return float(ordinal.ranked_probability_scores(probabilities.clip(0), labels).mean())


def _half(predicted: Distribution) -> Distribution | None:
    """Return every second member of a mixture that stands for an integral."""
    if not isinstance(predicted, MixtureSameFamily):
        return None
    component = predicted.component_distribution
    if component.batch_shape[-1] < MEMBERS:
        return None
    whole = predictive.parts(component)
    return predictive.mixture(whole.build({k: t[:, ::2] for k, t in whole.tensors.items()}))


def cell(table: Table, column: str, split: int, seconds: float) -> dict[str, float]:
    """Fit one model on one split, and judge it."""
    x, y, asked, target = table.parts(split)
    started = time.process_time()
    predictor = COLUMNS[column](Task(x, y, split, seconds))
    took = time.process_time() - started
    with torch.no_grad():
        made = judge(predictor(asked), target, table)
    return made | {"seconds": took, "test_share": len(target) / len(table.x)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("set", metavar="NAME|FILE.npz")
    parser.add_argument("--splits", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first; 10 confirms")
    parser.add_argument("--models", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--budget", choices=("desk", "full"), default="desk")
    parser.add_argument("--seconds", type=float, help="CPU time of a fit, instead of the budget's")
    parser.add_argument(
        "--brief", type=Path, metavar="FILE", help="write those of the documentation"
    )


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Fit what is not in the folder yet, show the table, and return the figures."""
    table = read(options.set)
    count = min(options.splits, len(table.tests) - options.first)
    if options.quick:
        keep = np.random.default_rng(0).permutation(len(table.x))[:150]
        table = table._replace(x=table.x[keep], y=table.y[keep], tests=[np.arange(0, 150, 5)] * 2)
        count = min(count, 2)
    elif options.budget == "desk" and len(table.x) > _MANY:
        count = min(count, 5)
    first = 0 if options.quick else options.first
    splits = range(first, first + count)
    most = 2.0 if options.quick else _seconds(options, len(splits))
    print(f"{table.name}: {len(table.x)} rows, {count} splits, {most:.0f} CPU seconds a fit")
    home = folder / f"{table.name}-{options.budget}-{most:.0f}s"
    found: dict[str, list[dict[str, float]]] = {name: [] for name in options.models}
    for split in splits:
        for name in options.models:
            file = home / name / f"{split}.json"
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                atomic.write_text(file, json.dumps(cell(table, name, split, most)))
            found[name].append(json.loads(file.read_text()))
            last = found[name][-1]
            print(
                f"{split:>3} {name:<24} nll {last['nll']:.4f}  {last['seconds']:.0f} s", flush=True
            )
    figures = ranking.summary(found)
    ranking.show(table.name, figures, list(found), ordinal=table.grid is not None)
    figures |= ranking.ranked(table.name, found)
    figures |= {"seconds_a_fit": most, "splits": count, "first_split": first, "rows": len(table.x)}
    if options.brief:
        _write_brief(options.brief, table, figures)
    return figures


def _write_brief(path: Path, table: Table, figures: dict[str, float]) -> None:
    """Write what the documentation shows, and which half of the splits it is of."""
    ends = figures["first_split"], figures["first_split"] + figures["splits"]
    half = "develop" if ends[1] <= _HALF else "confirm" if ends[0] >= _HALF else "both"
    about = {"set": table.name, "half": half, "ordinal": table.grid is not None}
    kept = {k: float(f"{v:.4g}") if math.isfinite(v) else None for k, v in figures.items()}
    text = json.dumps({**about, "uncertain": __version__, **kept}, indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text + "\n")


def _seconds(options: argparse.Namespace, splits: int) -> float:
    """Return the CPU time of a fit: what three hours leave to each, or an hour."""
    if options.seconds is not None:
        return float(options.seconds)
    share = _DESK / (splits * len(options.models)) if options.budget == "desk" else np.inf
    return float(min(_MOST[options.budget], share))
