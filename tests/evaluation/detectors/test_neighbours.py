"""Nearest neighbours: the block search against a sort, ties, and k."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from tests.evaluation.detectors import cases
from uncertain.evaluation import Collected
from uncertain.evaluation.detectors import KNN, NNGuide, nearest


def bank_of(features):
    width = features.shape[1]
    return Collected(features, features, np.eye(width), np.zeros(width))


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10_000), st.sampled_from([4, 16]))
def test_the_candidates_hold_the_k_largest(rows, k, seed, block):
    rng = np.random.default_rng(seed)
    k = min(k, rows)
    bank = rng.integers(-2, 3, size=(rows, 3)).astype(np.float32)  # Many ties.
    queries = rng.integers(-2, 3, size=(7, 3)).astype(np.float32)
    offsets = rng.integers(0, 2, size=rows).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "BANK_ROWS", block)
        patch.setattr(nearest, "QUERIES", 3)
        found = nearest.candidates(queries, bank, offsets, k)
    products = queries @ bank.T - offsets
    assert all(len(set(row)) == len(row) for row in found.tolist())
    best = -np.sort(-np.take_along_axis(products, found, axis=1), axis=1)[:, :k]
    np.testing.assert_array_equal(best, -np.sort(-products, axis=1)[:, :k])


@pytest.mark.parametrize("k", [1, 5, 120])
def test_the_distance_is_scikit_learns(k):
    bank, rows = cases.bank(), cases.queries()
    unit = [h / np.linalg.norm(h, axis=1, keepdims=True) for h in (bank.features, rows.features)]
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(unit[0])
    expected = search.kneighbors(unit[1])[0][:, -1]
    np.testing.assert_allclose(KNN.fit(bank, k=k)(rows.features), expected, rtol=1e-6)


def test_rows_of_zeros_in_the_bank_are_at_distance_one():
    features = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    detector = KNN.fit(bank_of(features), k=2)
    np.testing.assert_allclose(detector(np.array([[2.0, 0.0]])), 1.0)


def test_lengths_do_not_matter_to_directions():
    bank, rows = cases.bank(), cases.queries()
    detector = KNN.fit(bank, k=3)
    np.testing.assert_allclose(
        detector(7 * rows.features), detector(rows.features), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("detector", [KNN, NNGuide])
@pytest.mark.parametrize("k", [0, 121])
def test_k_is_at_most_the_banks_rows(detector, k):
    with pytest.raises(ValueError, match=f"at most the 120 rows of the bank, got {k}"):
        detector.fit(cases.bank(), k=k)
