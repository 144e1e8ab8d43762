"""Scores of torch distributions: closed forms, other libraries, and gradients that are right."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    LogNormal,
    Normal,
    Poisson,
    StudentT,
)

from uncertain import families, predictive
from uncertain.evaluation.scores import brier, crps, interval_score, nll

F64 = torch.float64


def reals(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def positive(*shape, seed=1):
    return reals(*shape, seed=seed).exp()


# Classes


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_class_scores_are_their_definitions(seed, classes):
    logits = 3 * reals(5, classes, seed=seed)
    y = torch.arange(5) % classes
    p = torch.softmax(logits, -1).numpy()
    one_hot = np.eye(classes)[y.numpy()]
    d = Categorical(logits=logits)
    log_p = special.log_softmax(logits.numpy(), axis=1)
    np.testing.assert_allclose(nll(d, y), -log_p[np.arange(5), y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(brier(d, y), ((p - one_hot) ** 2).sum(1), rtol=1e-9, atol=1e-14)


def test_a_probability_of_zero_is_not_clamped():
    d = Categorical(probs=torch.tensor([[1.0, 0.0]]))
    assert nll(d, torch.tensor([1])).item() == float("inf")
    assert nll(Categorical(logits=torch.tensor([[0.0, -200.0]])), torch.tensor([1])).item() == 200


def test_two_classes_score_alike_however_they_are_written():
    p, y = torch.tensor([0.2, 0.9], dtype=F64), torch.tensor([1, 0])
    both = Categorical(probs=torch.stack([1 - p, p], -1))
    for score in (brier, nll):
        torch.testing.assert_close(score(Bernoulli(probs=p), y.to(F64)), score(both, y))


def test_a_mixture_is_scored_as_its_average():
    logits = reals(6, 4, 3)
    y = torch.arange(6) % 3
    mixed = Categorical(probs=torch.softmax(logits, -1).mean(1))
    mixture = predictive.mixture(Categorical(logits=logits))
    torch.testing.assert_close(nll(mixture, y), nll(mixed, y))
    torch.testing.assert_close(brier(mixture, y), brier(mixed, y))


# Numbers

LOC, SCALE, Y = reals(8), positive(8), reals(8, seed=2)


def mixture_of_normals():
    return predictive.mixture(Normal(reals(8, 3, seed=3), positive(8, 3, seed=4)))


@pytest.mark.parametrize(
    "distribution",
    [
        Normal(LOC, SCALE),
        mixture_of_normals(),
        StudentT(torch.full((8,), 5.0, dtype=F64), LOC, SCALE),
        predictive.GaussianMarginal(LOC, SCALE, SCALE / 2),
        Independent(Normal(reals(8, 2), positive(8, 2)), 1),
        predictive.mixture(Independent(Normal(reals(8, 3, 2), positive(8, 3, 2)), 1)),
    ],
    ids=["normal", "mixture", "student", "marginal", "two targets", "mixture of two targets"],
)
def test_scores_are_those_of_the_array_families(distribution):
    y = reals(8, *distribution.event_shape, seed=2)
    arrays = predictive.to_arrays(distribution)
    np.testing.assert_allclose(crps(distribution, y), families.crps(arrays, y.numpy()), rtol=1e-9)
    np.testing.assert_allclose(
        nll(distribution, y), -families.log_prob(arrays, y.numpy()), rtol=1e-9
    )


def test_crps_agrees_with_scoringrules():
    y = Y.numpy()
    np.testing.assert_allclose(
        crps(Normal(LOC, SCALE), Y), scoringrules.crps_normal(y, LOC, SCALE), rtol=1e-9
    )
    mixture = mixture_of_normals()
    members = mixture.component_distribution
    np.testing.assert_allclose(
        crps(mixture, Y),
        scoringrules.crps_mixnorm(
            y, members.loc.numpy(), members.scale.numpy(), np.full((8, 3), 1 / 3)
        ),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        crps(LogNormal(LOC, SCALE), Y.exp()),
        scoringrules.crps_lognormal(np.exp(y), LOC.numpy(), SCALE.numpy()),
        rtol=1e-7,
    )


def test_crps_of_counts_is_not_rounded():
    rate = torch.tensor([1.5, 4.0], dtype=F64)
    whole, real = torch.tensor([2, 3]), torch.tensor([2.0, 3.0], dtype=F64)
    expected = scoringrules.crps_poisson(real.numpy(), rate.numpy())
    np.testing.assert_allclose(crps(Poisson(rate), real), expected, rtol=1e-9)
    np.testing.assert_allclose(crps(Poisson(rate), whole), expected, rtol=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_interval_score_agrees_with_scoringrules(level):
    d = Normal(LOC, SCALE)
    alpha = 1 - level
    ends = [predictive.quantile(d, q).numpy() for q in (alpha / 2, 1 - alpha / 2)]
    expected = scoringrules.interval_score(Y.numpy(), *ends, alpha)
    np.testing.assert_allclose(interval_score(d, Y, level=level), expected, rtol=1e-9)


# Gradients


def leaf(tensor):
    return tensor.clone().requires_grad_()


@pytest.mark.parametrize(
    ("score", "parameters", "make", "y"),
    [
        (nll, [reals(4, 3)], lambda z: Categorical(logits=z), torch.tensor([0, 1, 2, 0])),
        (brier, [reals(4, 3)], lambda z: Categorical(logits=z), torch.tensor([0, 1, 2, 0])),
        (nll, [reals(4), positive(4)], Normal, reals(4, seed=5)),
        (crps, [reals(4), positive(4)], Normal, reals(4, seed=5)),
        (interval_score, [reals(4), positive(4)], Normal, reals(4, seed=5)),
        (
            crps,
            [reals(4, 3), positive(4, 3)],
            lambda loc, scale: predictive.mixture(Normal(loc, scale)),
            reals(4, seed=5),
        ),
        (
            crps,
            [reals(4), positive(4), positive(4, seed=6)],
            predictive.GaussianMarginal,
            reals(4, seed=5),
        ),
        (
            crps,
            [reals(4, 2), positive(4, 2)],
            lambda loc, scale: Independent(Normal(loc, scale), 1),
            reals(4, 2, seed=5),
        ),
    ],
    ids=[
        "nll",
        "brier",
        "normal nll",
        "crps",
        "interval",
        "mixture crps",
        "marginal crps",
        "targets",
    ],
)
def test_gradients_are_those_of_finite_differences(score, parameters, make, y):
    assert torch.autograd.gradcheck(
        lambda *values: score(make(*values), y), [leaf(p) for p in parameters], atol=1e-6
    )


@pytest.mark.parametrize("score", [crps, nll, interval_score])
def test_scores_are_proper(score):
    """No prediction scores better on average than the truth: by simulation, in one dimension each."""
    y = reals(20_000, seed=9)
    truth = score(Normal(torch.zeros_like(y), torch.ones_like(y)), y).mean()
    for loc, scale in ((0.2, 1.0), (-0.2, 1.0), (0.0, 0.8), (0.0, 1.25)):
        assert score(Normal(loc + 0 * y, scale + 0 * y), y).mean() > truth


# Refused


@pytest.mark.parametrize("score", [nll, crps, interval_score])
def test_other_numbers_of_targets_are_refused(score, unchecked):
    with pytest.raises(ValueError, match="8 and 5"):
        score(Normal(LOC, SCALE), reals(5))


@pytest.mark.parametrize("score", [nll, crps])
def test_a_single_prediction_is_no_row(score, unchecked):
    with pytest.raises(ValueError, match="0 and 1"):
        score(Normal(torch.tensor(0.0), torch.tensor(1.0)), torch.zeros(1))


def test_classes_out_of_range_are_refused():
    d = Categorical(logits=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        brier(d, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="2 and 1"):
        brier(d, torch.tensor([0]))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(ValueError, match="`level`"):
        interval_score(Normal(LOC, SCALE), Y, level=level)


def test_numbers_have_no_brier_score():
    with pytest.raises(TypeError, match="class"):
        brier(Normal(LOC, SCALE), torch.zeros(8, dtype=torch.long))
