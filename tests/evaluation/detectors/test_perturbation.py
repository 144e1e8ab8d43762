"""ODIN: its formula by autograd, batches, and no trace on the network."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily
from torch.utils.data import DataLoader

from uncertain import data
from uncertain.evaluation.detectors import msp, odin

X = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).train()


@torch.no_grad()
def by_hand(network, temperature, epsilon):
    """One row at a time, by central differences."""
    network = network.double().eval()
    scores = []
    for x in X.double():
        moved = x.clone()
        for i in range(4):
            ends = []
            for step in (1e-5, -1e-5):
                near = x.clone()
                near[i] += step
                p = (network(near) / temperature).softmax(0)
                ends.append(p[int(network(x).argmax())].log())
            moved[i] += epsilon * torch.sign(ends[0] - ends[1])
        scores.append(1 - float((network(moved) / temperature).softmax(0).max()))
    return scores


@pytest.mark.parametrize(("temperature", "epsilon"), [(1000.0, 0.0014), (1.0, 0.1)])
def test_it_is_the_papers_score(network, temperature, epsilon):
    found = odin(network, X, temperature=temperature, epsilon=epsilon)
    expected = by_hand(network, temperature, epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("rows", [X, X.numpy(), DataLoader(X, batch_size=3)])
def test_any_data_in_any_batches(network, rows):
    np.testing.assert_allclose(odin(network, rows, batch_size=4), odin(network, X), rtol=1e-6)


def test_a_split_and_a_distribution(network):
    split = data.Split(X, None, np.arange(11), np.arange(11))
    found = odin(lambda x: Categorical(logits=network(x)), split)
    np.testing.assert_allclose(found, odin(network, X), rtol=1e-6)


def test_without_perturbation_it_is_the_softmax(network):
    found = odin(network, X, temperature=1, epsilon=0)
    with torch.no_grad():
        expected = msp(network.eval()(X))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_trace_is_left(network):
    state = torch.random.get_rng_state()
    odin(network, X)
    assert network.training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda n: odin(n, X.long()), TypeError, "`data` should be floating inputs"),
        (lambda n: odin(n, ["a", "b"]), TypeError, "to take gradients of, got list"),
        (lambda n: odin(lambda x: "cat", X), TypeError, "`network` should return logits"),
        (
            lambda n: odin(
                lambda x: MixtureSameFamily(
                    Categorical(torch.ones(len(x), 1)), Categorical(logits=n(x)[:, None])
                ),
                X,
            ),
            TypeError,
            "ODIN is defined for one softmax",
        ),
        (lambda n: odin(lambda x: n(x)[:, 0], X), ValueError, r"should have shape \(11, C\)"),
        (lambda n: odin(n, X, temperature=0), ValueError, "`temperature` should lie in"),
        (lambda n: odin(n, X, epsilon=-1), ValueError, "`epsilon` should lie in"),
    ],
)
def test_mistakes_are_named(network, call, kind, message):
    with pytest.raises(kind, match=message):
        call(network)
