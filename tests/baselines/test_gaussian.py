"""A normal distribution in the target's own units."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

from uncertain.baselines import GaussianRegression
from uncertain.fit import Batch, fit
from uncertain.predictive import log_prob


def test_mean_and_scale_are_the_outputs_in_the_units_of_y() -> None:
    network = nn.Linear(3, 2).double()
    loc, scale = torch.tensor(10.0, dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64)
    predictor = GaussianRegression(network, loc=loc, scale=scale, minimum_scale=0.01)
    x = torch.randn(5, 3, dtype=torch.float64)
    out = network(x)
    dist = predictor(x)
    torch.testing.assert_close(dist.mean, 10 + 4 * out[:, 0])
    torch.testing.assert_close(dist.stddev, 4 * (F.softplus(out[:, 1]) + 0.01))


@pytest.mark.parametrize("targets", [0, 2])
def test_other_units_give_the_same_model(targets: int) -> None:
    """Standardisation makes the fit equivariant: y -> a y + b moves the prediction likewise."""
    torch.manual_seed(0)
    shape = (30, targets) if targets else (30,)
    y = torch.randn(shape, dtype=torch.float64)
    x = torch.randn(30, 3, dtype=torch.float64)
    network = nn.Linear(3, 2 * max(targets, 1)).double()
    one = GaussianRegression.from_data(network, y)
    other = GaussianRegression.from_data(network, 1000 * y - 70)
    torch.testing.assert_close(other(x).mean, 1000 * one(x).mean - 70)
    torch.testing.assert_close(other(x).stddev, 1000 * one(x).stddev)
    gap = log_prob(one(x), y) - log_prob(other(x), 1000 * y - 70)
    expected = torch.full_like(gap, max(targets, 1) * torch.log(torch.tensor(1000.0)).item())
    torch.testing.assert_close(gap, expected)


def test_it_finds_noise_that_depends_on_the_input() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1500, 1, generator=generator)
    noise = 0.5 + 4 * x[:, 0]
    y = 100 + 30 * x[:, 0] + noise * torch.randn(1500, generator=generator)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 2))
    predictor = GaussianRegression.from_data(network, y)
    fit(
        predictor,
        (x, y),
        steps=400,
        batch_size=256,
        seed=0,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    )
    grid = torch.tensor([[0.1], [0.5], [0.9]])
    dist = predictor(grid)
    torch.testing.assert_close(dist.mean, 100 + 30 * grid[:, 0], rtol=0.02, atol=0)
    torch.testing.assert_close(dist.stddev, 0.5 + 4 * grid[:, 0], rtol=0.25, atol=0)


def test_the_objective_is_the_weighted_likelihood() -> None:
    predictor = GaussianRegression(nn.Linear(3, 2))
    batch = Batch(
        torch.randn(4, 3), torch.randn(4), torch.tensor([0.0, 2.0, 1.0, 1.0]), torch.arange(4), 4.0
    )
    dist = predictor(batch.x)
    assert isinstance(dist, Normal)
    expected = -(batch.weight * dist.log_prob(batch.y)).sum() / 4
    torch.testing.assert_close(predictor.objective(batch), expected)


def test_standardisation_of_targets_far_from_zero_keeps_its_digits() -> None:
    y = 1e6 + torch.tensor([0.0, 1.0, 2.0, 3.0])
    predictor = GaussianRegression.from_data(nn.Linear(1, 2), y)
    torch.testing.assert_close(predictor.loc, torch.tensor(1e6 + 1.5))
    torch.testing.assert_close(predictor.scale, torch.tensor(1.25).sqrt())


def test_whole_numbers_are_taken_for_constants() -> None:
    assert GaussianRegression(nn.Linear(1, 2), loc=3, scale=2).loc.dtype == torch.float32


def test_targets_and_constants_are_checked() -> None:
    net = nn.Linear(1, 2)
    with pytest.raises(ValueError, match="`y` should have at least one row"):
        GaussianRegression.from_data(net, torch.zeros(0))
    with pytest.raises(ValueError, match="`y` should be finite, got 1 NaN"):
        GaussianRegression.from_data(net, torch.tensor([1.0, float("nan")]))
    with pytest.raises(ValueError, match="`y` should vary"):
        GaussianRegression.from_data(net, torch.full((5,), 3.3))
    with pytest.raises(ValueError, match=r"`loc` should have shape \(\) or \(T,\), got \(2, 2\)"):
        GaussianRegression(net, loc=torch.zeros(2, 2), scale=torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"`scale` should have shape \(\), got \(2,\): as `loc`"):
        GaussianRegression(net, scale=torch.ones(2))
    with pytest.raises(ValueError, match=r"`scale` should lie in \(0, inf\]"):
        GaussianRegression(net, scale=0.0)
    with pytest.raises(ValueError, match="`loc` should be finite"):
        GaussianRegression(net, loc=float("nan"))
    with pytest.raises(ValueError, match=r"`minimum_scale` should lie in \[0, inf\]"):
        GaussianRegression(net, minimum_scale=-1.0)


def test_networks_of_the_wrong_width_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`network\(x\)` should have shape \(N, 2\), got \(4, 3\)"
    ):
        GaussianRegression(nn.Linear(1, 3))(torch.zeros(4, 1))

    class Whole(nn.Module):
        def forward(self, x: object) -> object:
            return torch.zeros(4, 2, dtype=torch.int64)

    with pytest.raises(TypeError, match=r"floating tensor \(N, 2 T\), got torch.int64"):
        GaussianRegression(Whole())(torch.zeros(4, 1))
