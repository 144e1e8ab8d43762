"""Parameters and passes."""

from __future__ import annotations

from torch import nn

from uncertain.baselines import Cost, DeepEnsemble, MonteCarloDropout, Softmax, cost, mlp


def test_passes_multiply_and_shared_parameters_count_once() -> None:
    network = mlp(3, 2, hidden=(4,), seed=0)
    size = 3 * 4 + 4 + 4 * 2 + 2
    assert cost(Softmax(network)) == Cost(size, 1)
    assert cost(MonteCarloDropout(network, members=7)) == Cost(size, 7)
    pair = DeepEnsemble([MonteCarloDropout(network, members=7), Softmax(network)])
    assert cost(pair) == Cost(size, 8)


def test_a_plain_callable_has_no_parameters() -> None:
    assert cost(lambda x: x) == Cost(0, 1)
    assert cost(nn.Linear(2, 1)) == Cost(3, 1)
