"""GPyTorch's deep Gaussian process beside the thin-and-deep one: a step, and what a minute buys."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import harness
import torch
from torch import Tensor

from uncertain.data import local
from uncertain.fit import Batch
from uncertain.gp import ThinDeepGP
from uncertain.gp.compositional import Layer
from uncertain.gp.covariances import likelihood
from uncertain.gp.initialisation import cluster_centres
from uncertain.predictive import from_gpytorch, import_quietly, log_prob

gpytorch: Any = import_quietly("gpytorch")
ROWS, POINTS = 1000, 128
MEMBERS = 512
SECONDS = 60.0
_DeepGP: Any = gpytorch.models.deep_gps.DeepGP


class Peer(_DeepGP):  # type: ignore[misc]
    """GPyTorch's deep process, on its own path and in float32, but started as ours is."""

    def __init__(self, points: Tensor, rows: int) -> None:
        super().__init__()
        inputs = points.shape[1]
        self.hidden = Layer(points, units=inputs, slope=torch.eye(inputs).double()).float()
        self.last = Layer(points).float()
        self.likelihood = likelihood(0.05).float()
        self.rows = rows

    def forward(self, x: Tensor) -> Any:
        """Return the latent function by samples."""
        return self.last(self.hidden(x))

    def predicted(self, x: Tensor, members: int) -> Any:
        """Return the mixture over samples."""
        for layer in (self.hidden, self.last):
            gpytorch.utils.memoize.clear_cache_hook(layer.variational_strategy)
        with torch.no_grad(), gpytorch.settings.num_likelihood_samples(members):
            return from_gpytorch(self(x), self.likelihood)


def minibatch_step(model: ThinDeepGP, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return one training step of ours on the next rows, Adam included."""
    adam = torch.optim.Adam(model.train().parameters(), lr=0.01)
    order = torch.Generator().manual_seed(0)

    def step() -> None:
        index = torch.randint(len(x), (min(ROWS, len(x)),), generator=order)
        adam.zero_grad()
        weight = torch.ones(len(index)).double()
        batch = Batch(x[index], y[index], weight, index, float(len(x)))
        model.objective(batch).backward()
        adam.step()

    return step


def peer_step(peer: Peer, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return one training step of GPyTorch's on the next rows, Adam included."""
    adam = torch.optim.Adam(peer.train().parameters(), lr=0.01)
    bound = gpytorch.mlls.VariationalELBO(peer.likelihood, peer, peer.rows)
    bound = gpytorch.mlls.DeepApproximateMLL(bound)
    order = torch.Generator().manual_seed(0)

    def step() -> None:
        index = torch.randint(len(x), (min(ROWS, len(x)),), generator=order)
        adam.zero_grad()
        (-bound(peer(x[index]), y[index])).backward()
        adam.step()

    return step


def pair_of(x: Tensor, y: Tensor, points: int) -> tuple[ThinDeepGP, Peer, Tensor, Tensor]:
    """Return both models for the same rows, and the rows as the peer wants them."""
    model = ThinDeepGP.from_data(x, y, num_inducing=points, members=MEMBERS)
    wide = (x - model.input_loc) / model.input_scale
    target = (y - model.loc) / model.scale
    peer = Peer(cluster_centres(wide, points, 0), len(x))
    return model, peer, wide.float(), target.float()


def against(figures: harness.Figures, inputs: int, *, quick: bool) -> None:
    """Time a step of both, then predictions of GPyTorch's."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(300 if quick else 8000, inputs, generator=g, dtype=torch.float64)
    y = x[:, 0].sin() + 0.1 * torch.randn(len(x), generator=g, dtype=torch.float64)
    model, peer, wide, target = pair_of(x, y, 20 if quick else POINTS)
    double = copy.deepcopy(peer).double()
    times = harness.interleave(
        {
            "ours": minibatch_step(model, x, y),
            "gpytorch": peer_step(peer, wide, target),
            "gpytorch_float64": peer_step(double, wide.double(), target.double()),
        },
        rounds=5,
    )
    figures.add_times("step", times)
    for side in ("gpytorch", "gpytorch_float64"):
        ratio = harness.ratio(times[side], times["ours"]).value
        figures.add(f"step_ratio_vs_{side}", ratio, "x")
    _, smaller, wide, _ = pair_of(x[:1000], y[:1000], 20 if quick else 50)
    asked = wide[: 100 if quick else 1000]
    smaller.eval()
    taken = harness.interleave({"predict": lambda: smaller.predicted(asked, 128)}, rounds=5)
    speed = len(asked) / statistics.median(taken["predict"])
    figures.add("rows_per_second_gpytorch", speed, "rows / s CPU")


def held_out(figures: harness.Figures, name: str) -> None:
    """Train both for the same CPU time on the first standard split, and compare their NLL."""
    file = f"uci/{name}.npz"
    folder = local.found_folder([file])
    if folder is None or local.why_missing([file], folder):
        print(f"{name} is not there")
        return
    source = local.read_uci(folder, file)
    test = torch.from_numpy(source.tests[0])
    inside = torch.ones(len(source.x), dtype=torch.bool)
    inside[test] = False
    x, y = torch.from_numpy(source.x), torch.from_numpy(source.y)
    model, peer, wide, target = pair_of(x[inside], y[inside], POINTS)
    steps = {
        "ours": minibatch_step(model, x[inside], y[inside]),
        "gpytorch": peer_step(peer, wide, target),
    }
    for side, step in steps.items():
        end, count = time.process_time() + SECONDS, 0
        while time.process_time() < end:
            step()
            count += 1
        figures.add(f"{name}_steps_{side}", count)
    model.eval().condition(x[inside], y[inside])
    with torch.no_grad():
        ours = float(-log_prob(model(x[test]), y[test]).mean())
    asked = ((x[test] - model.input_loc) / model.input_scale).float()
    known = ((y[test] - model.loc) / model.scale).float()
    peer.eval()
    parts = [
        -log_prob(peer.predicted(rows, MEMBERS), targets)
        for rows, targets in zip(asked.split(100), known.split(100), strict=True)
    ]
    theirs = float(torch.cat(parts).mean() + model.scale.log())
    figures.add(f"{name}_nll", ours, "nats")
    figures.add(f"{name}_nll_gpytorch", theirs, "nats")
    figures.add(f"{name}_nll_gap", ours - theirs, "nats, below 0 is better")
