"""Members become one prediction."""

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal, Poisson

from tests.predictive import cases
from uncertain.predictive import (
    Empirical,
    class_probs,
    log_prob,
    mixture,
    parts,
    select,
)


@pytest.mark.parametrize("name", cases.SINGLE)
def test_a_sequence_is_a_stack(name):
    stacked = cases.single(name, cases.N, cases.S)
    members = [
        parts(stacked).build({k: t[:, s] for k, t in parts(stacked).tensors.items()})
        for s in range(cases.S)
    ]
    one, other = parts(mixture(stacked)), parts(mixture(members))
    assert one.kind == other.kind
    for key, tensor in one.tensors.items():
        assert torch.equal(tensor, other.tensors[key])


def test_density_is_the_weighted_sum():
    weights = torch.tensor([0.2, 0.8])
    loc, y = torch.tensor([[0.0, 3.0], [1.0, -1.0]]), torch.tensor([0.5, 0.5])
    dist = mixture(Normal(loc, 1.0), weights)
    expected = (Normal(loc, 1.0).log_prob(y[:, None]).exp() * weights).sum(-1).log()
    torch.testing.assert_close(log_prob(dist, y), expected)
    torch.testing.assert_close(dist.log_prob(y), expected)


def test_weights_by_row():
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    dist = mixture(Categorical(probs=torch.eye(2).expand(2, 2, 2)), weights)
    torch.testing.assert_close(class_probs(dist), weights)
    torch.testing.assert_close(class_probs(select(dist, [1])), weights[1:])


def test_mixtures_of_mixtures_are_flat():
    small = mixture([Poisson(torch.tensor([1.0])), Poisson(torch.tensor([2.0]))], [0.5, 0.5])
    other = mixture([Poisson(torch.tensor([3.0])), Poisson(torch.tensor([4.0]))], [0.1, 0.9])
    both = mixture([small, other], [0.4, 0.6])
    assert not isinstance(both.component_distribution, MixtureSameFamily)
    assert both.component_distribution.rate.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    weights = both.mixture_distribution.probs
    torch.testing.assert_close(weights, torch.tensor([[0.2, 0.2, 0.06, 0.54]]))


def test_networks_and_trees_mix():
    net = Categorical(logits=torch.zeros(1, 2))
    tree = Categorical(probs=torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(class_probs(mixture([net, tree])), torch.tensor([[0.75, 0.25]]))


def test_samples_have_the_shape_of_the_batch():
    assert mixture(Normal(torch.zeros(4, 3), 1.0)).sample((5,)).shape == (5, 4)


def test_gradients_reach_members_and_weights():
    loc = torch.zeros(1, 2, requires_grad=True)
    weights = torch.tensor([0.5, 0.5], requires_grad=True)
    log_prob(mixture(Normal(loc, 1.0), weights), torch.ones(1)).backward()
    assert (loc.grad != 0).all()
    assert torch.isfinite(weights.grad).all()


def test_refusals():
    normal = Normal(torch.zeros(2, 3), 1.0)
    with pytest.raises(ValueError, match="`components` should have at least one row"):
        mixture([])
    with pytest.raises(ValueError, match="should end in a batch dimension of members"):
        mixture(Normal(0.0, 1.0))
    with pytest.raises(ValueError, match="should have at least one member"):
        mixture(Normal(torch.zeros(2, 0), 1.0))
    with pytest.raises(ValueError, match=r"share one batch shape, got \(2, 3\) for component 0"):
        mixture([normal, Normal(torch.zeros(3), 1.0)])
    with pytest.raises(TypeError, match="got Normal at 0 and Poisson at 1"):
        mixture([normal, Poisson(torch.ones(2, 3))])
    with pytest.raises(ValueError, match=r"`weights` should have shape \(3,\), got \(2,\)"):
        mixture(normal, [0.5, 0.5])
    with pytest.raises(ValueError, match=r"`weights` should have shape \(2, 3\)"):
        mixture(normal, torch.full((3, 3), 1 / 3))
    with pytest.raises(ValueError, match=r"`weights` should lie in \[0"):
        mixture(normal, [-0.5, 0.5, 1.0])
    with pytest.raises(ValueError, match=r"sums off by up to 0\.1: divide them by their sum"):
        mixture(normal, [0.5, 0.5, 0.1])


def test_empirical_members_pool():
    dist = mixture(Empirical(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])))
    assert dist.mean.item() == 1.5
