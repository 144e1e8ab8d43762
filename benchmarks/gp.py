"""What one closed-form training step of the thin-and-deep process costs, beside the naive statistic.

A step is the collapsed bound of all N rows with the gradient of every parameter. The naive step is
the same step with the second psi statistic written as it is printed: all of Q x N x M x M at once, in
torch, differentiated by autograd. Q = 8 inputs and latent dimensions. With --quick: N = 400, M = 20.

psi2_speedup
    The least of psi2_speedup_<N>_<M>, CPU time of the naive step over ours.
psi2_memory_ratio
    The bytes of tensors alive at once in the naive step over those in ours, N = 2000 and M = 50: of
    all that torch makes during the step, forwards and backwards, the largest sum. At M = 100 the
    naive step takes 12 GiB.
psi2_over_floor_<N>_<M>
    CPU time of the statistic and its gradient over that of the exponentials and matrix products that
    it can not do without: N x P exponentials and four products of N x P with 2 Q + 1 numbers, at the
    same chunk, P = M (M + 1) / 2.
psi2_largest_gap
    Largest relative difference of the naive statistic from ours.
rows_per_second, rows_per_second_gpytorch
    Rows predicted a CPU second by ``ThinDeepGP``, 128 nodes, M = 50, in batches of 10,000; and by
    GPyTorch's deep process of the same size with 128 samples, in batches of 1,000, for its memory.
step_ratio_vs_gpytorch, step_ratio_vs_gpytorch_float64
    CPU time of a training step of GPyTorch's deep process, one hidden layer of 8 units, 10 samples,
    float32 as by default or float64 as ours, over one of ``ThinDeepGP``: 1,000 rows, M = 128 for f of
    each.
kin8nm_nll_gap, power-plant_nll_gap
    Held-out NLL of ``ThinDeepGP`` minus that of GPyTorch's deep process (512 members each, the first
    standard split) after the same CPU time; left out where the set is not there, and with --quick.
"""

from __future__ import annotations

import math
import statistics
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import harness
import torch
from peers import deep_gp
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from uncertain.fit import Batch
from uncertain.gp import ThinDeepGP, bounds, psi2
from uncertain.gp.exponentials import CHUNK

INPUTS = 8


def naive(mean: Tensor, variance: Tensor, points: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the second statistic as it is printed."""
    first, second = points[:, None, :], points[None, :, :]
    apart = torch.exp(-(first - second).square().sum(-1) / 4)
    spread = (1 + 2 * variance)[:, None, None, :]
    middle = ((first + second) / 2)[None]
    exponent = -((mean[:, None, None, :] - middle).square() / spread)
    each = (spread.rsqrt() * torch.exp(exponent)).prod(-1)
    if weight is not None:
        each = each * weight[:, None, None]
    return apart * each.sum(0)


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is active and still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and look at what it made."""
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(value, Tensor):
                self._watch(value.untyped_storage())
        return made

    def _watch(self, storage: Any) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        if not size or key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def model_of(rows: int, points: int) -> tuple[ThinDeepGP, Batch]:
    """Return a model of synthetic rows, in training, and all of them as a batch."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(rows, INPUTS, generator=g, dtype=torch.float64)
    y = x[:, 0].sin() + 0.1 * torch.randn(rows, generator=g, dtype=torch.float64)
    model = ThinDeepGP.from_data(x, y, num_inducing=points, latent_dim=INPUTS).train()
    batch = Batch(x, y, torch.ones(rows).double(), torch.arange(rows), float(rows))
    return model, batch


def step_of(model: ThinDeepGP, batch: Batch) -> Callable[[], None]:
    """Return one evaluation of the objective with its gradient."""

    def step() -> None:
        model.zero_grad()
        model.objective(batch).backward()

    return step


def with_naive(step: Callable[[], None]) -> Callable[[], None]:
    """Return the same step on the naive statistic."""

    def replaced() -> None:
        with mock.patch.object(bounds, "psi2", naive):
            step()

    return replaced


def alone(latent: list[Tensor]) -> Callable[[], None]:
    """Return one evaluation of the statistic with its gradient."""

    def call() -> None:
        mean, variance, points = (t.detach().requires_grad_() for t in latent)
        psi2(mean, variance, points).sum().backward()

    return call


def floor_of(rows: int, pairs: int) -> Callable[[], None]:
    """Return the exponentials and products alone, at the chunk that is used."""
    size = max(16, CHUNK["cpu"] // pairs)
    width = 2 * INPUTS + 1
    left, right = torch.zeros(size, width).double(), torch.zeros(pairs, width).double()
    buffer = torch.zeros(size, pairs).double()

    def call() -> None:
        for _ in range(math.ceil(rows / size)):
            for _ in range(2):
                torch.mm(left, right.T, out=buffer)
                buffer.exp_()
            _ = buffer @ right
            _ = buffer.T @ left

    return call


def peak_bytes(step: Callable[[], None]) -> int:
    """Return the largest number of bytes of tensors that a step keeps alive at once."""
    alive = Alive()
    with alive:
        step()
    return alive.peak


def compare(figures: harness.Figures, rows: int, points: int) -> float:
    """Time one size; return how many times faster a step is than the naive one."""
    model, batch = model_of(rows, points)
    step, size = step_of(model, batch), f"{rows}_{points}"
    with torch.no_grad():
        mean, variance = model.hidden(batch.x)
    latent = [mean, variance, model.inducing_points.detach()]
    pairs = points * (points + 1) // 2
    times = harness.interleave(
        {
            "ours": step,
            "naive": with_naive(step),
            "alone": alone(latent),
            "floor": floor_of(rows, pairs),
        },
        rounds=5,
    )
    figures.add(f"step_seconds_{size}", statistics.median(times["ours"]), "s CPU")
    figures.add(f"naive_step_seconds_{size}", statistics.median(times["naive"]), "s CPU")
    faster = harness.ratio(times["naive"], times["ours"]).value
    figures.add(f"psi2_speedup_{size}", faster, "x")
    over = harness.ratio(times["alone"], times["floor"]).value
    figures.add(f"psi2_over_floor_{size}", over, "x")
    return faster


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Compare steps, memory and the two statistics; then time predictions."""
    sizes = [(400, 20)] if quick else [(1000, 50), (1000, 100), (2000, 50), (2000, 100)]
    faster = [compare(figures, *size) for size in sizes]
    # min() would pass over a refused ratio, which is nan, by the order they come in.
    figures.add("psi2_speedup", math.nan if any(map(math.isnan, faster)) else min(faster), "x")
    model, batch = model_of(*(sizes[0] if quick else (2000, 50)))
    step = step_of(model, batch)
    ours, theirs = peak_bytes(step), peak_bytes(with_naive(step))
    figures.add("step_mib", ours / 2**20, "MiB of tensors")
    figures.add("naive_step_mib", theirs / 2**20, "MiB of tensors")
    figures.add("psi2_memory_ratio", theirs / ours, "x")
    with torch.no_grad():
        mean, variance = model.hidden(batch.x[:100])
        points = model.inducing_points
        gap = (naive(mean, variance, points) / psi2(mean, variance, points) - 1).abs().max()
    figures.add("psi2_largest_gap", float(gap))
    predictor, _ = model_of(1000, 20 if quick else 50)
    rows = 500 if quick else 10_000
    asked = torch.randn(rows, INPUTS, generator=torch.Generator().manual_seed(1))
    predictor.eval()

    def predict() -> None:
        with torch.inference_mode():
            predictor(asked)

    times = harness.interleave({"predict": predict}, rounds=5)["predict"]
    figures.add("rows_per_second", rows / statistics.median(times), "rows / s CPU")
    deep_gp.against(figures, INPUTS, quick=quick)
    for name in () if quick else ("kin8nm", "power-plant"):
        deep_gp.held_out(figures, name)


if __name__ == "__main__":
    harness.main(__doc__, measure)
