"""The bent layer against dense conditioning, its prior, and torch's own divergence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from tests.gp.references import kernel
from uncertain.gp import Deformation
from uncertain.gp.kernels import unit_kernel


def layer(latent: int = 2, inputs: int = 3, points: int = 4) -> Deformation:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(points, inputs, generator=g, dtype=torch.float64)
    made = Deformation(z, latent_dim=latent)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return made


def rows(count: int = 5, inputs: int = 3) -> Tensor:
    return torch.randn(
        count, inputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


def test_moments_are_those_of_dense_conditioning() -> None:
    """By the formulas for values that are not whitened: a = k K^-1 mu, b = k - k K^-1 (K - S) K^-1 k."""
    made, x = layer(), rows()
    matrix, variance = made.matrix(x)
    h_mean, h_variance = made(x)
    roots = made.covariance_root()
    for q in range(2):
        size, length = made.log_variance[q].exp(), made.log_lengthscale[q].exp()
        z = made.inducing_points / length
        k = size * (kernel(z, z) + made.jitter * torch.eye(4))
        cross = size * kernel(z, x / length)
        whiten = torch.linalg.cholesky(k)
        mu, s = whiten @ made.mean[q], whiten @ roots[q] @ roots[q].T @ whiten.T
        alpha = torch.linalg.inv(k) @ cross
        mean = alpha.T @ mu
        b = size - (alpha * ((k - s) @ alpha)).sum(0)
        torch.testing.assert_close(matrix[:, q], mean)
        torch.testing.assert_close(variance[:, q], b)
        torch.testing.assert_close(h_mean[:, q], (mean * x).sum(1))
        torch.testing.assert_close(h_variance[:, q], b * x.square().sum(1))


def test_at_the_prior_h_has_the_prior_variance_and_no_divergence() -> None:
    made = Deformation(rows(4), latent_dim=2)
    with torch.no_grad():
        made.root.zero_()  # the logarithm of a diagonal of ones
    mean, variance = made(rows())
    assert not mean.any()
    torch.testing.assert_close(variance, rows().square().sum(1, keepdim=True).expand(5, 2))
    torch.testing.assert_close(made.divergence(), torch.zeros(()).double())


def test_divergence_is_torchs_summed_over_entries() -> None:
    made = layer()
    eye = torch.eye(4).double()
    prior = MultivariateNormal(torch.zeros(4).double(), eye)
    expected = sum(
        kl_divergence(MultivariateNormal(made.mean[q, :, d], scale_tril=root), prior)
        for q, root in enumerate(made.covariance_root())
        for d in range(3)
    )
    torch.testing.assert_close(made.divergence(), expected)


def test_zero_stays_where_it_is() -> None:
    mean, variance = layer()(torch.zeros(1, 3))
    assert not mean.any()
    assert (variance <= 1e-12).all()


def test_precision_is_kept_whatever_is_asked() -> None:
    made = layer()
    before = made.mean.detach().clone()
    for changed in (made.float(), made.half(), made.to(dtype=torch.bfloat16), made.to("cpu")):
        assert changed is made
        assert torch.equal(made.mean, before)


def test_the_kernel_is_its_formula() -> None:
    a, b = rows(4), rows(5) + 1
    torch.testing.assert_close(unit_kernel(a, b), kernel(a, b), rtol=1e-12, atol=0)
    assert (unit_kernel(a, a) <= 1).all()


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`inducing_points` should have shape \(M, D\)"):
        Deformation(torch.zeros(3), latent_dim=1)
    with pytest.raises(ValueError, match=r"`inducing_points` should have at least one row"):
        Deformation(torch.zeros(0, 3), latent_dim=1)
    with pytest.raises(ValueError, match=r"`inducing_points` should be finite"):
        Deformation(torch.full((1, 1), torch.nan), latent_dim=1)
    with pytest.raises(ValueError, match=r"`latent_dim` should lie in"):
        Deformation(torch.zeros(1, 1), latent_dim=0)
    with pytest.raises(ValueError, match=r"`lengthscale` should lie in"):
        Deformation(torch.zeros(1, 1), latent_dim=1, lengthscale=0.0)
    with pytest.raises(ValueError, match=r"`jitter` should lie in"):
        Deformation(torch.zeros(1, 1), latent_dim=1, jitter=-1.0)
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, 3\)"):
        layer()(torch.zeros(2, 4))


def test_a_bias_is_an_input_that_is_1_everywhere() -> None:
    g = torch.Generator().manual_seed(0)
    points, x = (torch.randn(n, 2, generator=g, dtype=torch.float64) for n in (4, 6))

    def wide(t: Tensor) -> Tensor:
        return torch.cat([t, torch.ones_like(t[:, :1])], 1)

    layer = Deformation(points, latent_dim=2, bias=True, lengthscale=1.3)
    plain = Deformation(wide(points), latent_dim=2, lengthscale=1.3)
    with torch.no_grad():
        layer.mean.normal_(generator=g)
        plain.mean.copy_(layer.mean)
    torch.testing.assert_close(layer(x), plain(wide(x)))
    torch.testing.assert_close(layer.divergence(), plain.divergence())
    columns, variance = plain.matrix(wide(x))
    torch.testing.assert_close(layer.matrix(x), (columns[..., :2], variance))
    torch.testing.assert_close(layer.offset(x), columns[..., 2])
    assert not Deformation(points, latent_dim=2).offset(x).any()
