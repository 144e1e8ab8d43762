"""A network's logits as a categorical distribution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uncertain.baselines import EvidentialClassification, Softmax
from uncertain.baselines.softmax import cross_entropies
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


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64])
def test_labels_may_have_any_integer_dtype(dtype: torch.dtype) -> None:
    logits, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), [0, 2, 1, 1]
    wanted = F.cross_entropy(logits, torch.tensor(labels), reduction="none")
    assert torch.equal(cross_entropies(logits, torch.tensor(labels, dtype=dtype)), wanted)


def test_labels_that_are_no_integers_are_refused() -> None:
    message = r"class indices of an integer dtype, got torch.float32: y.long()"
    x, y = torch.zeros(2, 3), torch.tensor([0.0, 1.0])
    batch = Batch(x, y, torch.ones(2), torch.arange(2), total=2.0)
    for model in (Softmax(nn.Linear(3, 2)), EvidentialClassification(nn.Linear(3, 2))):
        with pytest.raises(TypeError, match=message):
            model.objective(batch)


def test_no_label_is_passed_over() -> None:
    with pytest.raises(IndexError, match="-100 is out of bounds"):
        cross_entropies(torch.zeros(2, 3), torch.tensor([0, -100]))
