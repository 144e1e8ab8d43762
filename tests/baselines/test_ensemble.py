"""Members that were trained apart, as one mixture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from uncertain.baselines import DeepEnsemble, GaussianRegression, MonteCarloDropout, Softmax, mlp
from uncertain.fit import Batch
from uncertain.predictive import class_probs, decompose


def test_probabilities_are_the_mean_of_the_members() -> None:
    members = [Softmax(nn.Linear(3, 4)) for _ in range(3)]
    x = torch.randn(5, 3)
    expected = torch.stack([m(x).probs for m in members]).mean(0)
    torch.testing.assert_close(class_probs(DeepEnsemble(members)(x)), expected)


def test_the_objective_is_the_sum_of_the_members_and_moves_each_as_if_alone() -> None:
    members = [Softmax(nn.Linear(3, 4)) for _ in range(3)]
    ensemble = DeepEnsemble(members)
    batch = Batch(torch.randn(6, 3), torch.arange(6) % 4, torch.ones(6), torch.arange(6), 6.0)
    together = torch.autograd.grad(ensemble.objective(batch), list(ensemble.parameters()))
    alone = [
        g for m in members for g in torch.autograd.grad(m.objective(batch), list(m.parameters()))
    ]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)
    total = sum(m.objective(batch) for m in members)
    torch.testing.assert_close(ensemble.objective(batch), total)


def test_a_member_without_an_objective_is_scored_by_its_likelihood() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loc = nn.Parameter(torch.tensor(0.5))

        def forward(self, x: Tensor) -> Normal:
            return Normal(self.loc.expand(len(x)), torch.ones(len(x)))

    batch = Batch(torch.zeros(4, 1), torch.zeros(4), torch.ones(4), torch.arange(4), 4.0)
    expected = -Normal(0.5, 1.0).log_prob(torch.tensor(0.0))
    torch.testing.assert_close(DeepEnsemble([Plain()]).objective(batch), expected)


def test_an_ensemble_of_mixtures_is_one_mixture() -> None:
    members = [MonteCarloDropout(mlp(3, 2, seed=s), members=2, seed=s) for s in range(3)]
    ensemble = DeepEnsemble(members)
    x = torch.randn(4, 3)
    assert ensemble(x).component_distribution.batch_shape == (4, 6)
    expected = torch.stack([class_probs(m(x)) for m in members]).mean(0)
    torch.testing.assert_close(class_probs(ensemble(x)), expected)


def test_the_spread_of_gaussian_members_is_epistemic() -> None:
    y = torch.tensor([1.0, 3.0, 8.0])
    members = [GaussianRegression.from_data(mlp(2, 2, seed=s), y).eval() for s in range(4)]
    x = torch.randn(5, 2)
    loc = torch.stack([m(x).loc for m in members])
    variance = torch.stack([m(x).variance for m in members])
    total, aleatoric, epistemic = decompose(DeepEnsemble(members)(x))
    torch.testing.assert_close(epistemic, loc.var(0, unbiased=False))
    torch.testing.assert_close(aleatoric, variance.mean(0))
    torch.testing.assert_close(total, aleatoric + epistemic)


def test_no_members_and_one_member_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="`members` should have at least one row, got none"):
        DeepEnsemble([])
    member = Softmax(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="different modules, got one twice"):
        DeepEnsemble([member, member])
