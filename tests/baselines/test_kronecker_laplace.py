"""Kronecker factors held against dense Gauss-Newton matrices of small networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uncertain.baselines import GaussianRegression, KroneckerLaplace, Softmax, kronecker_laplace

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(outputs: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs)).double()


def jacobians(net: nn.Module, x: Tensor, outputs: int) -> list[Tensor]:
    """The Jacobian (N, O, weights) of each layer, its matrix row by row with the bias last."""
    parameters = {k: v.detach() for k, v in net.named_parameters()}

    def single(p: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(net, p, (row[None],))[0, :outputs]

    whole = torch.func.vmap(torch.func.jacrev(single), (None, 0))(parameters, x)
    found = []
    for name in dict.fromkeys(key.rpartition(".")[0] for key in parameters):
        parts = [whole[f"{name}.weight"].flatten(3), whole[f"{name}.bias"][..., None]]
        found.append(torch.cat(parts, -1).flatten(2))
    return found


def curvature(logits: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None]


def test_for_one_row_it_is_the_exact_gauss_newton_block() -> None:
    net = network()
    model = KroneckerLaplace.from_data(Softmax(net), X[:1], prior_precision=0.3)
    _, found = model._linearised(X)
    expected = torch.zeros_like(found)
    for j in jacobians(net, X, 3):
        ggn = torch.einsum("ocw,ocd,odv->wv", j[:1], curvature(net(X[:1]).detach()), j[:1])
        inverse = torch.linalg.inv(ggn + 0.3 * torch.eye(len(ggn)))
        expected += torch.einsum("ncw,wv,ndv->ncd", j, inverse, j)
    torch.testing.assert_close(found, expected)


def test_the_factors_are_those_of_the_definition() -> None:
    """A is summed, B averaged, over rows one at a time: the slow way."""
    net = network()
    weights = torch.tensor([1.0, 2, 1, 0, 1, 3], dtype=torch.float64)
    model = KroneckerLaplace.from_data(
        Softmax(net), X, prior_precision=0.7, weights=weights, batch_size=4
    )
    hidden = net[1](net[0](X)).detach()
    inputs = [X, hidden]
    _, found = model._linearised(X)
    expected = torch.zeros_like(found)
    for layer, (a, j) in enumerate(zip(inputs, jacobians(net, X, 3), strict=True)):
        wide = torch.cat([a, torch.ones(6, 1).double()], 1)
        big_a = torch.zeros(wide.shape[1], wide.shape[1]).double()
        big_b: Tensor = torch.zeros(())
        for n in range(6):
            big_a = big_a + weights[n] * torch.outer(wide[n], wide[n])
            lower = net[2].weight.detach() * (1 - hidden[n] ** 2) if layer == 0 else torch.eye(3)
            lower = lower.double()  # (outputs, units)
            block = lower.T @ curvature(net(X[n : n + 1]).detach())[0] @ lower
            big_b = big_b + weights[n] * block / weights.sum()
        dense = torch.kron(big_b, big_a)
        inverse = torch.linalg.inv(dense + 0.7 * torch.eye(len(dense)))
        expected += torch.einsum("ncw,wv,ndv->ncd", j, inverse, j)
    torch.testing.assert_close(found, expected)


def test_without_data_the_covariance_is_that_of_the_prior_for_convolutions_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(27, 2)
    ).double()
    x = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = KroneckerLaplace(Softmax(net), prior_precision=2.0)
    expected = sum(torch.einsum("ncw,ndw->ncd", j, j) / 2 for j in jacobians(net, x, 2))
    torch.testing.assert_close(model._linearised(x)[1], expected)
    monkeypatch.setattr(kronecker_laplace, "_ENTRIES", 1)
    torch.testing.assert_close(model._linearised(x)[1], expected)


def test_for_one_image_of_one_place_a_convolution_is_a_linear_layer() -> None:
    linear = nn.Sequential(nn.Linear(4, 3)).double()
    convolution = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten()).double()
    convolution[0].weight.data = linear[0].weight.data.reshape(3, 1, 2, 2).clone()
    convolution[0].bias.data = linear[0].bias.data.clone()
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    flat = KroneckerLaplace.from_data(Softmax(linear), x)
    image = KroneckerLaplace.from_data(Softmax(convolution), x.reshape(5, 1, 2, 2))
    torch.testing.assert_close(image._linearised(x.reshape(5, 1, 2, 2))[1], flat._linearised(x)[1])


def test_regression_spreads_the_mean_and_keeps_the_noise() -> None:
    net = network(2)
    y = 10 + X[:, 0]
    plain = GaussianRegression.from_data(net, y)
    model = KroneckerLaplace.from_data(plain, X[:1], prior_precision=0.5)
    expected = torch.zeros(6).double()
    scale = F.softplus(net(X)[:, 1]).detach() + plain.minimum_scale
    for j in jacobians(net, X, 1):
        ggn = torch.einsum("ncw,ncv->wv", j[:1], j[:1]) / scale[0] ** 2
        inverse = torch.linalg.inv(ggn + 0.5 * torch.eye(len(ggn)))
        expected += torch.einsum("ncw,wv,ncv->n", j, inverse, j)
    dist = model(X)
    torch.testing.assert_close(dist.latent_scale, expected.sqrt() * plain.scale)
    torch.testing.assert_close(dist.noise_scale, plain(X).scale.detach())
    torch.testing.assert_close(dist.loc, plain(X).loc.detach())


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="should be a Softmax or a GaussianRegression, got Linear"):
        KroneckerLaplace(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="`prior_precision` should lie in"):
        KroneckerLaplace(Softmax(network()), prior_precision=0.0)
    with pytest.raises(ValueError, match="`members` should lie in"):
        KroneckerLaplace(Softmax(network()), members=0)
    with pytest.raises(ValueError, match="`x` should have at least one row"):
        KroneckerLaplace.from_data(Softmax(network()), X[:0])
