"""Entropy, mutual information and variation ratio: from arrays, tensors and distributions alike."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, Normal

from uncertain.evaluation.detectors import arrays, entropy, mutual_information, variation_ratio
from uncertain.families import ArrayDistribution
from uncertain.predictive import DirichletCategorical, mixture

P = np.random.default_rng(0).dirichlet(np.ones(3), size=(20, 5))
SCORES = (entropy, mutual_information, variation_ratio)


def test_entropy_is_that_of_the_mean():
    np.testing.assert_allclose(entropy(P), scipy_entropy(P.mean(axis=1), axis=1))
    np.testing.assert_allclose(entropy(P[:, 0]), scipy_entropy(P[:, 0], axis=1))


def test_mutual_information_is_the_entropy_that_members_do_not_share():
    expected = scipy_entropy(P.mean(axis=1), axis=1) - scipy_entropy(P, axis=2).mean(axis=1)
    np.testing.assert_allclose(mutual_information(P), expected)


def test_the_variation_ratio_counts_votes():
    votes = P.argmax(axis=2)
    expected = [1 - np.bincount(row).max() / 5 for row in votes]
    np.testing.assert_allclose(variation_ratio(P), expected)


def test_members_that_agree_leave_nothing():
    same = np.repeat(P[:, :1], 4, axis=1)
    np.testing.assert_allclose(mutual_information(same), 0, atol=1e-15)
    np.testing.assert_allclose(variation_ratio(same), 0, atol=1e-15)


@pytest.mark.parametrize("score", SCORES)
def test_every_form_gives_the_same(score, monkeypatch):
    expected = score(P)
    dist = mixture(Categorical(probs=torch.tensor(P)))
    kept = ArrayDistribution("categorical", {"probs": P}, np.full((20, 5), 0.2))
    for given in (dist, kept, torch.tensor(P)):
        np.testing.assert_allclose(score(given), expected, atol=1e-12)
    monkeypatch.setattr(arrays, "BLOCK_VALUES", 40)
    np.testing.assert_array_equal(score(P), expected)
    np.testing.assert_allclose(score(P[:, ::-1]), expected, atol=1e-12)


def test_weighted_members_vote_by_weight():
    weights = np.array([[0.6, 0.3, 0.1]])
    p = np.array([[[0.1, 0.9], [0.9, 0.1], [0.8, 0.2]]])
    kept = ArrayDistribution("categorical", {"probs": p}, weights)
    np.testing.assert_allclose(variation_ratio(kept), [0.4])


def test_bernoulli_members_vote_too():
    chances = torch.tensor([[0.2, 0.7, 0.9]])
    for members in (Bernoulli(probs=chances), Bernoulli(logits=chances.logit())):
        dist = MixtureSameFamily(Categorical(torch.ones(1, 3)), members)
        np.testing.assert_allclose(variation_ratio(dist), [1 / 3], rtol=1e-6)


def test_a_dirichlet_keeps_its_mutual_information():
    assert (mutual_information(DirichletCategorical(torch.ones(4, 3))) > 0).all()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: entropy(Normal(torch.zeros(3), 1.0)), TypeError, "should be over classes, got no"),
        (
            lambda: mutual_information(Categorical(torch.ones(2, 3))),
            TypeError,
            "cannot be split into",
        ),
        (
            lambda: variation_ratio(Categorical(torch.ones(2, 3))),
            TypeError,
            "should have members, got a single categorical",
        ),
        (lambda: variation_ratio(P[:, 0]), ValueError, r"should have shape \(N, S, C\)"),
        (lambda: mutual_information(P[:, 0]), ValueError, r"should have shape \(N, S, C\)"),
        (lambda: entropy(P[0, 0]), ValueError, r"should have shape \(N, C\), got \(3,\)"),
        (lambda: entropy(2 * P), ValueError, "if these are logits"),
        (lambda: entropy(np.where(P > 2, P, np.nan)), ValueError, "300 NaN"),
        (lambda: entropy([["a"]]), TypeError, "should hold probabilities, got dtype <U1"),
    ],
)
def test_mistakes_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
