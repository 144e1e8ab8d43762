"""Moments of a path of weights, and draws that have them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncertain.baselines import SWAG, Softmax, swag
from uncertain.predictive import class_probs


def walked(steps: int, rank: int) -> tuple[SWAG, torch.Tensor]:
    """A model that has collected a known path, and the path."""
    model = SWAG(Softmax(nn.Linear(2, 2)).double(), rank=rank, members=3)
    path = torch.randn(steps, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for point in path:
        nn.utils.vector_to_parameters(point, model.predictor.parameters())
        model.collect()
    return model, path


def test_moments_and_deviations_are_those_of_the_path() -> None:
    model, path = walked(7, rank=4)
    torch.testing.assert_close(model.mean, path.mean(0))
    torch.testing.assert_close(model.squares / 7, path.var(0, unbiased=False))
    running = torch.stack([path[: i + 1].mean(0) for i in range(7)])
    last = (path - running)[-4:]
    # A ring: which row holds which deviation does not matter.
    torch.testing.assert_close(model.deviations[[3, 0, 1, 2]], last)


def test_draws_have_the_mean_and_covariance_of_the_paper() -> None:
    model, path = walked(6, rank=5)
    model.members = 5_000
    draws = torch.stack([model.draw(s) for s in range(model.members)])
    running = torch.stack([path[: i + 1].mean(0) for i in range(6)])
    d = (path - running)[-5:]
    expected = 0.5 * path.var(0, unbiased=False).diag() + d.T @ d / (2 * (5 - 1))
    torch.testing.assert_close(draws.mean(0), path.mean(0), rtol=0, atol=0.06)
    torch.testing.assert_close(draws.T.cov(), expected, rtol=0, atol=0.1)


def test_a_path_that_stands_still_is_the_network_itself() -> None:
    model = SWAG(Softmax(nn.Linear(2, 2)), rank=2, members=3)
    for _ in range(3):
        model.collect()
    x = torch.randn(4, 2)
    torch.testing.assert_close(class_probs(model(x)), model.predictor(x).probs)


def test_training_leaves_the_given_predictor_alone_and_collects_evenly() -> None:
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    start = Softmax(nn.Linear(2, 2))
    before = [p.clone() for p in start.parameters()]
    model = swag(start, (x, y), steps=11, batch_size=8, learning_rate=0.1, iterates=4)
    assert int(model.collected) == model.rank == 4
    assert all(torch.equal(a, b) for a, b in zip(before, start.parameters(), strict=True))
    assert not torch.equal(model.mean[:4].reshape(2, 2), before[0])


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    start, data = Softmax(nn.Linear(2, 2)), (torch.ones(4, 2), torch.arange(4) % 2)
    with pytest.raises(RuntimeError, match="has collected 0 iterates: call `collect`"):
        SWAG(start)(torch.ones(1, 2))
    with pytest.raises(ValueError, match="`rank` should lie in"):
        SWAG(start, rank=1)
    with pytest.raises(ValueError, match="`members` should lie in"):
        SWAG(start, members=0)
    with pytest.raises(TypeError, match="no batch normalisation, got some"):
        SWAG(Softmax(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    with pytest.raises(ValueError, match=r"`steps` should lie in .* one iterate a step at most"):
        swag(start, data, steps=3, batch_size=2, learning_rate=0.1, iterates=4)
    with pytest.raises(ValueError, match="`iterates` should lie in"):
        swag(start, data, steps=3, batch_size=2, learning_rate=0.1, iterates=1)
    with pytest.raises(ValueError, match="`learning_rate` should lie in"):
        swag(start, data, steps=3, batch_size=2, learning_rate=0.0, iterates=2)
