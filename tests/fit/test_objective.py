"""Objectives add up by name."""

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from tests.fit.models import Classes, classification, line, regression
from uncertain.fit import Batch, nll, term
from uncertain.fit.objective import Forward, base_support, check_prediction, default_objective


def batch_of(x, y, weight=None):
    ones = torch.ones(len(x), dtype=x.dtype)
    return Batch(x, y, ones if weight is None else weight, torch.arange(len(x)), float(len(x)))


BATCH = batch_of(torch.zeros(1, 1), None)


def constant(value):
    return lambda batch: torch.tensor(value)


def test_nll_is_the_weighted_mean():
    x, y = regression(5)
    weight = torch.linspace(0, 2, 5, dtype=torch.float64)
    model = line()
    expected = (weight * -model(x).log_prob(y)).sum() / 5
    torch.testing.assert_close(nll(model)(batch_of(x, y, weight))["nll"], expected)


def test_nll_never_clamps():
    sure = lambda x: Categorical(probs=torch.tensor([[1.0, 1e-30]]).expand(len(x), 2))  # noqa: E731
    value = nll(sure)(batch_of(torch.zeros(1, 1), torch.tensor([1])))["nll"]
    torch.testing.assert_close(value, torch.tensor(69.0776), rtol=1e-5, atol=0)


def test_sums_and_scales():
    total = 2 * (term("a", constant(1.0)) + 0.5 * term("b", constant(4.0))) + constant(7.0)
    assert {k: v.item() for k, v in total(BATCH).items()} == {"a": 2.0, "b": 4.0, "<lambda>": 7.0}
    assert repr(2 * term("a", constant(1.0)) * 3 + term("b", constant(1.0))) == "6 * a + b"


def test_plain_functions_stand_on_either_side():
    def penalty(batch):
        return torch.tensor(3.0)

    left, right = penalty + term("a", constant(1.0)), term("a", constant(1.0)) + penalty
    assert list(left(BATCH)) == ["penalty", "a"]
    assert list(right(BATCH)) == ["a", "penalty"]


def test_equal_names_are_numbered():
    total = sum(term("nll", constant(float(i))) for i in range(3))
    assert list(total(BATCH)) == ["nll", "nll 2", "nll 3"]


def test_mappings_keep_their_names():
    bound = term("bound", lambda batch: {"fit": torch.tensor(1.0), "kl": torch.tensor(2.0)})
    assert list((bound + term("kl", constant(1.0)))(BATCH)) == ["fit", "kl", "kl 2"]


@pytest.mark.usefixtures("unchecked")
def test_terms_are_functions():
    with pytest.raises(
        TypeError, match="`objective` should be a sum of functions of a batch, got f"
    ):
        term("a", 3.0)
    with pytest.raises(TypeError, match="got float"):
        nll(line()) + 3.0


def test_the_default_is_the_models_own():
    class Own(nn.Linear):
        def objective(self, batch):
            return torch.zeros(())

    model = Own(1, 1)
    assert default_objective(model) == model.objective
    assert repr(default_objective(line())) == "nll"


def test_forward_finds_the_parameters_of_summands():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, batch):
            return self.scale

    model, scale = line(), Scale()
    forward = Forward(model, nll(model) + 0.5 * term("scale", scale))
    assert {id(p) for p in forward.parameters()} == {
        id(p) for p in [*model.parameters(), *scale.parameters()]
    }
    assert list(forward.extra_state()) == ["summands.0.scale"]


def test_supports_are_found_under_mixtures_and_events():
    mixture = MixtureSameFamily(
        Categorical(torch.ones(4, 2)), Categorical(logits=torch.zeros(4, 2, 3))
    )
    assert base_support(mixture).upper_bound == 2
    check_prediction(mixture, torch.tensor([0, 1, 2, 0]))
    normal = MixtureSameFamily(Categorical(torch.ones(4, 2)), Normal(torch.zeros(4, 2), 1.0))
    with pytest.raises(TypeError, match="`y` should be floating point for a MixtureSameFamily"):
        check_prediction(normal, torch.tensor([0, 1, 2, 0]))


def test_whole_floats_are_classes():
    x, y = classification(5)
    one = nll(Classes(dropout=0.0).eval())
    torch.testing.assert_close(one(batch_of(x, y)), one(batch_of(x, y.float())))
