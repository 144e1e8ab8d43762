"""A network's logits as a categorical distribution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uncertain.baselines import Softmax
from uncertain.fit import Batch
from uncertain.predictive import log_prob


class Fixed(nn.Module):
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> object:
        return self.value


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    network = nn.Linear(3, 4)
    x = torch.randn(5, 3)
    torch.testing.assert_close(Softmax(network)(x).probs, network(x).softmax(-1))


def test_the_objective_is_the_weighted_cross_entropy_and_agrees_with_log_prob() -> None:
    predictor = Softmax(nn.Linear(3, 4).double())
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 4
    weight = torch.tensor([0.0, 2, 1, 1, 1.5, 0.5], dtype=torch.float64)
    batch = Batch(x, y, weight, torch.arange(6), 6.0)
    rows = F.cross_entropy(predictor.network(x), y, reduction="none")
    torch.testing.assert_close(predictor.objective(batch), (weight * rows).sum() / 6)
    torch.testing.assert_close(rows, -log_prob(predictor(x), y))


def test_a_hopeless_class_scores_what_it_is() -> None:
    predictor = Softmax(Fixed(torch.tensor([[0.0, -200.0]])))
    assert float(log_prob(predictor(torch.zeros(1, 1)), torch.tensor([1]))) == -200


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        (
            torch.zeros(2, 3, dtype=torch.int64),
            TypeError,
            r"floating logits \(N, C\), got torch.int64",
        ),
        ((torch.zeros(2, 3),), TypeError, r"floating logits \(N, C\), got tuple"),
        (
            torch.zeros(2, 3, 4),
            ValueError,
            r"`network\(x\)` should have shape \(N, C\), got \(2, 3, 4\)",
        ),
    ],
)
def test_what_is_no_table_of_logits_is_refused(output: object, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        Softmax(Fixed(output))(torch.zeros(2, 1))
