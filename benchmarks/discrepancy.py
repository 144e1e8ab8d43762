"""What squared Wasserstein distances of Gaussians cost, beside POT: float32, forward and backward.

1,280 pairs: 128 rows by 10 classes, as in a step of training. POT's figure is its batched
``bures_wasserstein_distance`` squared, given matrices, with gradients for what ours has gradients for.
With --quick d stops at 16, rows and images are a quarter, and each round is one call.

ratio_vs_pot_full_d2 ... _d64
    POT's CPU time over ours, covariances and means of both sides trained.
ratio_vs_pot_cholesky_d2 ... _d64
    The same, ours given the Cholesky factors that a network's head puts out, POT their products.
ratio_vs_pot_fixed_d2 ... _d64
    Targets fixed: ours is ``FixedGaussians``, with the targets' factors at hand.
ratio_vs_pot_isotropic_d2 ... _d64
    Fixed targets of one variance, rows with full covariance.
ratio_vs_pot_diag_d2 ... _d64; ratio_vs_pot_diag
    Variances on both sides; the latter is that of d = 16.
pot_full_d2_seconds ..., full_d2_seconds ...
    The times themselves, for every kind.
full_d64_extra_mib, cholesky_d64_extra_mib, fixed_d64_extra_mib, pot_d64_extra_mib, diag_d64_extra_mib
    How far a step raises the process's peak memory (d16 with --quick).
full_d64_largest_gap ...
    The largest difference of a squared distance from POT's in float64.
step_ratio_vs_cross_entropy
    CPU time of a training step of ``WassersteinClassifier`` with one particle a row, over that of the
    same convolutional backbone with a linear layer and cross-entropy: 64 images of 28 x 28, Adam.
step_ratio_m2, step_ratio_m4, step_ratio_m8
    The time of a step with so many particles over that with one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

import harness
import torch
from ot.gaussian import bures_wasserstein_distance
from torch import Tensor

from uncertain import baselines
from uncertain.discrepancy import FixedGaussians, gaussian_wasserstein2_squared
from uncertain.fit import Batch
from uncertain.wasserstein import Perturbed, WassersteinClassifier

ROWS, CLASSES = 128, 10
IMAGES = 64
SIZES = (2, 4, 8, 16, 32, 64)


class Gaussians(NamedTuple):
    """Rows and classes: means, covariances and Cholesky factors of the covariances."""

    mean: Tensor
    cov: Tensor
    factor: Tensor


def gaussians(number: int, d: int, seed: int) -> Gaussians:
    """Return random Gaussians with eigenvalues of about 0.1 to 4."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(number, d, generator=generator)
    root = torch.randn(number, d, d, generator=generator)
    cov = root @ root.mT / d + 0.1 * torch.eye(d)
    return Gaussians(mean, cov, torch.linalg.cholesky(cov))


def step(function: Callable[..., Tensor], *given: Tensor) -> Callable[[], Tensor]:
    """Return a call that computes all distances and the gradients of what is given."""

    def run() -> Tensor:
        leaves = [value.clone().requires_grad_() for value in given]
        squared = function(*leaves)
        squared.sum().backward()
        return squared.detach()

    return run


def pot(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Return POT's squared distances of all rows to all classes."""
    squared: Tensor = bures_wasserstein_distance(mean_a, mean_b, cov_a, cov_b).square()
    return squared


def pairs(
    mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor, *, cholesky: bool = False
) -> Tensor:
    """Return ours."""
    return gaussian_wasserstein2_squared(
        mean_a[:, None], cov_a[:, None], mean_b, cov_b, cholesky=cholesky
    )


def candidates(a: Gaussians, b: Gaussians) -> dict[str, tuple[Callable[[], Tensor], ...]]:
    """Return (ours, POT's) of every kind."""
    variances_a, variances_b = (g.cov.diagonal(dim1=-2, dim2=-1).clone() for g in (a, b))
    eye = torch.eye(a.mean.shape[1])
    one = variances_b.mean(-1, keepdim=True)
    fixed = FixedGaussians.from_covariances(b.mean, b.cov)
    round_ = FixedGaussians.from_covariances(b.mean, one)

    def pot_fixed(mean: Tensor, cov: Tensor) -> Tensor:
        return pot(mean, cov, b.mean, b.cov)

    def pot_round(mean: Tensor, cov: Tensor) -> Tensor:
        return pot(mean, cov, b.mean, one[..., None] * eye)

    def rooted(*given: Tensor) -> Tensor:
        return pairs(*given, cholesky=True)

    return {
        "full": (
            step(pairs, a.mean, a.cov, b.mean, b.cov),
            step(pot, a.mean, a.cov, b.mean, b.cov),
        ),
        "cholesky": (
            step(rooted, a.mean, a.factor, b.mean, b.factor),
            step(
                lambda ma, la, mb, lb: pot(ma, la @ la.mT, mb, lb @ lb.mT),
                *(a.mean, a.factor, b.mean, b.factor),
            ),
        ),
        "fixed": (step(fixed.wasserstein2_squared, a.mean, a.cov), step(pot_fixed, a.mean, a.cov)),
        "isotropic": (
            step(round_.wasserstein2_squared, a.mean, a.cov),
            step(pot_round, a.mean, a.cov),
        ),
        "diag": (
            step(pairs, a.mean, variances_a, b.mean, variances_b),
            step(
                pot, *(a.mean, torch.diag_embed(variances_a), b.mean, torch.diag_embed(variances_b))
            ),
        ),
    }


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Time every kind in every size against POT."""
    sizes, rows = (SIZES[:4], ROWS // 4) if quick else (SIZES, ROWS)
    rounds, least_seconds = (harness.MIN_ROUNDS, 0.0) if quick else (7, 0.05)
    for d in sizes:
        a, b = gaussians(rows, d, 0), gaussians(CLASSES, d, 1)
        for kind, (ours, theirs) in candidates(a, b).items():
            times = harness.interleave(
                {"ours": ours, "pot": theirs}, rounds=rounds, least_seconds=least_seconds
            )
            figures.add(f"{kind}_d{d}_seconds", statistics.median(times["ours"]), "s")
            figures.add(f"pot_{kind}_d{d}_seconds", statistics.median(times["pot"]), "s")
            found = harness.ratio(times["pot"], times["ours"])
            figures.add(f"ratio_vs_pot_{kind}_d{d}", found.value, f"x (spread {found.spread:.0%})")
            if kind == "diag" and d == 16:
                figures.add("ratio_vs_pot_diag", found.value, "x")
    _memory_and_gaps(figures, rows, sizes[-1])
    _training_steps(figures, IMAGES // 4 if quick else IMAGES, rounds)


def training_step(model: torch.nn.Module, images: int) -> Callable[[], None]:
    """Return a call that makes one step on a fixed batch of images."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(images, 1, 28, 28, generator=generator), torch.arange(images) % CLASSES
    batch = Batch(x, y, torch.ones(images), torch.arange(images), float(images))
    optimizer = torch.optim.Adam(model.parameters())
    objective: Callable[[Batch], Tensor] = model.train().objective  # type: ignore[assignment]

    def run() -> None:
        optimizer.zero_grad()
        objective(batch).backward()
        optimizer.step()

    return run


def _training_steps(figures: harness.Figures, images: int, rounds: int) -> None:
    def network() -> torch.nn.Module:
        return baselines.convolutional((1, 28, 28), CLASSES, seed=0)

    steps = {"cross_entropy": training_step(baselines.Softmax(network()), images)}
    for particles in (1, 2, 4, 8):
        body, last = baselines.split_network(network())
        inputs = Perturbed(_same, train_particles=(particles,)) if particles > 1 else None
        model = WassersteinClassifier(body, last.in_features, CLASSES, inputs=inputs)
        steps[f"m{particles}"] = training_step(model, images)
    times = harness.interleave(steps, rounds=rounds)
    for name, series in times.items():
        figures.add(f"step_{name}_seconds", statistics.median(series), "s")
    found = harness.ratio(times["m1"], times["cross_entropy"])
    figures.add("step_ratio_vs_cross_entropy", found.value, f"x (spread {found.spread:.0%})")
    for particles in (2, 4, 8):
        found = harness.ratio(times[f"m{particles}"], times["m1"])
        figures.add(f"step_ratio_m{particles}", found.value, f"x (spread {found.spread:.0%})")


def _same(x: Tensor, generator: torch.Generator) -> Tensor:
    return x


def _memory_and_gaps(figures: harness.Figures, rows: int, d: int) -> None:
    a, b = gaussians(rows, d, 0), gaussians(CLASSES, d, 1)
    exact = pot(*(value.double() for value in (a.mean, a.cov, b.mean, b.cov)))
    for kind, (ours, theirs) in candidates(a, b).items():
        figures.add(f"{kind}_d{d}_extra_mib", harness.peak_extra_memory(ours), "MiB")
        if kind == "full":
            figures.add(f"pot_d{d}_extra_mib", harness.peak_extra_memory(theirs), "MiB")
        if kind in ("full", "cholesky", "fixed"):
            figures.add(f"{kind}_d{d}_largest_gap", float((ours().double() - exact).abs().max()))


if __name__ == "__main__":
    harness.main(__doc__, measure)
