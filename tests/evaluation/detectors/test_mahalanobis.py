"""Mahalanobis distances: closed forms, degenerate covariances, shrinkage."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from tests.evaluation.detectors import cases
from uncertain.evaluation import Collected
from uncertain.evaluation.detectors import Mahalanobis, RelativeMahalanobis

RNG = np.random.default_rng(0)


def bank_of(features, labels):
    width = features.shape[1]
    return Collected(features, features, np.eye(width), np.zeros(width), labels=labels)


def test_it_is_chi_square_for_one_gaussian_class():
    mixing = RNG.normal(size=(5, 5))
    bank = bank_of(RNG.normal(size=(20_000, 5)) @ mixing, np.zeros(20_000, int))
    found = Mahalanobis.fit(bank)(RNG.normal(size=(500, 5)) @ mixing)
    assert kstest(found, chi2(5).cdf).pvalue > 0.01


def test_it_does_not_see_an_affine_change_of_features():
    bank, rows = cases.bank(dead=0), cases.queries(dead=0)
    mixing, offset = RNG.normal(size=(12, 12)), RNG.normal(size=12)
    for detector in (Mahalanobis, RelativeMahalanobis):
        moved = dataclasses.replace(bank, features=bank.features @ mixing + offset)
        np.testing.assert_allclose(
            detector.fit(moved)(rows.features @ mixing + offset),
            detector.fit(bank)(rows.features),
            rtol=1e-7,
            atol=1e-9,
        )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_dead_and_repeated_units_have_no_precision(dtype):
    features = RNG.normal(size=(200, 4)).astype(dtype)
    labels = np.arange(200) % 4
    padded = np.concatenate([features, np.zeros((200, 1), dtype), features[:, :1]], axis=1)
    plain, degenerate = (
        Mahalanobis.fit(bank_of(h, labels % h.shape[1])) for h in (features, padded)
    )
    assert (plain.rank, degenerate.rank) == (4, 4)
    # A dead unit says nothing, whatever it does later: the price of a pseudo-inverse.
    query = padded[:5].copy()
    query[:, 4] = 9
    np.testing.assert_allclose(degenerate(query), plain(query[:, :4]), rtol=1e-5)


def test_shrinkage_gives_every_direction_a_say():
    bank = cases.bank()
    detector = Mahalanobis.fit(bank, shrinkage=0.1)
    assert (Mahalanobis.fit(bank).rank, detector.rank) == (10, 12)
    query = bank.features[:1].copy()
    before = detector(query)
    query[:, 0] = 9
    assert detector(query) > before


def test_full_shrinkage_is_the_euclidean_distance():
    bank, rows = cases.bank(), cases.queries()
    detector = Mahalanobis.fit(bank, shrinkage=1)
    away = rows.features[:, None] - detector.means
    nearest = (away**2).sum(axis=2).min(axis=1)
    scale = nearest / detector(rows.features)
    np.testing.assert_allclose(scale, scale[0])


def test_fewer_rows_than_features():
    bank = bank_of(RNG.normal(size=(10, 30)), np.arange(10) % 2)
    detector = Mahalanobis.fit(bank)
    assert detector.rank == 8
    assert np.isfinite(detector(RNG.normal(size=(5, 30)))).all()


def test_a_class_without_rows_has_no_mean():
    bank = cases.bank()
    detector = Mahalanobis.fit(bank.select(bank.labels != 2))
    assert detector.means.shape == (3, 12)


def test_relative_distances_need_two_classes():
    one = dataclasses.replace(cases.bank(), labels=np.zeros(120, int))
    with pytest.raises(ValueError, match="labels of at least 2 classes, got 1"):
        RelativeMahalanobis.fit(one)


@pytest.mark.parametrize("detector", [Mahalanobis, RelativeMahalanobis])
def test_what_cannot_be_fitted_is_named(detector):
    bank = cases.bank()
    with pytest.raises(ValueError, match="`bank` should have labels, got none"):
        detector.fit(dataclasses.replace(bank, labels=None))
    with pytest.raises(ValueError, match="`bank` should have features that vary"):
        detector.fit(dataclasses.replace(bank, features=np.ones((120, 12))))
    with pytest.raises(ValueError, match=r"`shrinkage` should lie in \[0, 1\], got 2"):
        detector.fit(bank, shrinkage=2)
