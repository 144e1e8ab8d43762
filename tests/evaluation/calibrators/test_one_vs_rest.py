"""Maps of one probability: against scikit-learn, netcal and the papers' formulas."""

import math
import warnings

import numpy as np
import pytest
from scipy.special import gammaln
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tests.evaluation.calibrators.cases import bernoulli, binary, categorical, logits_of
from uncertain import families
from uncertain.evaluation.calibrators import (
    fit_bbq,
    fit_beta,
    fit_histogram_binning,
    fit_isotonic,
)
from uncertain.evaluation.calibrators.histogram import bins_of, equal_mass_edges
from uncertain.families import ArrayDistribution

P, Y, TRUTH = binary()


def calibrated(fitted, p):
    return families.class_probabilities(fitted(bernoulli(p)))[:, 1]


def test_isotonic_is_scikit_learn_s():
    p = np.round(P, 2)  # Ties: equal scores are one point.
    w = np.random.default_rng(0).random(len(p))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(p, Y, sample_weight=w)
    new = np.linspace(0, 1, 333)
    ours = calibrated(fit_isotonic(bernoulli(p), Y, weights=w), new)
    assert np.allclose(ours, theirs.predict(new), atol=1e-12)


def test_beta_is_a_logistic_regression_where_slopes_are_positive():
    features = np.stack([np.log(P), -np.log1p(-P)], axis=1)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=5000).fit(features, Y)
    ours = fit_beta(bernoulli(P), Y).maps[0]
    assert min(theirs.coef_[0]) > 0
    assert (ours.a, ours.b) == pytest.approx(theirs.coef_[0], rel=1e-3)
    assert ours.c == pytest.approx(theirs.intercept_[0], rel=1e-3)


def test_beta_never_turns_the_order_round():
    ours = fit_beta(bernoulli(1 - P), Y).maps[0]
    assert (ours.a, ours.b) == (0.0, 0.0)
    assert calibrated(fit_beta(bernoulli(1 - P), Y), P) == pytest.approx(Y.mean(), abs=1e-6)


@pytest.mark.slow
def test_beta_and_equal_width_histograms_are_netcal_s():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from netcal.binning import HistogramBinning
        from netcal.scaling import BetaCalibration

        beta, bins = BetaCalibration().fit(P, Y), HistogramBinning(bins=15).fit(P, Y)
        theirs = [np.ravel(each.transform(P)) for each in (beta, bins)]
    ours = fit_beta(bernoulli(P), Y), fit_histogram_binning(bernoulli(P), Y, binning="equal_width")
    for fitted, other, tolerance in zip(ours, theirs, (1e-4, 1e-12), strict=True):
        assert np.allclose(calibrated(fitted, P), other, atol=tolerance)


def test_a_histogram_is_the_share_of_hits():
    fitted = fit_histogram_binning(bernoulli(P), Y, bins=5)
    place = bins_of(P, fitted.maps[0].edges)
    assert np.bincount(place).tolist() == [100] * 5
    for b in range(5):
        assert fitted.maps[0].values[b] == pytest.approx(Y[place == b].mean())


def test_an_empty_bin_keeps_its_middle():
    p = np.concatenate([P[P < 0.3], P[P > 0.9]])
    fitted = fit_histogram_binning(
        bernoulli(p), np.arange(len(p)) % 2, bins=10, binning="equal_width"
    )
    assert calibrated(fitted, np.array([0.55, 0.6])) == pytest.approx([0.55, 0.65])


def test_ties_are_never_parted():
    few = np.array([0.1] * 6 + [0.5, 0.9])
    assert equal_mass_edges(few, bins=4).tolist() == pytest.approx([0.3])
    assert equal_mass_edges(np.full(8, 0.4), bins=4).size == 0
    assert equal_mass_edges(np.array([0.1, 0.9, 0.9, 0.9]), bins=2).tolist() == []


def bbq(p, y, new):
    """Naeini et al. 2015, line by line."""
    n = len(p)
    total = 0.0
    answer = np.zeros(len(new))
    logs, answers, seen = [], [], []
    for count in range(max(1, math.floor(n ** (1 / 3) / 10)), math.ceil(10 * n ** (1 / 3)) + 1):
        edges = [0.0, *equal_mass_edges(p, bins=count), 1.0]
        if edges in seen:
            continue
        seen.append(edges)
        bins = len(edges) - 1
        log_score, found = 0.0, np.zeros(len(new))
        for b in range(bins):
            low, high = edges[b], edges[b + 1]
            inside = (p >= low) & ((p < high) | (b == bins - 1))
            rows, hits = inside.sum(), y[inside].sum()
            middle = (low + high) / 2
            alpha, beta = 2 / bins * middle, 2 / bins * (1 - middle)
            log_score += gammaln(2 / bins) - gammaln(rows + 2 / bins)
            log_score += gammaln(hits + alpha) - gammaln(alpha)
            log_score += gammaln(rows - hits + beta) - gammaln(beta)
            found[(new >= low) & ((new < high) | (b == bins - 1))] = (hits + alpha) / (
                rows + 2 / bins
            )
        logs.append(log_score)
        answers.append(found)
    for log_score, found in zip(logs, answers, strict=True):
        share = math.exp(log_score - max(logs))
        total += share
        answer += share * found
    return answer / total


def test_bbq_is_the_paper_s():
    p, y = P[:200], Y[:200]
    new = np.linspace(0, 1, 101)
    ours = calibrated(fit_bbq(bernoulli(p), y), new)
    assert np.allclose(ours, bbq(p, y, new), atol=1e-9)


def test_bbq_of_few_different_scores():
    p = np.repeat([0.2, 0.8], 50)
    fitted = fit_bbq(bernoulli(p), np.arange(100) % 4 == 0)
    assert calibrated(fitted, np.array([0.2, 0.8])) == pytest.approx([0.25, 0.25], abs=0.03)


def test_several_classes_are_divided_by_their_sum():
    z, y = logits_of(300)
    fitted = fit_isotonic(categorical(z), y)
    p = families.class_probabilities(categorical(z))
    raw = np.stack(
        [
            IsotonicRegression(out_of_bounds="clip").fit(p[:, c], y == c).predict(p[:, c])
            for c in range(3)
        ],
        axis=1,
    )
    expected = raw / raw.sum(axis=1, keepdims=True)
    assert np.allclose(families.class_probabilities(fitted(categorical(z))), expected, atol=1e-12)


def test_a_row_without_any_class_becomes_uniform():
    p = np.array([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]] * 6)
    fitted = fit_isotonic(ArrayDistribution("categorical", {"probs": p}), [0, 1] * 6)
    strange = ArrayDistribution("categorical", {"probs": np.array([[0.3, 0.3, 0.4]])})
    assert families.class_probabilities(fitted(strange)) == pytest.approx(1 / 3)


def test_small_probabilities_keep_their_digits():
    p = np.array([1e-20, 1e-3] * 10)
    fitted = fit_beta(ArrayDistribution("bernoulli", {"logits": np.log(p)}), np.arange(20) % 7 == 0)
    assert np.isfinite(fitted.maps[0].a)


def test_refusals(unchecked):
    with pytest.raises(ValueError, match="should not be separable by beta calibration"):
        fit_beta(bernoulli(P), P > 0.5)
    with pytest.raises(ValueError, match="`bins` should lie in"):
        fit_histogram_binning(bernoulli(P), Y, bins=0)
    with pytest.raises(ValueError, match="`binning` should be one of"):
        fit_histogram_binning(bernoulli(P), Y, binning="equal")
    with pytest.raises(ValueError, match="`floor` should lie in"):
        fit_beta(bernoulli(P), Y, floor=0.5)
