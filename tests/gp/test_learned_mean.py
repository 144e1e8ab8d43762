"""A prior of W with a trained mean: it is free, it starts as the plain process, and it is refused a race."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.gp import references
from uncertain.fit import Batch
from uncertain.gp import Deformation, ThinDeepGP, fit
from uncertain.gp.alignment import PlainProcess
from uncertain.gp.plain_start import SparseProcess, deviate_little, plain_start, plain_target


def data(count: int = 40) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(count, 2, generator=g, dtype=torch.float64) * 2 - 1
    y = (4 * x[:, 0].square()).sin() + 0.1 * torch.randn(count, generator=g, dtype=torch.float64)
    return x, 50 + 10 * y


def test_a_constant_matrix_is_the_sparse_process_and_costs_nothing() -> None:
    x, y = data(25)
    lengths = torch.tensor([0.4, 1.5]).double()
    matrix = (1 / lengths).diag()
    layer = Deformation(x[:4], latent_dim=2, prior_mean=matrix)
    with torch.no_grad():
        layer.log_variance.fill_(-80.0)
        layer.root.zero_()  # the prior
    assert float(layer.divergence().detach()) == 0
    torch.testing.assert_close(layer(x)[0], x @ matrix.T)
    points = x[:6] / lengths
    target = (float(y.mean()), float(y.std()))
    model = ThinDeepGP(layer, points, rows=25, target_scaling=target, noise=0.1)
    rows = Batch(x, y, torch.ones(25).double(), torch.arange(25), 25.0)
    expected = references.sparse_regression_bound(
        x / lengths, (y - target[0]) / target[1], points, amplitude=1.0, noise=0.1, jitter=1e-6
    )
    expected -= 25 * math.log(target[1])
    torch.testing.assert_close(-25 * model.objective(rows), expected, rtol=0, atol=1e-6)


def test_processes_start_as_certain_as_is_best() -> None:
    """At the start the divergence and the cost of the spread of h balance in every direction."""
    x = data()[0]
    layer = Deformation(x[:7], latent_dim=2, prior_mean=torch.eye(2) * 2)
    curvature = torch.tensor([3.0, 30.0]).double()
    deviate_little(layer, x, curvature)
    cost = layer.divergence() + 0.5 * (curvature * layer(x)[1]).sum()
    (slope,) = torch.autograd.grad(cost, layer.root)
    assert float(slope.tril().abs().max()) < 1e-6 * float(cost.detach())
    with pytest.raises(ValueError, match="`layer` should have a prior mean to deviate from"):
        deviate_little(Deformation(x[:7], latent_dim=2), x, curvature)


@pytest.mark.parametrize("layers", [1, 3])
def test_it_starts_as_the_plain_process(layers: int) -> None:
    x, y = data()
    model = ThinDeepGP.from_data(x, y, num_inducing=20, hidden_layers=layers, learned_mean=True)
    # The target depends on the first input alone.
    found = model.state_dict()["hidden.prior_mean"]
    assert float(found[0, 0]) > 3 * float(found[1, 1])
    assert float(found[0, 1]) == 0
    with torch.no_grad():
        mean = model(x).mean
    assert float((mean - y).std()) < 0.3 * float(y.std())
    with pytest.raises(ValueError, match="no learned mean races"):
        fit(model, (x, y), starts=2)


def test_narrow_latents_keep_the_leading_directions() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.tensor([0.1, 1.0, 10.0]).double()
    one = torch.ones(()).double()
    plain = PlainProcess(lengths, one, one / 10, torch.ones(50, 3).double())
    matrix = plain_target(SparseProcess(plain, x[:5]), x, 2).matrix
    whole, kept = x / lengths, x @ matrix.T
    lost = (torch.cdist(whole, whole).square() - torch.cdist(kept, kept).square()).abs()
    assert float(lost.mean()) < 0.001 * float(torch.cdist(whole, whole).square().mean())


def test_targets_that_are_no_numbers_and_fits_that_break_down_start_from_a_guess() -> None:
    x, y = data()
    classes = ThinDeepGP.from_data(
        x, (y > 50).long(), likelihood="bernoulli", num_inducing=8, learned_mean=True
    )
    expected = torch.eye(2).double() / 2**0.5
    torch.testing.assert_close(classes.state_dict()["hidden.prior_mean"], expected)
    twice = x[:1].repeat(4, 1)
    guess = plain_start(x, y, twice, jitter=0.0, seed=0).plain
    torch.testing.assert_close(guess.lengthscale, torch.full((2,), 2**0.5).double())
