"""Right predictions have the coverage that is expected of them, whatever the interval's level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncertain.evaluation import evaluate
from uncertain.evaluation.expected_coverage import expected_coverage
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.regression import MissingLevelError, central_interval
from uncertain.evaluation.report import render_report
from uncertain.families import ArrayDistribution

N = 1000


def right(kind: str) -> tuple[ArrayDistribution, np.ndarray]:
    """Right predictions of a kind, and targets drawn from the truth."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(4.0, 1.0, N)
    if kind == "poisson":
        return ArrayDistribution(kind, {"rate": rate}), rng.poisson(rate).astype(float)
    if kind == "draws of counts":
        samples = rng.poisson(rate[:, None], (N, 20)).astype(float)
        return ArrayDistribution("empirical_sample", {"samples": samples}), rng.poisson(
            rate
        ).astype(float)
    loc, y = rate, rate + rng.normal(size=N)
    if kind == "draws":
        samples = loc[:, None] + rng.normal(size=(N, 20))
        return ArrayDistribution("empirical_sample", {"samples": samples}), y
    if kind == "quantiles":
        levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
        values = loc[:, None] + stats.norm.ppf(levels)
        return ArrayDistribution(kind, {"levels": levels, "values": values}), y
    return ArrayDistribution("normal", {"loc": loc, "scale": np.ones(N)}), y


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("poisson", "As expected: "),
        ("draws", "As expected: "),
        ("draws of counts", "As expected: "),
        ("quantiles", "As stated: "),
        ("normal", "As stated: "),
    ],
)
def test_the_headline_calls_right_predictions_right(kind: str, said: str) -> None:
    case = Predictions(*right(kind))
    results = evaluate(case)
    page = render_report(results, [case], title="t")
    assert said in page
    assert "Too wide: " not in page
    assert "Too narrow: " not in page
    for null in results.select(metric="coverage_null").rows:
        (found,) = results.select(metric="coverage", variant=null.variant).rows
        assert null.kind == "null"
        assert found.low < null.value < found.high
    assert bool(results.select(metric="coverage_null").rows) == (said == "As expected: ")


def test_wrong_counts_are_still_called_wrong() -> None:
    d, y = right("poisson")
    case = Predictions(ArrayDistribution("poisson", {"rate": d.parameters["rate"]}), 2.0 * y)
    assert "Too narrow: " in render_report(evaluate(case), [case], title="t")


def test_expected_coverage_is_the_sum_over_counts_and_the_share_of_spacings() -> None:
    rate = np.array([0.3, 2.0, 30.0])
    w = np.array([1.0, 2.0, 3.0])
    d = ArrayDistribution("poisson", {"rate": rate})
    low, high = central_interval(d, 0.9)
    law = stats.poisson(rate)
    found = expected_coverage(d, (low, high), 0.9, weights=w)
    assert found is not None
    assert found.value == pytest.approx(np.average(law.cdf(high) - law.cdf(low - 1), weights=w))
    points = np.random.default_rng(0).random((2, 3, 20))
    draws = ArrayDistribution("empirical", {"samples": points}, None, 1)
    spaced = expected_coverage(draws, central_interval(draws, 0.9), 0.9)
    assert spaced is not None
    assert spaced.value == pytest.approx(18 / 21)
    assert spaced.reason == "from 20 draws"


@pytest.mark.parametrize(
    ("samples", "weights", "reason"),
    [
        (np.zeros((30, 1)), None, "one draw"),
        (np.random.default_rng(0).normal(size=(30, 2, 20)), np.full((30, 2), 0.5), "a mixture of"),
    ],
)
def test_what_is_not_known_has_no_verdict(
    samples: np.ndarray, weights: np.ndarray | None, reason: str
) -> None:
    d = ArrayDistribution("empirical", {"samples": samples}, weights)
    case = Predictions(d, np.random.default_rng(1).normal(size=30))
    results = evaluate(case)
    (row,) = results.select(metric="coverage_null", variant="0.9").rows
    assert row.kind == "undefined"
    assert row.reason.startswith(reason)
    assert f"No verdict: {row.reason}." in render_report(results, [case], title="t")


def test_quantiles_answer_only_at_ends_that_were_predicted() -> None:
    d, y = right("quantiles")
    found = {row.variant: row for row in evaluate(Predictions(d, y)).select(metric="coverage").rows}
    assert {name for name, row in found.items() if np.isfinite(row.value)} == {"0.5", "0.9"}
    assert "got none at 0.1" in found["0.8"].reason
    with pytest.raises(MissingLevelError, match=r"should be predicted ones, got none at 0\.1"):
        central_interval(d, 0.8)
