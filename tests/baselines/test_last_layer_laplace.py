"""The curvature is the exact Hessian of the last layer, by automatic differentiation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.heads import C, D, clusters
from uncertain.baselines import (
    GaussianRegression,
    LaplaceClassificationHead,
    LaplaceRegressionHead,
    mlp,
)
from uncertain.baselines.last_layer_laplace import _hessian
from uncertain.predictive import class_probs


def layer(outputs: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Linear(D, outputs).double()


def test_the_curvature_of_classes_is_the_hessian_of_their_cross_entropy() -> None:
    h, y = clusters(2000)
    h = h / 10
    last = layer(C)
    weights = torch.arange(2000, dtype=torch.float64) % 3

    def loss(flat: Tensor) -> Tensor:
        whole = flat.reshape(C, D + 1)
        logits = F.linear(h, whole[:, :D], whole[:, D])
        return (weights * F.cross_entropy(logits, y, reduction="none")).sum()

    at = torch.cat([last.weight, last.bias[:, None]], 1).detach().flatten()
    expected = torch.func.hessian(loss)(at)
    found = _hessian(h, last.weight.detach(), last.bias.detach(), weights)
    torch.testing.assert_close(found, expected)
    head = LaplaceClassificationHead.from_data(last, h, prior_precision=0.5, weights=weights)
    inverse = torch.linalg.inv(expected + 0.5 * torch.eye(C * (D + 1)))
    torch.testing.assert_close(head.covariance, inverse)


def test_logits_have_the_covariance_of_the_weights() -> None:
    h, _ = clusters(30)
    head = LaplaceClassificationHead.from_data(layer(C), h, members=2048)
    draws = head(h[:4]).component_distribution.logits
    contrast = draws[..., 0] - draws[..., 1]  # Normalised logits keep differences.
    wide = torch.cat([h[:4], torch.ones(4, 1).double()], 1)
    blocks = head.covariance.reshape(C, D + 1, C, D + 1)
    c = torch.einsum("ni,cidj,nj->ncd", wide, blocks, wide)
    expected = c[:, 0, 0] + c[:, 1, 1] - 2 * c[:, 0, 1]
    torch.testing.assert_close(contrast.var(1), expected, rtol=0.1, atol=0)


def test_a_large_prior_precision_leaves_the_network_as_it_was() -> None:
    h, _ = clusters(30)
    last = layer(C)
    sure = LaplaceClassificationHead.from_data(last, h, prior_precision=1e12)
    torch.testing.assert_close(class_probs(sure(h)), last(h).softmax(-1), rtol=1e-4, atol=1e-6)
    vague = LaplaceClassificationHead.from_data(last, h, prior_precision=1e-2)
    far = 100 * h
    assert class_probs(vague(far)).amax(-1).mean() < last(far).softmax(-1).amax(-1).mean()


def test_a_layer_without_a_bias_has_a_bias_of_zero() -> None:
    h, _ = clusters(20)
    head = LaplaceClassificationHead.from_data(nn.Linear(D, C, bias=False).double(), h)
    assert torch.equal(head.bias, torch.zeros(C).double())


@pytest.mark.parametrize("targets", [0, 2])
def test_the_curvature_of_means_is_the_hessian_of_the_gaussian_likelihood(targets: int) -> None:
    h, _ = clusters(25)
    count = max(targets, 1)
    g = torch.Generator().manual_seed(3)
    y = 7 + 2 * torch.randn((25, count) if targets else (25,), generator=g, dtype=torch.float64)
    model = GaussianRegression.from_data(nn.Sequential(layer(2 * count)), y)
    last = model.network[0]
    head = LaplaceRegressionHead.from_data(model, h, prior_precision=2.0)
    raw = F.linear(h, last.weight[count:], last.bias[count:]).detach()
    noise = F.softplus(raw) + model.minimum_scale
    standard = ((y - model.loc) / model.scale).reshape(25, count)

    def loss(flat: Tensor) -> Tensor:
        whole = flat.reshape(count, D + 1)
        mean = F.linear(h, whole[:, :D], whole[:, D])
        return -torch.distributions.Normal(mean, noise).log_prob(standard).sum()

    at = torch.cat([last.weight, last.bias[:, None]], 1).detach()[:count].flatten()
    dense = torch.linalg.inv(torch.func.hessian(loss)(at) + 2 * torch.eye(count * (D + 1)))
    blocks = dense.reshape(count, D + 1, count, D + 1)
    for t in range(count):
        torch.testing.assert_close(head.covariance[t], blocks[t, :, t])
    dist, plain = head(h), model(h)
    torch.testing.assert_close(dist.mean, plain.mean.detach())
    base = dist.base_dist if targets else dist
    own = plain.base_dist if targets else plain
    torch.testing.assert_close(base.noise_scale, own.scale.detach())
    wide = torch.cat([h, torch.ones(25, 1).double()], 1)
    variance = torch.einsum("ni,tij,nj->nt", wide, head.covariance, wide)
    expected = variance.sqrt() * model.scale
    torch.testing.assert_close(base.latent_scale.reshape(25, count), expected)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    h, _ = clusters(9)
    with pytest.raises(ValueError, match="`prior_precision` should lie in"):
        LaplaceClassificationHead.from_data(layer(C), h, prior_precision=0.0)
    with pytest.raises(ValueError, match=r"`features` should have shape \(N, 4\)"):
        LaplaceClassificationHead.from_data(layer(C), h[:, :2])
    with pytest.raises(ValueError, match=r"`covariance` should have shape \(15, 15\)"):
        LaplaceClassificationHead(torch.ones(3, 4), torch.ones(3), torch.eye(4))
    with pytest.raises(ValueError, match="`members` should lie in"):
        LaplaceClassificationHead(torch.ones(3, 4), torch.ones(3), torch.eye(15), members=0)
    with pytest.raises(ValueError, match=r"`weight` should have shape \(2, D\)"):
        LaplaceRegressionHead(torch.ones(3, 4), torch.ones(3), torch.eye(5)[None])
    with pytest.raises(TypeError, match=r"ends in an nn\.Linear"):
        LaplaceRegressionHead.from_data(GaussianRegression(nn.Linear(D, 2)), h)
    model = GaussianRegression(mlp(D, 2, hidden=(), seed=0))
    with pytest.raises(ValueError, match="`prior_precision` should lie in"):
        LaplaceRegressionHead.from_data(model, h, prior_precision=-1.0)
