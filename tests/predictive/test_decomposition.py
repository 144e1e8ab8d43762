"""The parts of uncertainty: against the table of families, closed forms and laws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Dirichlet, Independent, Normal

from tests.predictive import cases
from uncertain import families
from uncertain.predictive import (
    DirichletCategorical,
    Empirical,
    GaussianMarginal,
    decompose,
    entropy,
    marginals,
    mixture,
    to_arrays,
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", cases.NAMES)
def test_agrees_with_the_table_of_families(name, dtype):
    dist = cases.everything(dtype)[name]
    try:
        expected = families.decompose(to_arrays(dist))
    except TypeError:
        with pytest.raises(
            (TypeError, NotImplementedError), match=r"noise cannot be told|undefined"
        ):
            decompose(dist)
        return
    tolerance = 1e-11 if dtype is torch.float64 else 1e-4
    for ours, theirs in zip(decompose(dist), expected, strict=True):
        np.testing.assert_allclose(ours.double(), theirs, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("name", [n for n in cases.NAMES if "mixture" in n and "quant" not in n])
def test_parts_add_up_and_are_not_negative(name):
    total, aleatoric, epistemic = decompose(cases.everything()[name])
    torch.testing.assert_close(total, aleatoric + epistemic)
    assert (epistemic >= 0).all()
    assert (aleatoric >= -1e-12).all()


def test_total_is_the_whole():
    classes = cases.mixed("categorical_probs")
    torch.testing.assert_close(decompose(classes).total, entropy(classes))
    numbers = cases.mixed("normal")
    torch.testing.assert_close(decompose(numbers).total, numbers.variance)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=5))
def test_one_member_or_equal_members_know_everything(logits):
    single = torch.tensor([[logits]], dtype=torch.float32)
    assert decompose(mixture(Categorical(logits=single))).epistemic.item() == 0.0
    same = decompose(mixture(Categorical(logits=single.expand(1, 4, -1)))).epistemic
    assert same.item() == pytest.approx(0.0, abs=1e-6)


def test_own_parts_of_members_are_kept():
    loc = torch.tensor([[0.0, 2.0]])
    parts = decompose(mixture(GaussianMarginal(loc, torch.tensor([[1.0, 2.0]]), 3.0)))
    torch.testing.assert_close(parts.aleatoric, torch.tensor([9.0]))
    torch.testing.assert_close(parts.epistemic, torch.tensor([(1.0 + 4.0) / 2 + 1.0]))


def test_dirichlet_information_by_simulation():
    concentration = torch.tensor([2.0, 0.7, 1.3], dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = Dirichlet(concentration).sample((200_000,))
    expected = Categorical(probs=draws).entropy()
    error = 4 * expected.std() / len(draws) ** 0.5
    parts = decompose(DirichletCategorical(concentration))
    assert abs(parts.aleatoric - expected.mean()) < error


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_dirichlet_information_of_a_sure_one_keeps_its_digits(size):
    # I -> (C - 1) / (2 a_0) as the concentration a_0 grows; float32 entropies would leave noise.
    epistemic = decompose(DirichletCategorical(torch.full((4,), size / 4))).epistemic
    assert epistemic.item() == pytest.approx(3 / (2 * size), rel=6 / size + 1e-5)


def test_labels_and_outputs_are_split_one_by_one():
    multi = mixture(Independent(Bernoulli(torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])), 1))
    parts = decompose(multi)
    torch.testing.assert_close(
        parts.epistemic, torch.tensor([[np.log(2), 0.0]], dtype=torch.float32)
    )
    joint = cases.mixed("multivariate_normal")
    for whole, apart in zip(decompose(joint), decompose(marginals(joint)), strict=True):
        torch.testing.assert_close(whole, apart)


def test_independent_over_parts():
    dist = Independent(GaussianMarginal(torch.zeros(1, 2), 1.0, 2.0), 1)
    assert decompose(dist).epistemic.tolist() == [[1.0, 1.0]]


def test_gradients_are_finite_with_impossible_classes():
    probs = torch.tensor([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]], requires_grad=True)
    sum(part.sum() for part in decompose(mixture(Categorical(probs=probs)))).backward()
    assert torch.isfinite(probs.grad).all()


@pytest.mark.parametrize(
    "dist",
    [
        Normal(torch.zeros(1), 1.0),
        Categorical(torch.ones(1, 2)),
        Empirical(torch.ones(1, 2)),
        Independent(Normal(torch.zeros(1, 2), 1.0), 1),
    ],
    ids=lambda dist: type(dist).__name__,
)
def test_what_cannot_be_split_raises(dist):
    with pytest.raises(TypeError, match="noise cannot be told from ignorance: use an ensemble"):
        decompose(dist)
