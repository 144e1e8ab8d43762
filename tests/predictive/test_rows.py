"""Selecting and joining rows, for every family in every shape."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    transforms,
)

from tests.predictive import cases
from uncertain.predictive import (
    DirichletCategorical,
    Empirical,
    concat,
    marginals,
    mixture,
    parts,
    select,
    to_arrays,
)


def same(a, b):
    """Equal to the last bit."""
    left, right = parts(a), parts(b)
    assert left.kind == right.kind
    assert a.batch_shape == b.batch_shape
    assert a.event_shape == b.event_shape
    for name, tensor in left.tensors.items():
        assert torch.equal(tensor, right.tensors[name]), name


@pytest.mark.parametrize("name", cases.NAMES)
def test_concat_undoes_select(name):
    dist = cases.everything()[name]
    same(concat([select(dist, slice(0, 2)), select(dist, [2]), select(dist, slice(3, None))]), dist)
    assert type(select(dist, [0])) is type(dist)
    assert select(dist, [0])._validate_args == dist._validate_args


@pytest.mark.parametrize("name", cases.NAMES)
def test_expand_repeats_rows(name):
    row = select(cases.everything()[name], [1])
    same(row.expand((4,)), concat([row] * 4))


@given(st.lists(st.integers(-5, 4), max_size=8), st.sampled_from(["normal", "categorical_probs"]))
def test_select_is_indexing(rows, name):
    dist = cases.mixed(name)
    index = torch.tensor(rows, dtype=torch.long)
    for form in (rows, np.array(rows, dtype=int), index):
        chosen = parts(select(dist, form)).tensors
        for key, tensor in parts(dist).tensors.items():
            assert torch.equal(chosen[key], tensor[index])


def test_masks_and_backward_slices():
    dist = Normal(torch.arange(4.0), 1.0)
    assert select(dist, [True, False, True, False]).loc.tolist() == [0.0, 2.0]
    assert select(dist, dist.loc > 1).loc.tolist() == [2.0, 3.0]
    assert select(dist, slice(None, None, -1)).loc.tolist() == [3.0, 2.0, 1.0, 0.0]
    assert select(dist, slice(0, 0)).batch_shape == (0,)


def test_gradients_pass():
    loc = torch.zeros(3, requires_grad=True)
    concat([select(Normal(loc, 1.0), [2]), Normal(loc, 1.0)]).loc.sum().backward()
    assert loc.grad.tolist() == [1.0, 1.0, 2.0]


def test_select_refusals():
    with pytest.raises(ValueError, match="should have rows to select from"):
        select(Normal(0.0, 1.0), [0])
    with pytest.raises(IndexError, match="should be whole numbers or a mask"):
        select(Normal(torch.zeros(2), 1.0), torch.tensor([0.5]))
    with pytest.raises(IndexError, match=r"index|out of"):
        select(Normal(torch.zeros(2), 1.0), [2])


def test_concat_refusals():
    normal = Normal(torch.zeros(2), 1.0)
    with pytest.raises(ValueError, match="`dists` should have at least one row"):
        concat([])
    with pytest.raises(ValueError, match="should have rows to join"):
        concat([Normal(0.0, 1.0), Normal(0.0, 1.0)])
    with pytest.raises(TypeError, match="got Normal at 0 and a mixture of Normal at 1"):
        concat([normal, mixture(Normal(torch.zeros(2, 3), 1.0))])
    with pytest.raises(TypeError, match="got Normal at 0 and Independent Normal at 1"):
        concat([normal, Independent(Normal(torch.zeros(2, 3), 1.0), 1)])
    with pytest.raises(ValueError, match="members, classes or outputs differ"):
        concat([mixture(Normal(torch.zeros(2, 3), 1.0)), mixture(Normal(torch.zeros(2, 4), 1.0))])


def test_class_representations_meet_as_log_probabilities():
    both = concat([Categorical(probs=torch.tensor([[0.0, 1.0]])), Categorical(torch.ones(1, 2))])
    assert both.logits[0].tolist() == [-torch.inf, 0.0] or both.probs[0].tolist() == [0.0, 1.0]
    mixed = concat([Categorical(probs=torch.eye(2)), Categorical(logits=torch.zeros(1, 2))])
    assert mixed.logits[:2].tolist() == [[0.0, -torch.inf], [-torch.inf, 0.0]]
    with pytest.raises(TypeError, match="of one family"):
        concat([DirichletCategorical(torch.ones(1, 2)), Categorical(torch.ones(1, 2))])


def test_empty_categorical_probs_keep_their_bits():
    probs = torch.rand(100, 7, generator=torch.Generator().manual_seed(0)).softmax(-1)
    dist = Categorical(probs=probs)
    twice = select(select(dist, slice(None)), slice(None))
    assert torch.equal(twice.probs, dist.probs)


def test_marginals_of_a_joint():
    joint = cases.single("multivariate_normal", cases.N)
    flat = marginals(joint)
    torch.testing.assert_close(flat.mean, joint.mean)
    torch.testing.assert_close(flat.variance, joint.variance)
    many = cases.mixed("multivariate_normal")
    apart = marginals(many)
    assert isinstance(apart, MixtureSameFamily)
    torch.testing.assert_close(apart.variance, many.variance)
    assert to_arrays(apart).event_shape == (cases.T,)
    with pytest.raises(TypeError, match="should be a MultivariateNormal"):
        marginals(Normal(torch.zeros(1), 1.0))
    with pytest.raises(TypeError, match="got MixtureSameFamily"):
        marginals(mixture(Normal(torch.zeros(1, 2), 1.0)))


def test_unknown_distributions_say_how_to_teach_them():
    flow = TransformedDistribution(Normal(torch.zeros(2), 1.0), [transforms.ExpTransform()])
    with pytest.raises(TypeError, match=r"teach it with `uncertain.predictive.parts.register`"):
        select(flow, [0])


def test_broadcast_joint_covariance_is_expanded():
    joint = MultivariateNormal(torch.zeros(3, 2), torch.eye(2))
    assert select(joint, [0, 2]).scale_tril.shape == (2, 2, 2)


def test_empirical_kind_keeps_its_meaning():
    values = torch.zeros(1, 2)
    with pytest.raises(TypeError, match="of one family"):
        concat([Empirical(values), Empirical(values, is_sample=True)])
