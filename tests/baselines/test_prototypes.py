"""Squared distances to learned means: its start, its posterior and its score."""

from __future__ import annotations

import pytest
import torch

from tests.baselines.heads import clusters
from uncertain.baselines import PrototypeHead


def test_it_is_the_softmax_of_negative_squared_distances() -> None:
    h, _ = clusters()
    means = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    head = PrototypeHead(means, temperature=2.5)
    expected = (-(h[:, None] - means).square().sum(-1) / 2.5).softmax(-1)
    torch.testing.assert_close(head(h).probs, expected)


def test_separable_classes_start_as_the_posterior_of_equal_gaussians() -> None:
    h, y = clusters(60)
    means = torch.stack([h[y == c].mean(0) for c in range(3)])
    h = means[y] + 0.2 * (h - means[y])  # the likelihood alone would go on to temperature 0
    head = PrototypeHead.from_data(h, y)
    torch.testing.assert_close(head.means.detach(), means)
    variance = (h - means[y]).square().mean()
    density = torch.distributions.Normal(means, variance.sqrt())
    joint = density.log_prob(h[:, None]).sum(-1)
    torch.testing.assert_close(head(h).probs, joint.softmax(-1))


def test_correlated_features_start_at_the_temperature_of_the_highest_likelihood() -> None:
    h, y = clusters(60)
    y = torch.where(torch.arange(len(y)) % 10 == 0, (y + 1) % 3, y)
    h = h.repeat(1, 8)  # eight copies of a feature are no more news than one
    head = PrototypeHead.from_data(h, y)
    variance = (h - head.means.detach()[y]).square().mean()
    assert head.temperature > 2 * variance

    @torch.no_grad()
    def loss(temperature: float) -> float:
        other = PrototypeHead(head.means.detach(), temperature=temperature)
        return float(torch.nn.functional.cross_entropy(other(h).logits, y))

    best = loss(head.temperature)
    assert best <= min(loss(head.temperature * f) for f in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


def test_rows_that_coincide_with_their_means_start_at_temperature_one() -> None:
    h = torch.eye(2).repeat(2, 1)
    assert PrototypeHead.from_data(h, torch.tensor([0, 1, 0, 1])).temperature == 1


def test_the_score_grows_with_distance_where_the_probability_does_not_fall() -> None:
    head = PrototypeHead(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    h = torch.tensor([[-1.0, 0.0], [-50.0, 0.0]])
    assert torch.equal(head.score(h), torch.tensor([1.0, 2500.0]))
    assert head(h).probs[1, 0] > head(h).probs[0, 0]


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="`means` should have shape"):
        PrototypeHead(torch.ones(3))
    with pytest.raises(ValueError, match="`means` should be finite"):
        PrototypeHead(torch.full((2, 2), torch.nan))
    with pytest.raises(ValueError, match="`temperature` should lie in"):
        PrototypeHead(torch.ones(2, 2), temperature=0.0)
    head = PrototypeHead(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"`features` should have shape \(N, 2\)"):
        head(torch.ones(3, 4))
    with pytest.raises(TypeError, match=r"`features` should be a floating tensor .* PrototypeHead"):
        head(torch.ones(3, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match="got list"):
        head([[1.0, 2.0]])
