"""The losses of the papers, and predictions in y's units."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Dirichlet, Independent

from uncertain.baselines import EvidentialClassification, EvidentialRegression
from uncertain.fit import Batch
from uncertain.predictive import StudentTMarginal, log_prob

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def batch(y: torch.Tensor) -> Batch:
    return Batch(X, y, torch.ones(6).double(), torch.arange(6), 6.0)


def test_the_loss_of_classes_is_the_expected_squared_error_and_a_divergence() -> None:
    y = torch.arange(6) % 4
    model = EvidentialClassification(nn.Linear(3, 4).double(), regularisation=0.7)
    alpha = model(X).concentration.detach()
    torch.testing.assert_close(alpha, 1 + F.softplus(model.network(X)).detach())
    hot = F.one_hot(y, 4).double()
    torch.manual_seed(0)
    draws = Dirichlet(alpha).sample((100_000,))
    error = (hot - draws).square().sum(-1).mean(0)
    kept = hot + (1 - hot) * alpha
    total = kept.sum(-1)
    divergence = (
        torch.lgamma(total)
        - torch.lgamma(torch.tensor(4.0).double())
        - torch.lgamma(kept).sum(-1)
        + ((kept - 1) * (torch.digamma(kept) - torch.digamma(total)[:, None])).sum(-1)
    )
    expected = (error + 0.7 * divergence).mean()
    torch.testing.assert_close(model.objective(batch(y)).detach(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("targets", [0, 2])
def test_the_loss_of_values_is_the_likelihood_of_the_prediction(targets: int) -> None:
    count = max(targets, 1)
    g = torch.Generator().manual_seed(3)
    y = 7 + 2 * torch.randn((6, count) if targets else (6,), generator=g, dtype=torch.float64)
    network = nn.Linear(3, 4 * count).double()
    model = EvidentialRegression.from_data(network, y, regularisation=0.0)
    dist = model(X)
    assert isinstance(dist, Independent if targets else StudentTMarginal)
    torch.testing.assert_close(model.objective(batch(y)), -log_prob(dist, y).mean())
    strict = EvidentialRegression.from_data(network, y, regularisation=0.3)
    gamma, nu, alpha, beta = model._outputs(X)
    standard = ((y - model.loc) / model.scale).reshape(6, count)
    penalty = ((standard - gamma).abs() * (2 * nu + alpha)).sum(-1).mean()
    difference = strict.objective(batch(y)) - model.objective(batch(y))
    torch.testing.assert_close(difference, 0.3 * penalty)
    base = dist.base_dist if targets else dist
    shape = base.loc.shape
    torch.testing.assert_close(
        base.noise_variance, (model.scale.square() * beta / (alpha - 1)).reshape(shape)
    )
    torch.testing.assert_close(
        base.latent_variance, (model.scale.square() * beta / (nu * (alpha - 1))).reshape(shape)
    )


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="`regularisation` should lie in"):
        EvidentialClassification(nn.Linear(3, 4), regularisation=-1.0)
    with pytest.raises(ValueError, match="`regularisation` should lie in"):
        EvidentialRegression(nn.Linear(3, 4), regularisation=-1.0)
    with pytest.raises(ValueError, match=r"`loc` should have shape \(\) or \(T,\)"):
        EvidentialRegression(nn.Linear(3, 4), loc=torch.ones(1, 1), scale=torch.ones(1, 1))
    with pytest.raises(ValueError, match="four a target"):
        EvidentialRegression(nn.Linear(3, 2))(torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"floating tensor \(N, 4 T\), got NoneType"):
        EvidentialRegression(type("Nothing", (nn.Module,), {"forward": lambda s, x: None})())(1)
