"""The process without approximation, beside GPyTorch's and beside the multivariate normal."""

from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from uncertain.fit import Batch
from uncertain.gp import ExactGP
from uncertain.gp.covariances import dense
from uncertain.predictive import import_quietly


def rows(count: int = 25, inputs: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = 3 + 2 * torch.randn(count, inputs, generator=g, dtype=torch.float64)
    y = 50 + 9 * x[:, 0].sin() + torch.randn(count, generator=g, dtype=torch.float64)
    return x, y


def whole(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.ones(len(x)).double(), torch.arange(len(x)), float(len(x)))


@pytest.mark.parametrize("kernel", ["matern_5_2", "squared_exponential"])
def test_the_objective_is_that_of_the_normal_in_the_users_units(kernel: str) -> None:
    x, y = rows()
    model = ExactGP.from_data(x, y, kernel=kernel, noise=0.3).eval()
    with torch.no_grad():
        model.constant.constant.fill_(0.4)
    scale = model.scaling.scale
    covariance = dense(model.covariance, model.rows) + 0.3 * torch.eye(len(x)).double()
    mean = (model.scaling.loc + scale * 0.4).expand(len(x))
    expected = MultivariateNormal(mean, scale.square() * covariance).log_prob(y)
    torch.testing.assert_close(model.objective(whole(x, y)), -expected / len(x))


@pytest.mark.parametrize("kernel", ["matern_5_2", "squared_exponential"])
def test_predictions_are_those_of_gpytorch(kernel: str) -> None:
    gpytorch = import_quietly("gpytorch")
    x, y = rows()
    model = ExactGP.from_data(x, y, kernel=kernel, noise=0.3).eval()

    class Theirs(gpytorch.models.ExactGP):  # type: ignore[misc, name-defined]
        def forward(self, x: Tensor) -> object:
            mean = model.constant(x)
            return gpytorch.distributions.MultivariateNormal(mean, model.covariance(x))

    theirs = Theirs(model.rows, model.targets, model.likelihood).eval()
    asked, _ = rows(7, seed=1)
    with torch.no_grad():
        ours, other = model(asked), theirs(model.scaling.inputs(asked))
    mean = model.scaling.loc + model.scaling.scale * other.mean
    variance = model.scaling.scale.square() * other.variance
    torch.testing.assert_close(ours.mean, mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.latent_variance, variance, rtol=1e-4, atol=1e-6)


def test_what_is_kept_of_the_training_rows_is_renewed_when_anything_changes() -> None:
    x, y = rows()
    model = ExactGP.from_data(x, y).eval()
    with torch.no_grad(), mock.patch.object(model, "_solve", wraps=model._solve) as solve:
        first = model(x[:3]).mean
        model(x[:5])
        assert solve.call_count == 1
        model.covariance.base_kernel.raw_lengthscale.sub_(1.0)
        changed = model(x[:3]).mean
        assert solve.call_count == 2
        model.condition(x[:10], y[:10])
        assert not torch.equal(model(x[:3]).mean, changed)
    assert not torch.equal(first, changed)
    kept = model(x[:3])  # with gradients: nothing that was kept is used
    with torch.inference_mode():
        torch.testing.assert_close(model(x[:3]).mean, kept.mean.detach())


def test_too_many_rows_are_refused_unless_asked_for() -> None:
    x, y = rows(30)
    with pytest.raises(ValueError, match=r"at most 20 rows.*raise `max_rows`"):
        ExactGP.from_data(x, y, max_rows=20)
    assert len(ExactGP.from_data(x, y, max_rows=30).rows) == 30
