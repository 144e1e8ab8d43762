"""The judge's one call returns what the single functions return, and is fast enough."""

import time

import numpy as np
import pytest

from uncertain.evaluation import calibration, classification
from uncertain.evaluation.classification_report import classification_estimates
from uncertain.evaluation.corp import score_decomposition
from uncertain.evaluation.cumulative_calibration import calibration_tests
from uncertain.evaluation.smooth_calibration import smooth_ece, smooth_ece_null


def rows(n=500, classes=4, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.5), n).astype(dtype)
    return p, rng.integers(0, classes, n)


@pytest.mark.parametrize("kind", ["plain", "weights", "groups"])
def test_every_figure_is_that_of_its_own_function(kind):
    p, y = rows()
    extra = {
        "plain": {},
        "weights": {"weights": np.arange(500.0)},
        "groups": {"groups": np.arange(500) // 5},
    }[kind]
    found = {
        (row.metric, row.variant): row.estimate
        for row in classification_estimates(p, y, replicates=100, seed=3, **extra)
    }
    for name in ("accuracy", "nll", "brier"):
        assert repr(found.pop((name, ""))) == repr(getattr(classification, name)(p, y, **extra))
    for mode in ("top_label",):
        singles = alone(p, y, mode, **extra)
        for name, expected in singles.items():
            assert repr(found.pop(name)) == repr(expected), name
    adaptive = found.pop(("adaptive_calibration_error", "equal_mass,15,l1,classwise"))
    assert repr(adaptive) == repr(calibration.adaptive_calibration_error(p, y, **extra))
    for (metric, variant), estimate in found.items():
        binning, bins, norm, mode = variant.split(",")
        assert norm == ("l2" if metric.startswith("rms") else "l1")
        options = {"binning": binning, "bins": int(bins), "mode": mode, **extra}
        if metric != "ece":
            options |= {"seed": 3, "replicates": 100}
        assert repr(estimate) == repr(getattr(calibration, metric)(p, y, **options))


def alone(p, y, mode, **extra):
    """The figures without bins, each by its own function."""
    variant = f"reflected,bandwidth=value,{mode}"
    found = {("smooth_ece", variant): smooth_ece(p, y, mode=mode, **extra)}
    null = smooth_ece_null(p, y, mode=mode, weights=extra.get("weights"), seed=3)
    if "groups" in extra:
        reason = "the null treats the rows of a group as independent"
        null = null._replace(low=np.nan, high=np.nan, p_value=None, n_groups=100, reason=reason)
    found["smooth_ece_null", variant] = null
    for name, test in calibration_tests(p, y, mode=mode, **extra).items():
        found[name, mode] = test
    for score in ("brier", "log"):
        for term, part in score_decomposition(p, y, score=score, mode=mode, **extra).items():
            found[f"{score}_{term}", mode] = part
    return found


def test_two_classes_have_the_positive_class_too():
    p, y = rows(classes=2)
    found = {(r.metric, r.variant): r.estimate for r in classification_estimates(p, y, seed=3)}
    for name, expected in alone(p, y, "positive").items():
        assert repr(found[name]) == repr(expected), name


def test_names_variants_and_kinds_are_the_fixed_ones():
    found = classification_estimates(*rows(), replicates=20)
    names = [(row.metric, row.variant, row.kind) for row in found]
    assert ("ece", "equal_width,15,l1,top_label", "estimate") in names
    assert ("ece_null", "equal_width,15,l1,top_label", "null") in names
    assert ("ece_debiased", "equal_mass,15,l1,top_label", "estimate") in names
    assert ("ece", "equal_width,15,l1,classwise", "estimate") in names
    assert len(set(names)) == len(names) == 25


def test_log_probabilities_reach_the_score():
    p, y = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 0])
    logs = np.array([[0.0, -800.0], [np.log(0.5), np.log(0.5)]])
    found = classification_estimates(p, y, log_probabilities=logs, replicates=20)
    assert found[1].estimate.value == pytest.approx((800 + np.log(2)) / 2)


def test_bad_arguments_are_refused_before_any_work():
    with pytest.raises(ValueError, match="`replicates` should lie in"):
        classification_estimates(*rows(), replicates=0)
    with pytest.raises(ValueError, match="`level` should lie in"):
        classification_estimates(*rows(), level=2.0)


@pytest.mark.slow
def test_a_million_rows_take_a_second_or_so():
    p, y = rows(1_000_000, 10, dtype=np.float32)
    start = time.process_time()
    classification_estimates(p, y)
    assert time.process_time() - start < 6  # 0.9 s alone, without annotation checks
