"""The log evidence of bent rows with its gradient, against what torch and GPyTorch differentiate.

Matern-5/2 in eight latent dimensions, float64, one thread; rows, amplitude and precision have gradients.

evidence_<N>_<contender>_seconds
    One value and gradient at N rows: ``torch`` differentiates MultivariateNormal's log density of the
    same matrix, ``gpytorch`` its exact marginal log likelihood, by the Cholesky factor.
evidence_<N>_ours_over_<contender>
    Ours over theirs, with its spread.
evidence_<N>_relative_difference
    The largest difference of ours from torch's gradient in the rows, over the largest entry.
"""

from __future__ import annotations

from collections.abc import Callable

import harness
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from uncertain.gp.evidence import log_evidence
from uncertain.gp.kernels import base_kernel
from uncertain.predictive import import_quietly

WIDTH, NOISE = 8, 0.1


def rows_of(count: int) -> tuple[Tensor, Tensor]:
    """Return latent rows and targets."""
    g = torch.Generator().manual_seed(0)
    h = torch.randn(count, WIDTH, generator=g, dtype=torch.float64)
    return h, h[:, 0].sin() + NOISE**0.5 * torch.randn(count, generator=g, dtype=torch.float64)


def ours(h: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Return a function to the gradient in the rows."""
    precision = torch.full_like(y, 1 / NOISE)

    def call() -> Tensor:
        places, amplitude = h.clone().requires_grad_(), torch.ones(()).double().requires_grad_()
        weights = precision.clone().requires_grad_()
        log_evidence(places, amplitude, weights, y, kernel="matern_5_2").value.backward()
        assert places.grad is not None
        return places.grad

    return call


def torchs(h: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Return the same by automatic differentiation."""
    eye = torch.eye(len(y)).double()

    def call() -> Tensor:
        places, amplitude = h.clone().requires_grad_(), torch.ones(()).double().requires_grad_()
        noise = torch.full_like(y, NOISE).requires_grad_()
        covariance = amplitude * base_kernel(places, places, "matern_5_2") + noise * eye
        MultivariateNormal(torch.zeros_like(y), covariance).log_prob(y).backward()
        assert places.grad is not None
        return places.grad

    return call


def gpytorchs(h: Tensor, y: Tensor) -> Callable[[], None]:
    """Return GPyTorch's marginal likelihood, whose rows have gradients too."""
    gpytorch = import_quietly("gpytorch")
    kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.MaternKernel(nu=2.5)).double()
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    likelihood.noise = NOISE

    def call() -> None:
        places = h.clone().requires_grad_()
        with gpytorch.settings.fast_computations(log_prob=False):
            prior = gpytorch.distributions.MultivariateNormal(torch.zeros_like(y), kernel(places))
            likelihood(prior).log_prob(y).backward()

    return call


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Time the three beside each other."""
    for count in (100,) if quick else (500, 1000, 2000):
        h, y = rows_of(count)
        calls = {"ours": ours(h, y), "torch": torchs(h, y), "gpytorch": gpytorchs(h, y)}
        mine, theirs = ours(h, y)(), torchs(h, y)()
        off = float((mine - theirs).abs().max() / theirs.abs().max())
        figures.add(f"evidence_{count}_relative_difference", off)
        times = harness.interleave(calls)
        figures.add_times(f"evidence_{count}", times, baseline="ours")


if __name__ == "__main__":
    harness.main(__doc__, measure)
