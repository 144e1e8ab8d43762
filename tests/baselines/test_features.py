"""A network in two parts is the network; what a head is fitted to is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from tests.baselines.heads import clusters
from uncertain import baselines, predictive
from uncertain.baselines import GaussianRegression, OnFeatures, Softmax, split_network
from uncertain.baselines.features import class_means, feature_rows, row_weights, squared_distances
from uncertain.fit import Batch

X = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "network",
    [
        baselines.mlp(64, 3, hidden=(8,), seed=0),
        baselines.convolutional((1, 8, 8), 3, width=4, hidden=8, seed=0),
        baselines.resnet((1, 8, 8), 3, width=4, blocks=(1, 1), seed=0),
        Softmax(baselines.mlp(64, 3, seed=0)),
        GaussianRegression(baselines.mlp(64, 2, seed=0)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_the_parts_are_the_network_and_can_be_saved(network: nn.Module, tmp_path: Path) -> None:
    network.eval()
    body, last = split_network(network)
    whole = getattr(network, "network", network)
    assert body(X).ndim == 2
    assert torch.equal(last(body(X)), whole(X))
    assert {id(p) for p in whole.parameters()} == {
        id(p) for part in (body, last) for p in part.parameters()
    }
    predictive.save(body, tmp_path / "body.pt")
    assert torch.equal(predictive.load(tmp_path / "body.pt")(X), body(X))


@pytest.mark.parametrize(
    "network", [nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Sequential()]
)
def test_what_has_no_last_layer_is_refused(network: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"`network` should be an nn.Sequential that ends in"):
        split_network(network)


class Shifted(nn.Module):
    """A head without objective and score."""

    def forward(self, features: Tensor) -> Normal:
        return Normal(features[:, 0], torch.ones(len(features)))


def test_a_head_without_an_objective_is_scored_by_its_likelihood() -> None:
    predictor = OnFeatures(nn.Linear(2, 2), Shifted())
    batch = Batch(torch.ones(4, 2), torch.zeros(4), torch.ones(4), torch.arange(4), 4.0)
    expected = -predictor(batch.x).log_prob(batch.y).mean()
    torch.testing.assert_close(predictor.objective(batch), expected)
    with pytest.raises(AttributeError, match="score"):
        predictor.score(batch.x)


def test_the_score_is_that_of_the_head() -> None:
    h, y = clusters()
    head = baselines.MahalanobisHead.from_data(h, y)
    assert torch.equal(OnFeatures(nn.Identity(), head).score(h), head.score(h))


def test_squared_distances_keep_their_digits_far_from_zero() -> None:
    h, _ = clusters()
    points = h[:5].flip(0)
    direct = (h[:, None] - points).square().sum(-1)
    torch.testing.assert_close(squared_distances(h, points), direct, rtol=1e-10, atol=1e-10)
    far = squared_distances((h + 1000).float(), (points + 1000).float())
    torch.testing.assert_close(far.double(), direct, rtol=1e-2, atol=1e-2)


def test_a_weight_of_k_moves_the_means_as_k_copies() -> None:
    h, y = clusters(9)
    copies = torch.tensor([1, 2, 3, 1, 1, 4, 2, 1, 1])
    weighted = class_means(feature_rows(h, y, classes=None, weights=copies))
    repeated = feature_rows(
        h.repeat_interleave(copies, 0), y.repeat_interleave(copies), classes=None
    )
    torch.testing.assert_close(weighted, class_means(repeated))


@pytest.mark.usefixtures("unchecked")
def test_rows_that_fit_no_head_are_refused() -> None:
    h, y = clusters(9)
    with pytest.raises(ValueError, match="`features` should have shape"):
        feature_rows(h[0], y, classes=3)
    with pytest.raises(ValueError, match="`features` should have at least one row"):
        feature_rows(h[:0], y[:0], classes=3)
    with pytest.raises(TypeError, match=r"`features` should be floating point, got torch.int64"):
        feature_rows(y[:, None], y, classes=3)
    with pytest.raises(ValueError, match="`features` should be finite"):
        feature_rows(h / 0, y, classes=3)
    with pytest.raises(ValueError, match=r"`y` should have shape \(9,\)"):
        feature_rows(h, y[1:], classes=3)
    with pytest.raises(ValueError, match="`y` should be class indices from 0 to 1"):
        feature_rows(h, y, classes=2)
    with pytest.raises(ValueError, match="got none of class 3"):
        feature_rows(h, y, classes=4)
    with pytest.raises(ValueError, match=r"`weights` should have shape \(9,\)"):
        row_weights(torch.ones(8), h)
    with pytest.raises(ValueError, match="`weights` should lie in"):
        row_weights(-torch.ones(9), h)
    with pytest.raises(ValueError, match="`weights` should have an entry above 0"):
        row_weights(torch.zeros(9), h)
