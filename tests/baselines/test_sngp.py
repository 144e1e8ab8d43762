"""Bounded layers, random features of a kernel, and the covariance of the paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from uncertain.baselines import SNGP
from uncertain.fit import Batch, fit

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3


def body(scale: float = 1.0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8))
    for p in net.parameters():
        p.data *= scale
    return net


@pytest.mark.parametrize("scale", [1e-3, 20.0])
def test_weights_above_the_bound_are_divided_by_their_norm(scale: float) -> None:
    model = SNGP(body(scale), features=8, classes=3, bound=0.9)
    for _ in range(200):  # The power iteration goes on while training.
        model._bounded()
    for name, weight in model._bounded().items():
        own = model.body.get_parameter(name).detach()
        norm = torch.linalg.matrix_norm(own, 2)
        expected = own * min(1.0, 0.9 / float(norm))
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-3, atol=1e-6)


def test_a_bounded_body_stretches_no_distance_after_training() -> None:
    model = SNGP(body(20.0), features=8, classes=3, random_features=32, bound=0.9)
    fit(model, (X, Y), steps=40, batch_size=20, seed=0)
    model.eval()
    h = torch.func.functional_call(model.body, model._bounded(), (X,))
    assert (torch.pdist(h) <= 0.82 * torch.pdist(X)).all()


def test_inner_products_of_random_features_approach_the_kernel() -> None:
    model = SNGP(nn.Identity(), features=3, classes=2, random_features=2_000, lengthscale=1.7)
    phi = model._random(X[:10])
    expected = (-torch.cdist(X[:10], X[:10]).square() / (2 * 1.7**2)).exp()
    torch.testing.assert_close(phi @ phi.T, expected, rtol=0, atol=0.1)


def test_the_covariance_and_the_mean_field_logits_are_the_papers() -> None:
    model = SNGP(body(), features=8, classes=3, random_features=12, ridge=0.5).double().eval()
    x = X.double()
    weights = torch.arange(40) % 3
    model.fit_covariance(x, weights=weights, batch_size=7)
    phi = model._random(x).detach()
    logits = phi @ model.weight.detach().T + model.bias.detach()
    p = logits.softmax(-1)
    for c in range(3):
        precision = 0.5 * torch.eye(12).double()
        for n in range(40):
            precision += weights[n] * p[n, c] * (1 - p[n, c]) * torch.outer(phi[n], phi[n])
        torch.testing.assert_close(model.covariance[c], torch.linalg.inv(precision))
    variance = torch.einsum("ni,cij,nj->nc", phi, model.covariance, phi)
    expected = (logits / (1 + math.pi / 8 * variance).sqrt()).log_softmax(-1)
    torch.testing.assert_close(model(x).logits.detach(), expected)
    torch.testing.assert_close(model.score(x).detach(), variance.mean(-1))


def test_fitting_the_covariance_keeps_the_mode_and_moves_no_weight() -> None:
    model = SNGP(body(), features=8, classes=3, random_features=12).train()
    before = {k: v.clone() for k, v in model.state_dict().items() if k != "covariance"}
    model.fit_covariance(X)
    assert model.training
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())


def test_the_objective_is_the_cross_entropy_of_the_mean_logits() -> None:
    model = SNGP(body(), features=8, classes=3).eval()
    batch = Batch(X, Y, torch.ones(40), torch.arange(40), 40.0)
    logits = model._logits(model._random(X))
    torch.testing.assert_close(model.objective(batch), torch.nn.functional.cross_entropy(logits, Y))


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    for name in ("features", "classes", "random_features"):
        with pytest.raises(ValueError, match=f"`{name}` should lie in"):
            SNGP(body(), **({"features": 8, "classes": 3} | {name: 0}))
    for name in ("bound", "lengthscale", "ridge"):
        with pytest.raises(ValueError, match=f"`{name}` should lie in"):
            SNGP(body(), features=8, classes=3, **{name: 0.0})
    with pytest.raises(ValueError, match=r"`body\(x\)` should have shape \(N, 9\)"):
        SNGP(body(), features=9, classes=3)(X)
    with pytest.raises(ValueError, match="`weights` should have shape"):
        SNGP(body(), features=8, classes=3).fit_covariance(X, weights=torch.ones(3))
