"""Class probabilities and their logarithms, exact to the smallest float."""

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal

from tests.predictive import cases
from uncertain import families
from uncertain.predictive import (
    class_log_probs,
    class_probs,
    mixture,
    to_arrays,
)

CLASS_CASES = [n for n in cases.NAMES if n.startswith(("categorical", "bernoulli", "dirichlet"))]


@pytest.mark.parametrize("name", CLASS_CASES)
def test_agrees_with_the_table_of_families(name):
    dist = cases.everything()[name]
    d = to_arrays(dist)
    expected = families.class_log_probabilities(d)
    np.testing.assert_allclose(class_log_probs(dist), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(class_probs(dist), families.class_probabilities(d), atol=1e-14)
    torch.testing.assert_close(
        class_probs(dist).sum(-1),
        torch.ones(dist.batch_shape + dist.event_shape, dtype=torch.float64),
    )


def test_given_probabilities_come_back_bit_for_bit():
    probs = torch.rand(50, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)
    dist = Categorical(probs=probs)
    assert torch.equal(class_probs(dist), dist.probs)
    dist.logits  # torch derives and keeps them; what was given still counts
    assert torch.equal(class_probs(dist.expand((50,))), dist.probs)
    p = torch.tensor([0.3, 0.999999])
    assert torch.equal(class_probs(Bernoulli(probs=p))[:, 1], p)


def test_given_logits_survive_underflow():
    logits = torch.tensor([[0.0, -200.0]])
    dist = Categorical(logits=logits)
    dist.probs  # underflows to 0
    assert class_log_probs(dist.expand((3, 1)))[0, 0, 1].item() == -200.0


def test_exact_zeros():
    members = Categorical(probs=torch.tensor([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]]))
    logs = class_log_probs(mixture(members))
    torch.testing.assert_close(logs.exp(), torch.tensor([[0.75, 0.25, 0.0]]))
    assert logs[0, 2].item() == -torch.inf
    both = class_log_probs(Bernoulli(probs=torch.tensor([0.0, 1.0])))
    assert both.tolist() == [[0.0, -torch.inf], [-torch.inf, 0.0]]


def test_gradients_stay_finite_at_zero():
    probs = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], requires_grad=True)
    logs = class_log_probs(mixture(Categorical(probs=probs)))
    logs.masked_fill(logs == -torch.inf, 0).sum().backward()
    assert torch.isfinite(probs.grad).all()
    p = torch.tensor([0.0, 1.0], requires_grad=True)
    logs = class_log_probs(Bernoulli(probs=p))
    logs.masked_fill(logs == -torch.inf, 0).sum().backward()
    assert torch.isfinite(p.grad).all()


def test_members_of_weight_zero_do_not_count():
    members = Categorical(probs=torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    logs = class_log_probs(mixture(members, [1.0, 0.0]))
    assert logs.tolist() == [[0.0, -torch.inf]]


@pytest.mark.parametrize("function", [class_probs, class_log_probs])
def test_numbers_have_no_classes(function):
    for dist in (Normal(torch.zeros(1), 1.0), Independent(Normal(torch.zeros(1, 2), 1.0), 1)):
        with pytest.raises(TypeError, match=r"should be a distribution over classes .* got Normal"):
            function(dist)
