"""Selective prediction: AUGRC, excess AURC, risk at a coverage and coverage at a risk."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.evaluation import simulate
from uncertain import intervals as iv
from uncertain.evaluation import ranking_bootstrap, ranking_sums
from uncertain.evaluation.comparison_bootstrap import ranking_differences
from uncertain.evaluation.ranking import (
    area_under_generalised_risk_coverage,
    canonical_rows,
    coverage_at_risk,
    excess_area_under_risk_coverage,
    rank_curve,
    ranking_estimates,
    ranking_values,
    risk_at_coverage,
)
from uncertain.evaluation.ranking_sums import SELECTIVE, tie_table

few = st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=5)
rows = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=20)


def split(drawn: list[tuple[int, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([r[0] for r in drawn], dtype=float), np.array([r[1] for r in drawn])


def orders(scores: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Every order of the rows in which no score stands before a smaller one."""
    every = (np.array(o) for o in itertools.permutations(range(len(scores))))
    return [o for o in every if (np.diff(scores[o]) >= 0).all()]


def risks(wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


@settings(max_examples=60)
@given(few)
def test_ties_are_averaged_over_all_their_orders(drawn: list[tuple[int, bool]]) -> None:
    """The slow, obvious way: list the orders of equal scores, and average."""
    scores, wrong = split(drawn)
    n = len(scores)
    listed = [wrong[o] for o in orders(scores)]
    found = ranking_values(scores, wrong)
    oracle = np.mean(risks(np.sort(wrong)))
    assert found["aurc"] == pytest.approx(np.mean([risks(w).mean() for w in listed]), abs=1e-12)
    assert found["excess_aurc"] == pytest.approx(found["aurc"] - oracle, abs=1e-12)
    joint = [np.trapezoid(np.append(0, np.cumsum(w)), dx=1 / n) / n for w in listed]
    assert found["augrc"] == pytest.approx(np.mean(joint), abs=1e-12)
    curve = rank_curve(scores, wrong)
    for k in range(1, n + 1):
        expected = np.mean([risks(w)[k - 1] for w in listed])
        assert risk_at_coverage(curve, coverage=k / n) == pytest.approx(expected, abs=1e-12)


@given(rows)
def test_augrc_is_accuracy_and_auroc(drawn: list[tuple[int, bool]]) -> None:
    """Traub et al. (2024), equation 8: exact with ties too, where AUROC counts them half."""
    scores, wrong = split(drawn)
    found = ranking_values(scores, wrong)
    a = 1 - wrong.mean()
    pairs = 0.0 if a in (0, 1) else (1 - found["auroc"]) * a * (1 - a)
    assert found["augrc"] == pytest.approx(pairs + (1 - a) ** 2 / 2, abs=1e-12)


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate])
@given(rows, st.sampled_from([0.0, 0.01, 0.05, 0.25, 0.5]))
def test_coverage_at_risk_is_the_last_place_that_keeps_it(
    drawn: list[tuple[int, bool]], risk: float
) -> None:
    scores, wrong = split(drawn)
    curve = rank_curve(scores, wrong)
    found = coverage_at_risk(curve, risk=risk)
    step = 1 / (5 * len(wrong))  # rows end on the grid, where a risk may touch
    grid = np.arange(1, 5 * len(wrong) + 1) * step
    kept = [c for c in grid if risk_at_coverage(curve, coverage=min(1.0, c)) <= risk + 1e-9]
    assert found == pytest.approx(max(kept, default=0.0), abs=step + 1e-9)
    if 0 < found < 1:
        assert risk_at_coverage(curve, coverage=found) == pytest.approx(risk, abs=1e-9)


def test_the_oracle_has_no_excess_and_chance_has_the_error_rate() -> None:
    wrong = np.random.default_rng(0).random(500) < 0.2
    assert excess_area_under_risk_coverage(rank_curve(wrong + 0.0, wrong)) == 0
    flat = rank_curve(np.zeros(500), wrong)
    assert area_under_generalised_risk_coverage(flat) == pytest.approx(wrong.mean() / 2)
    for coverage in (0.8, 0.9, 0.95, 1.0):
        assert risk_at_coverage(flat, coverage=coverage) == pytest.approx(wrong.mean())


def test_a_monotone_transform_and_any_order_change_no_bit() -> None:
    rng = np.random.default_rng(1)
    scores, wrong = np.round(rng.normal(size=300), 1), rng.random(300) < 0.3
    order = rng.permutation(300)
    found = ranking_estimates(scores, wrong, replicates=50)
    assert ranking_estimates(np.exp(scores[order]), wrong[order], replicates=50) == found


def test_counts_give_delongs_variance() -> None:
    data = simulate.ranked(np.random.default_rng(0), 0.9, 400, share=0.2)
    for scores in (data.scores, np.round(data.scores, 1)):
        x, up, *_ = canonical_rows(scores, data.positive)
        ties = tie_table(x, up)
        placed = iv.placements(x, up)
        found = ranking_sums.area_spread(ties, ranking_sums.sums(ties).auroc)
        assert found == pytest.approx(iv.area_variance(placed, up), rel=1e-9)


def test_bins_of_the_table_are_those_of_the_rows() -> None:
    for n, digits in ((300, 9), (5000, 9), (5000, 2)):
        data = simulate.ranked(np.random.default_rng(2), 0.8, n, share=0.1)
        x, up, *_ = canonical_rows(np.round(data.scores, digits), data.positive)
        bins, exact = ranking_bootstrap.score_bins(x, up)
        cells, same = ranking_bootstrap.tie_bins(tie_table(x, up))
        expected = np.bincount(2 * bins + up, minlength=2 * (int(bins[-1]) + 1)).reshape(-1, 2)
        np.testing.assert_array_equal(cells, expected)
        assert same == exact


# Intervals


def test_replicates_have_the_delta_methods_standard_error() -> None:
    from uncertain.evaluation.pair_figures import (
        generalised_risk_influence,
        risk_coverage_influence,
    )

    data = simulate.ranked(np.random.default_rng(0), 0.85, 6000, share=0.2)
    wrong = data.positive.astype(float)
    rate = wrong.mean()
    area = risk_coverage_influence(data.scores, wrong)
    influence = {
        "augrc": generalised_risk_influence(data.scores, wrong),
        "aurc": area,
        "excess_aurc": area + math.log1p(-rate) * (wrong - rate),
    }
    x, up, *_ = canonical_rows(data.scores, data.positive)
    cells, exact = ranking_bootstrap.tie_bins(tie_table(x, up))
    drawn = iv.gamma_weights(cells.ravel(), cells.ravel(), replicates=4000)
    found = ranking_bootstrap.replicate_figures(drawn.reshape(4000, -1, 2), tpr=0.95, exact=exact)
    for name, rows_ in influence.items():
        # 4,000 replicates know a standard deviation to 1.1 per cent.
        assert found[name].std() == pytest.approx(rows_.std() / 6000**0.5, rel=0.04), name
        assert abs(rows_.mean()) < 1e-12


@pytest.mark.parametrize("area", [0.7, 0.95])
def test_intervals_cover(area: float) -> None:
    """At n = 300 with an error rate of .2, the truth from the same law's quantiles."""
    gap = simulate.NORMAL.inv_cdf(area) * 2**0.5
    big = simulate.ranked(np.random.default_rng(9), area, 400_000, share=0.2)
    truth = {k: v for k, v in ranking_values(big.scores, big.positive).items() if k in SELECTIVE}
    rng = np.random.default_rng(0)
    hits = dict.fromkeys(truth, 0)
    repetitions = 50
    for seed in range(repetitions):
        wrong = rng.random(300) < 0.2
        found = ranking_estimates(
            rng.normal(size=300) + gap * wrong, wrong, replicates=100, seed=seed
        )
        for name, value in truth.items():
            hits[name] += found[name].low <= value <= found[name].high
    for name, count in hits.items():
        # 50 repetitions of 93 % lie above 82 % with 99 % chance.
        assert count / repetitions > 0.82, (name, count)


def test_no_mistake_leaves_room_for_some() -> None:
    found = ranking_estimates(np.arange(100.0), np.zeros(100, bool))
    risk = found["risk_at_80_coverage"]
    assert risk.value == risk.low == 0
    assert found["aurc"].high < risk.high < 0.06  # 80 rows say less than 100
    assert found["augrc"].high == pytest.approx(found["aurc"].high / 2)
    assert found["coverage_at_5_risk"].value == 1
    for name in ("excess_aurc", "coverage_at_5_risk"):
        assert math.isnan(found[name].low)
        assert found[name].reason == "no row is a mistake: nothing to rank"
    every = ranking_estimates(np.arange(100.0), np.ones(100, bool))
    assert every["augrc"].value == 0.5
    assert every["coverage_at_5_risk"].value == 0


def test_a_risk_that_is_never_met_still_has_doubt() -> None:
    """All bins err more than the risk asked for: replicates agree on no coverage, rows don't."""
    wrong = np.random.default_rng(0).random(4000) < 0.3
    found = ranking_estimates(np.random.default_rng(1).random(4000), wrong)["coverage_at_5_risk"]
    assert found.low == 0 <= found.value < found.high < 0.05


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(1500) < 0.3
    good = wrong + 0.5 * rng.normal(size=1500)
    found = ranking_differences(good, good + 0.3 * rng.normal(size=1500), wrong, replicates=100)
    alone = ranking_estimates(good, wrong, replicates=100)
    assert set(SELECTIVE) < set(found)
    for name in ("augrc", "excess_aurc"):
        assert found[name].high < 0
        assert found[name].margin < alone[name].margin


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: risk_at_coverage(c, coverage=0.0), r"`coverage` should lie in \(0, 1\]"),
        (lambda c: coverage_at_risk(c, risk=1.0), r"`risk` should lie in \[0, 1\)"),
    ],
)
def test_bad_points(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call(rank_curve([1.0, 2.0], [True, False]))


def test_no_rows_have_no_figures() -> None:
    curve = rank_curve([], [])
    assert math.isnan(risk_at_coverage(curve, coverage=0.5))
    assert math.isnan(coverage_at_risk(curve, risk=0.5))
    assert math.isnan(excess_area_under_risk_coverage(curve))
