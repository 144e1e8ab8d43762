"""Both bounds: against each other, an independent sparse GP, and the evidence."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.gp import references
from uncertain.gp import bounds
from uncertain.gp.bounds import Posterior, Statistics
from uncertain.gp.factors import NotPositiveDefiniteError, cholesky

JITTER = 1e-8
NOISE, AMPLITUDE = torch.tensor(0.07).double(), torch.tensor(1.3).double()


class Rows(NamedTuple):
    mean: Tensor
    variance: Tensor
    y: Tensor
    weight: Tensor


def rows(count: int = 20, latent: int = 2, seed: int = 0) -> Rows:
    g = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, latent, generator=g, dtype=torch.float64)
    variance = 0.3 * torch.rand(count, latent, generator=g, dtype=torch.float64)
    y = mean.sin().sum(1) + 0.2 * torch.randn(count, generator=g, dtype=torch.float64)
    return Rows(mean, variance, y, torch.ones(count).double())


def points(count: int = 6, latent: int = 2) -> Tensor:
    return torch.randn(
        count, latent, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )


def whitening(z: Tensor) -> Tensor:
    k = references.kernel(z, z) + JITTER * torch.eye(len(z)).double()
    return cholesky(k, name="K", remedy="?")


def of(data: Rows, z: Tensor) -> Statistics:
    return bounds.statistics(*data, points=z, factor=whitening(z), amplitude=AMPLITUDE)


def test_without_variance_it_is_the_bound_of_a_sparse_gaussian_process() -> None:
    data, z = rows(), points()
    data = data._replace(variance=torch.zeros_like(data.variance))
    expected = references.sparse_regression_bound(
        data.mean, data.y, z, amplitude=float(AMPLITUDE), noise=float(NOISE), jitter=JITTER
    )
    found = bounds.collapsed_bound(of(data, z), NOISE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_the_uncollapsed_bound_at_the_best_posterior_is_the_collapsed_one() -> None:
    data = of(rows(), points())
    best = bounds.best_posterior(data.cross, data.second, NOISE)
    collapsed = bounds.collapsed_bound(data, NOISE)
    at_best = bounds.uncollapsed_bound(data, NOISE, best)
    torch.testing.assert_close(at_best, collapsed, rtol=1e-11, atol=0)
    g = torch.Generator().manual_seed(3)
    for scale in (0.9, 1.0, 1.1):
        moved = best.mean + 0.05 * torch.randn(6, generator=g, dtype=torch.float64)
        assert bounds.uncollapsed_bound(data, NOISE, Posterior(moved, scale * best.factor)) < (
            collapsed
        )


def test_the_gradient_at_the_best_posterior_is_that_of_the_collapsed_bound() -> None:
    """The envelope theorem: it does not matter whether the best q is held fixed."""
    data, z = rows(), points().requires_grad_()
    noise = NOISE.clone().requires_grad_()
    known = of(data, z)
    best = bounds.best_posterior(known.cross.detach(), known.second.detach(), NOISE)
    for one, other in zip(
        torch.autograd.grad(bounds.collapsed_bound(known, noise), (z, noise), retain_graph=True),
        torch.autograd.grad(bounds.uncollapsed_bound(known, noise, best), (z, noise)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_batches_add_up_to_the_whole() -> None:
    """Scaled to the data set, the bounds of batches average to the bound of all rows."""
    data, z = rows(), points()
    whole = of(data, z)
    q = bounds.best_posterior(whole.cross, whole.second, 2 * NOISE)
    parts = [Rows(*(t[start::4] for t in data)) for start in range(4)]
    each = [
        bounds.uncollapsed_bound(of(part._replace(weight=4 * part.weight), z), NOISE, q)
        for part in parts
    ]
    expected = bounds.uncollapsed_bound(whole, NOISE, q)
    torch.testing.assert_close(torch.stack(each).mean(), expected, rtol=1e-12, atol=0)


def test_a_row_twice_is_a_row_of_weight_two() -> None:
    data, z = rows(), points()
    twice = torch.arange(20) % 3 == 0
    weighted = data._replace(weight=1 + twice.double())
    copied = Rows(*(torch.cat([t, t[twice]]) for t in data))
    for found, expected in zip(of(weighted, z), of(copied, z), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        bounds.collapsed_bound(of(weighted, z), NOISE),
        bounds.collapsed_bound(of(copied, z), NOISE),
        rtol=1e-10,
        atol=0,
    )


def test_more_inducing_points_never_lower_it_and_all_rows_reach_the_evidence() -> None:
    data = rows(12)
    data = data._replace(variance=torch.zeros_like(data.variance))
    found = [float(bounds.collapsed_bound(of(data, data.mean[:m]), NOISE)) for m in (2, 5, 9, 12)]
    assert found == sorted(found)
    k = AMPLITUDE * references.kernel(data.mean, data.mean) + NOISE * torch.eye(12).double()
    evidence = torch.distributions.MultivariateNormal(torch.zeros(12).double(), k)
    torch.testing.assert_close(
        torch.tensor(found[-1]).double(), evidence.log_prob(data.y), rtol=0, atol=1e-4
    )


def test_it_stays_below_the_evidence_over_uncertain_inputs() -> None:
    """log E_h p(y | h) over draws of the inputs: what the bound is a bound on, q(h) being p(h)."""
    data, z = rows(6, seed=2), points(5)
    g = torch.Generator().manual_seed(4)
    draws = 20_000
    h = data.mean + data.variance.sqrt() * torch.randn(draws, 6, 2, generator=g).double()
    k = (-0.5 * (h[:, :, None] - h[:, None]).square().sum(-1)).exp() * AMPLITUDE
    k = k + NOISE * torch.eye(6).double()
    logs = torch.distributions.MultivariateNormal(torch.zeros(6).double(), k).log_prob(data.y)
    top = logs.max()
    ratios = (logs - top).exp()
    evidence = float(top + ratios.mean().log())
    error = float(ratios.std() / ratios.mean()) / math.sqrt(draws)
    assert float(bounds.collapsed_bound(of(data, z), NOISE)) <= evidence + 3 * error


def test_divergence_is_that_of_torch() -> None:
    data = of(rows(), points())
    q = bounds.best_posterior(data.cross, data.second, NOISE)
    covariance = torch.cholesky_inverse(q.factor)
    normal = torch.distributions.MultivariateNormal
    prior = normal(torch.zeros(6).double(), torch.eye(6).double())
    expected = torch.distributions.kl_divergence(normal(q.mean, covariance), prior)
    torch.testing.assert_close(bounds.divergence(q), expected, rtol=1e-9, atol=0)


def test_gradients_are_finite_differences() -> None:
    data, z = rows(5), points(3)

    def bound(mean: Tensor, variance: Tensor, z: Tensor, noise: Tensor, size: Tensor) -> Tensor:
        known = bounds.statistics(
            mean, variance, data.y, data.weight, points=z, factor=whitening(z), amplitude=size
        )
        return bounds.collapsed_bound(known, noise)

    free = [t.clone().requires_grad_() for t in (data.mean, data.variance, z, NOISE, AMPLITUDE)]
    assert torch.autograd.gradcheck(bound, free)


def test_a_noise_too_small_for_its_arithmetic_is_an_error_with_advice() -> None:
    second = -torch.eye(2).double()
    with pytest.raises(NotPositiveDefiniteError, match=r"noise variance is 0\.1 .* raise `jitter`"):
        bounds.best_posterior(torch.zeros(2).double(), second, torch.tensor(0.1).double())
