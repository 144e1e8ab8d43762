"""The distributions that remember their parts are the torch distributions that they extend."""

import pytest
import torch
from torch.distributions import Categorical, Dirichlet, Normal, kl_divergence

from uncertain.predictive import (
    DirichletCategorical,
    GaussianMarginal,
    StudentTMarginal,
    decompose,
)


def test_gaussian_marginal_is_the_normal_of_the_summed_variances():
    y = GaussianMarginal(
        torch.zeros(3), torch.tensor([0.0, 3.0, 1.0]), torch.tensor([2.0, 4.0, 0.0])
    )
    normal = Normal(torch.zeros(3), torch.tensor([2.0, 5.0, 1.0]))
    value = torch.tensor([0.3, -1.0, 2.0])
    torch.testing.assert_close(y.log_prob(value), normal.log_prob(value))
    torch.testing.assert_close(y.variance, y.latent_variance + y.noise_variance)
    torch.testing.assert_close(kl_divergence(y, normal), torch.zeros(3))
    assert isinstance(y, Normal)


def test_gaussian_marginal_broadcasts_and_expands():
    y = GaussianMarginal(0.0, torch.ones(3), 2.0).expand((2, 3))
    assert y.batch_shape == y.latent_scale.shape == y.noise_scale.shape == (2, 3)
    assert isinstance(y, GaussianMarginal)


def test_gradients_reach_both_scales():
    latent = torch.zeros(1, requires_grad=True)
    noise = torch.ones(1, requires_grad=True)
    GaussianMarginal(torch.zeros(1), latent, noise).log_prob(torch.ones(1)).backward()
    assert latent.grad.item() == 0.0  # d/ds of sqrt(s^2 + n^2) at s = 0
    assert torch.isfinite(noise.grad).all()


@pytest.mark.parametrize(
    ("latent", "noise", "name"),
    [(-1.0, 1.0, "latent_scale"), (1.0, -1.0, "noise_scale"), (0.0, 0.0, "scale")],
)
def test_gaussian_marginal_refuses(latent, noise, name):
    with pytest.raises(ValueError, match=f"Expected parameter {name} "):
        GaussianMarginal(torch.zeros(1), latent, noise)


def test_dirichlet_categorical_is_the_categorical_of_the_mean():
    concentration = torch.tensor([[3.0, 1.0], [0.5, 0.5]])
    y = DirichletCategorical(concentration)
    torch.testing.assert_close(y.probs, Dirichlet(concentration).mean)
    assert isinstance(y, Categorical)
    assert y.sample((100,)).shape == (100, 2)
    wide = y.expand((4, 2))
    assert wide.concentration.shape == (4, 2, 2)
    assert wide.log_prob(torch.zeros(4, 2)).shape == (4, 2)


def test_dirichlet_categorical_refuses():
    with pytest.raises(ValueError, match="Expected parameter concentration"):
        DirichletCategorical(torch.tensor([1.0, 0.0]))


def test_validation_follows_the_argument():
    assert GaussianMarginal(torch.zeros(1), -1.0, 1.0, validate_args=False).scale > 0
    assert DirichletCategorical(torch.tensor([1.0, 0.0]), validate_args=False).batch_shape == ()


def test_student_t_marginal_has_the_moments_of_a_normal_inverse_gamma():
    shape, rate, evidence = 3.0, 2.0, 0.5
    g = torch.Generator().manual_seed(0)
    gamma = torch.distributions.Gamma(shape, rate)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        variance = 1 / gamma.sample((400_000,))
    mean = (variance / evidence).sqrt() * torch.randn(len(variance), generator=g)
    y = StudentTMarginal(
        2 * torch.tensor(shape), 0.0, (rate / shape / evidence) ** 0.5, (rate / shape) ** 0.5
    )
    total, aleatoric, epistemic = decompose(y)
    torch.testing.assert_close(aleatoric, variance.mean(), rtol=0.02, atol=0)
    torch.testing.assert_close(epistemic, mean.var(), rtol=0.04, atol=0)
    torch.testing.assert_close(total, y.variance)


def test_student_t_marginal_of_few_degrees_has_no_finite_parts():
    y = StudentTMarginal(torch.tensor([2.0, 3.0]), 0.0, torch.tensor([1.0, 0.0]), 1.0)
    assert y.latent_variance.tolist() == [float("inf"), 0.0]
    assert y.expand((4, 2)).noise_variance[3].tolist() == [float("inf"), 3.0]
    with pytest.raises(ValueError, match="df"):
        StudentTMarginal(torch.tensor([0.0]), 0.0, 1.0, 1.0)
