"""The other family of the same prior: against dense algebra, and against the matrix's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.gp import references
from uncertain.fit import Batch
from uncertain.gp import Deformation, DirectDeformation, ThinDeepGP
from uncertain.gp.initialisation import projection


def moved(count: int = 4, inputs: int = 3, places: int | None = None) -> DirectDeformation:
    g = torch.Generator().manual_seed(0)
    at = None if places is None else torch.randn(count, places, generator=g)
    layer = DirectDeformation(
        torch.randn(count, inputs, generator=g), latent_dim=2, at=at, jitter=0.0
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return layer


@pytest.mark.parametrize("places", [None, 2])
def test_moments_are_those_of_a_sparse_process_with_that_covariance(places: int | None) -> None:
    layer, g = moved(places=places), torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, generator=g, dtype=torch.float64)
    at = x if places is None else torch.randn(5, places, generator=g, dtype=torch.float64)
    z = layer.inducing_points.detach()
    where = z if layer.at is None else layer.at.detach()
    mean, variance = (t.detach() for t in layer(x, at))
    for q in range(2):
        length, size = layer.log_lengthscale[q].detach().exp(), layer.log_variance[q].detach().exp()

        def covariance(a: Tensor, s: Tensor, b: Tensor, t: Tensor) -> Tensor:
            return size * (a @ b.T) * references.kernel(s / length, t / length)  # noqa: B023

        k_zz, k_xz = covariance(z, where, z, where), covariance(x, at, z, where)
        root = torch.linalg.cholesky(k_zz)
        u, spread = root @ layer.mean[q].detach(), root @ layer.covariance_root()[q].detach()
        pull = k_xz @ torch.linalg.inv(k_zz)
        torch.testing.assert_close(mean[:, q], pull @ u)
        expected = covariance(x, at, x, at) - pull @ k_xz.T + pull @ spread @ spread.T @ pull.T
        torch.testing.assert_close(variance[:, q], expected.diagonal())


def test_both_families_have_one_prior_and_start_at_one_projection() -> None:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(60, 3, generator=g, dtype=torch.float64)
    layers = [Deformation(x[:8], latent_dim=2), DirectDeformation(x[:8], latent_dim=2)]
    for layer in layers:
        with torch.no_grad():
            layer.root.zero_()  # The prior's own spread.
        mean, variance = layer(x)
        assert not mean.any()
        square = x.square().sum(1, keepdim=True).expand(-1, 2)
        torch.testing.assert_close(variance, square, rtol=1e-4, atol=1e-4)
        assert layer.divergence() == 0
    matrix = projection(x, 2)
    layers[1].start_at(x, matrix)  # type: ignore[operator]
    off = (layers[1](x)[0] - x @ matrix.T).norm() / (x @ matrix.T).norm()
    assert off < 0.35


def test_a_model_takes_it_as_its_hidden_layer() -> None:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(30, 3, generator=g, dtype=torch.float64)
    y = x[:, 0].sin()
    layer = DirectDeformation(x[:8], latent_dim=2)
    layer.start_at(x, projection(x, 2))
    model = ThinDeepGP(layer, layer(x[:8])[0].detach(), rows=30)
    model.condition(x, y)
    weight = torch.ones(30).double()
    model.objective(Batch(x, y, weight, torch.arange(30), 30.0)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert model.moments(x).variance.gt(0).all()
    assert model.local_metric(x).shape == (30, 3, 3)
    with pytest.raises(TypeError, match=r"take `local_metric`"):
        model.metric_field(x)
    with pytest.raises(TypeError, match=r"`draws` should be asked of a model of Deformations"):
        model.draws(2)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_refused() -> None:
    z = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"`at` should have shape \(3, P\)"):
        DirectDeformation(z, latent_dim=1, at=z[:2])
    with pytest.raises(ValueError, match=r"`lengthscale` should lie in"):
        DirectDeformation(z, latent_dim=1, lengthscale=0.0)
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, 2\)"):
        DirectDeformation(torch.ones(3, 2), latent_dim=1)(torch.ones(3, 1))
