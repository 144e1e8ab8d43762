"""The sparse variational process, held against GPyTorch's at the same parameters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.baselines.heads import clusters
from uncertain.baselines import GaussianProcessHead
from uncertain.baselines.gaussian_process_head import JITTER
from uncertain.fit import Batch, fit
from uncertain.predictive import class_probs, import_quietly

gpytorch: Any = import_quietly("gpytorch")


class Process(gpytorch.models.ApproximateGP):
    """One latent function with the parameters of ours."""

    def __init__(self, head: GaussianProcessHead, c: int) -> None:
        points = head.inducing_points.detach()
        q = gpytorch.variational.CholeskyVariationalDistribution(len(points))
        strategy = gpytorch.variational.VariationalStrategy(
            self,
            points,
            q,
            learn_inducing_locations=False,
            jitter_val=JITTER * self.square(head, c),
        )
        super().__init__(strategy)
        self.mean_module = gpytorch.means.ZeroMean()
        self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())
        self.double()
        self.covar_module.outputscale = self.square(head, c)
        self.covar_module.base_kernel.lengthscale = float(head.log_lengthscale[c].detach().exp())
        strategy.variational_params_initialized.fill_(1)
        q.variational_mean.data = head.mean[c].detach().clone()
        q.chol_variational_covar.data = head.root[c].detach().tril().clone()
        self.eval()

    @staticmethod
    def square(head: GaussianProcessHead, c: int) -> float:
        return float((2 * head.log_amplitude[c].detach()).exp())

    def forward(self, x: torch.Tensor) -> Any:
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def moved(head: GaussianProcessHead) -> GaussianProcessHead:
    g = torch.Generator().manual_seed(7)
    for p in head.parameters():
        p.data += 0.2 * torch.randn(p.shape, generator=g, dtype=p.dtype)
    return head


def test_latent_functions_and_divergence_agree_with_gpytorch() -> None:
    h, y = clusters(20)
    head = moved(GaussianProcessHead.from_data(h, y, inducing=8))
    mean, variance = head._latent(h)
    divergence = 0.0
    for c in range(3):
        process = Process(head, c)
        f = process(h)
        torch.testing.assert_close(mean[:, c], f.mean, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(variance[:, c], f.variance, rtol=1e-4, atol=1e-4)
        divergence += float(process.variational_strategy.kl_divergence().detach())
    assert float(head._divergence(torch.float64).detach()) == pytest.approx(divergence, rel=1e-8)


def test_the_bound_of_a_real_target_agrees_with_gpytorch() -> None:
    h, y = clusters(20)
    target = 5 + 3 * (h[:, 0] + 0.1 * y)
    head = moved(GaussianProcessHead.from_data(h, target, inducing=8))
    process = Process(head, 0)
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    likelihood.noise = float((2 * head.log_noise.detach()).exp())
    standard = (target - head.loc) / head.spread
    bound = gpytorch.mlls.VariationalELBO(likelihood, process, num_data=20)
    expected = -bound(process(h), standard) + math.log(head.scale)
    batch = Batch(h, target, torch.ones(20).double(), torch.arange(20), 20.0)
    torch.testing.assert_close(head.objective(batch), expected.detach(), rtol=1e-4, atol=1e-4)
    dist = head(h)
    noise = (likelihood.noise * head.spread**2).detach()
    torch.testing.assert_close(dist.noise_variance.detach(), noise.expand(20))


def test_the_bound_of_classes_is_the_expected_log_likelihood() -> None:
    h, y = clusters(12)
    head = moved(GaussianProcessHead.from_data(h, y, inducing=6, members=4096))
    mean, variance = (t.detach() for t in head._latent(h))
    g = torch.Generator().manual_seed(0)
    f = mean + variance.sqrt() * torch.randn(100_000, 12, 3, generator=g, dtype=torch.float64)
    expected = -f.log_softmax(-1)[:, torch.arange(12), y].mean()
    batch = Batch(h, y, torch.ones(12).double(), torch.arange(12), 12.0)
    found = head.objective(batch) - head._divergence(torch.float64) / 12
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=5e-3)
    p = f.softmax(-1).mean(0)
    torch.testing.assert_close(class_probs(head(h)).detach(), p, rtol=0, atol=5e-3)


def test_it_learns_and_forgets_far_away() -> None:
    h, y = clusters(60)
    head = GaussianProcessHead.from_data(h, y, inducing=16)
    adam = lambda parameters: torch.optim.Adam(parameters, lr=0.03)  # noqa: E731
    fit(head, (h, y), steps=120, batch_size=60, seed=0, optimizer=adam)
    assert (class_probs(head(h)).argmax(-1) == y).double().mean() > 0.9
    far = class_probs(head(h + 1e4))
    torch.testing.assert_close(far, torch.full_like(far, 1 / 3), rtol=0, atol=0.1)


def test_points_that_coincide_have_a_lengthscale_of_one() -> None:
    assert GaussianProcessHead(torch.zeros(3, 2)).lengthscale == 1
    assert GaussianProcessHead(torch.zeros(1, 2)).lengthscale == 1


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    h, y = clusters(9)
    with pytest.raises(ValueError, match="`inducing_points` should have shape"):
        GaussianProcessHead(h[0])
    with pytest.raises(ValueError, match="`inducing_points` should have at least one row"):
        GaussianProcessHead(h[:0])
    with pytest.raises(ValueError, match="`classes` should lie in"):
        GaussianProcessHead(h, classes=-1)
    with pytest.raises(ValueError, match="`lengthscale` should lie in"):
        GaussianProcessHead(h, lengthscale=0.0)
    with pytest.raises(ValueError, match=r"`loc` should have shape \(\), .* one target"):
        GaussianProcessHead(h, loc=torch.ones(2), scale=torch.ones(2))
    with pytest.raises(ValueError, match="`inducing` should lie in"):
        GaussianProcessHead.from_data(h, y, inducing=0)
    with pytest.raises(ValueError, match=r"`y` should have shape \(9,\)"):
        GaussianProcessHead.from_data(h, y[1:])
    with pytest.raises(ValueError, match="`y` should be class indices from 0 to 1"):
        GaussianProcessHead.from_data(h, y, classes=2)
    with pytest.raises(ValueError, match="should vary"):
        GaussianProcessHead.from_data(h, torch.ones(9))
    with pytest.raises(TypeError, match="`features` should be a floating tensor"):
        GaussianProcessHead(h)(y[:, None])
