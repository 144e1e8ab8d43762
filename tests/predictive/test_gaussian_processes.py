"""GPyTorch's posteriors as predictions, against GPyTorch's own marginals."""

import pytest
import torch
from torch.distributions import Independent, Normal

from uncertain.predictive import (
    GaussianMarginal,
    class_probs,
    decompose,
    from_gpytorch,
    import_quietly,
)

gpytorch = import_quietly("gpytorch")
pytestmark = pytest.mark.filterwarnings("default")


def latent(*batch, rows=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(*batch, rows, rows, generator=g, dtype=torch.float64)
    covariance = root @ root.mT + 0.1 * torch.eye(rows, dtype=torch.float64)
    mean = torch.randn(*batch, rows, generator=g, dtype=torch.float64)
    return gpytorch.distributions.MultivariateNormal(mean, covariance)


def test_gaussian_likelihood_splits_the_variance():
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    likelihood.noise = 0.37
    output = latent()
    dist = from_gpytorch(output, likelihood)
    own = likelihood(output)
    assert isinstance(dist, GaussianMarginal)
    torch.testing.assert_close(dist.loc, own.mean)
    torch.testing.assert_close(dist.variance, own.variance)
    torch.testing.assert_close(dist.latent_variance, output.variance)
    torch.testing.assert_close(decompose(dist).aleatoric, torch.full_like(own.mean, 0.37))
    dist.log_prob(torch.zeros(4)).sum().backward()
    assert likelihood.raw_noise.grad is not None


def test_noise_of_every_row():
    noise = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(noise)
    torch.testing.assert_close(from_gpytorch(latent(), likelihood).noise_variance, noise)


def test_deep_samples_become_members():
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    output = latent(3)
    dist = from_gpytorch(output, likelihood)
    assert dist.batch_shape == (4,)
    torch.testing.assert_close(dist.mean, output.mean.mean(0))
    spread = output.mean.var(0, correction=0) + output.variance.mean(0)
    torch.testing.assert_close(decompose(dist).epistemic, spread)


def test_several_tasks():
    output = gpytorch.distributions.MultitaskMultivariateNormal.from_independent_mvns(
        [latent(seed=1), latent(seed=2)]
    )
    likelihood = gpytorch.likelihoods.MultitaskGaussianLikelihood(num_tasks=2).double()
    dist = from_gpytorch(output, likelihood)
    assert isinstance(dist, Independent)
    assert dist.event_shape == (2,)
    torch.testing.assert_close(dist.variance, likelihood(output).variance)


def test_bernoulli_by_quadrature():
    output = latent()
    likelihood = gpytorch.likelihoods.BernoulliLikelihood()
    dist = from_gpytorch(output, likelihood)
    torch.testing.assert_close(class_probs(dist)[:, 1], likelihood(output).probs, atol=1e-3, rtol=0)
    narrow = gpytorch.distributions.MultivariateNormal(
        output.mean, 0.3 * torch.eye(4, dtype=torch.float64)
    )
    found = class_probs(from_gpytorch(narrow, likelihood))[:, 1]
    torch.testing.assert_close(found, likelihood(narrow).probs, atol=1e-10, rtol=0)
    assert (decompose(dist).epistemic > 0).all()


def test_softmax_by_fixed_draws():
    output = gpytorch.distributions.MultitaskMultivariateNormal.from_independent_mvns(
        [latent(seed=i) for i in range(3)]
    )
    likelihood = gpytorch.likelihoods.SoftmaxLikelihood(
        num_features=3, num_classes=3, mixing_weights=False
    )
    state = torch.get_rng_state()
    dist = from_gpytorch(output, likelihood, members=512)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng(), gpytorch.settings.num_likelihood_samples(20_000):
        torch.manual_seed(0)
        own = likelihood(output).probs.mean(0)
    torch.testing.assert_close(class_probs(dist), own, atol=0.02, rtol=0)
    again = class_probs(from_gpytorch(output, likelihood, members=512))
    assert torch.equal(class_probs(dist), again)


def test_any_likelihood_of_one_latent_function():
    output = latent()
    likelihood = gpytorch.likelihoods.StudentTLikelihood().double()
    dist = from_gpytorch(output, likelihood)
    assert dist.batch_shape == (4,)
    torch.testing.assert_close(dist.mean, output.mean)


def test_refusals():
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    with pytest.raises(TypeError, match=r"got Normal: pass `model\(x\)`, before the likelihood"):
        from_gpytorch(Normal(0.0, 1.0), likelihood)
    with pytest.raises(TypeError, match="should be a GPyTorch likelihood, got str"):
        from_gpytorch(latent(), "gaussian")
    with pytest.raises(ValueError, match="`members` should be at least 1, got 0"):
        from_gpytorch(latent(), likelihood, members=0)
