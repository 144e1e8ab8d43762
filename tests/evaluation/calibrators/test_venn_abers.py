"""Venn-Abers: the two isotonic fits of every new score, and what their merging guarantees."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from tests.evaluation.calibrators.cases import bernoulli, binary, categorical, logits_of
from uncertain import families
from uncertain.evaluation.calibrators import fit_venn_abers, load_calibrator, save_calibrator


def slow_bounds(scores, labels, new):
    """Fit the rows and the new score anew for either label, equal scores pooled."""
    found = []
    for label in (0, 1):
        s, y = np.append(scores, new), np.append(labels, label)
        knots, place = np.unique(s, return_inverse=True)
        mass = np.bincount(place)
        fitted = isotonic_regression(np.bincount(place, y) / mass, weights=mass).x
        found.append(fitted[np.searchsorted(knots, new)])
    return found


def test_bounds_are_two_isotonic_fits_of_each_new_score():
    rng = np.random.default_rng(0)
    scores = rng.integers(1, 20, 60) / 20
    labels = (rng.random(60) < scores).astype(int)
    fitted = fit_venn_abers(bernoulli(scores), labels).maps[0]
    for new in (0.01, 0.25, 0.26, 0.5, 0.931, 0.95, 0.99):
        expected = slow_bounds(scores, labels, new)
        found = [float(b[0]) for b in fitted.bounds(np.log([new]))]
        np.testing.assert_allclose(found, expected)


def test_the_miss_lies_below_the_hit_and_both_rise():
    p, labels, _ = binary(300)
    fitted = fit_venn_abers(bernoulli(p), labels).maps[0]
    assert (fitted.as_miss <= fitted.as_hit).all()
    assert (np.diff(fitted.as_miss) >= -1e-12).all()
    assert (np.diff(fitted.as_hit) >= -1e-12).all()


def test_no_answer_is_certain_and_the_miscalibrated_come_closer_to_the_truth():
    p, labels, _ = binary(600)
    fitted = fit_venn_abers(bernoulli(p), labels)
    fresh, _, truth = binary(2000, seed=1)
    found = families.class_probabilities(fitted(bernoulli(fresh)))[:, 1]
    assert 0 < found.min() < found.max() < 1
    assert np.mean((found - truth) ** 2) < np.mean((fresh - truth) ** 2) / 2


def test_more_rows_bring_the_bounds_together():
    gaps = []
    for n in (50, 800):
        p, labels, _ = binary(n)
        miss, hit = fit_venn_abers(bernoulli(p), labels).maps[0].bounds(np.log([0.3, 0.5, 0.7]))
        gaps.append((hit - miss).mean())
    assert gaps[1] < gaps[0] / 3


def test_several_classes_sum_to_one_and_it_is_kept_to_the_bit(tmp_path):
    z, labels = logits_of(200)
    fitted = fit_venn_abers(categorical(z), labels)
    found = families.class_probabilities(fitted(categorical(z)))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    save_calibrator(fitted, tmp_path / "v.json")
    again = load_calibrator(tmp_path / "v.json")
    assert (families.class_probabilities(again(categorical(z))) == found).all()


def test_it_refuses_what_the_others_refuse():
    with pytest.raises(ValueError, match="at least 10 rows"):
        fit_venn_abers(bernoulli([0.5] * 4), [0, 1, 0, 1])
