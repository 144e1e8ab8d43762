"""SCOD cost: by listing orders of ties, by its law, and covered by its interval."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.evaluation.cases import classifier
from tests.evaluation.simulate import NORMAL
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.scod import scod_cost


def slow(
    scores: NDArray[np.float64], wrong: NDArray[np.bool_], strange: NDArray[np.bool_], kept: int
) -> float:
    """Mean over the orders of ties: accept until ``kept`` in-distribution rows are, then stop."""
    costs = []
    for order in map(np.array, itertools.permutations(range(len(scores)))):
        if (np.diff(scores[order]) < 0).any():
            continue
        inside = np.cumsum(~strange[order])
        costs.append(wrong[order][(inside <= kept) & ~strange[order]].sum() / (~strange).sum() / 2)
    return float(np.mean(costs))


rows = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=6)


@settings(max_examples=30, phases=[Phase.explicit, Phase.generate])
@given(rows, st.integers(1, 5))
def test_mistakes_are_averaged_over_the_orders_of_ties(
    drawn: list[tuple[int, bool]], kept: int
) -> None:
    scores = np.array([*(r[0] for r in drawn), 9.0])
    wrong = np.array([*(r[1] for r in drawn), False])
    strange = np.arange(len(scores)) == len(scores) - 1
    kept = min(kept, len(drawn))
    found = scod_cost(scores, wrong, strange, rejected=1 - kept / len(drawn), replicates=10)
    # The strange row lies above every other, and is not accepted.
    assert found.value == pytest.approx(slow(scores, wrong, strange, kept), abs=1e-9)


def test_known_truth_and_coverage() -> None:
    """Normal scores; a mistake one standard deviation up, a strange row two; b = 5 %."""
    share, grid = 0.2, np.linspace(-8, 10, 20_001)
    cdf = np.array([NORMAL.cdf(t) for t in grid])
    shifted = np.interp(grid - 1, grid, cdf)
    t = np.interp(0.95, (1 - share) * cdf + share * shifted, grid)
    truth = 0.5 * share * NORMAL.cdf(t - 1) + 0.5 * NORMAL.cdf(t - 2)
    rng, hits, runs = np.random.default_rng(0), 0, 60
    for seed in range(runs):
        strange = np.arange(500) >= 300
        wrong = (rng.random(500) < share) & ~strange
        found = scod_cost(
            rng.normal(size=500) + wrong + 2 * strange, wrong, strange, replicates=100, seed=seed
        )
        hits += found.low <= truth <= found.high
    assert hits / runs > 0.85  # 93 % of 60 lie above 85 % with 98 % chance


def test_order_copies_and_the_number_of_strange_rows_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    x, wrong = np.round(rng.normal(size=200), 1), rng.random(200) < 0.3
    strange = np.arange(200) >= 120
    found = scod_cost(x, wrong, strange, replicates=50)
    order = rng.permutation(200)
    assert scod_cost(x[order], wrong[order], strange[order], replicates=50) == found
    twice = np.concatenate([np.arange(200), np.flatnonzero(strange)])
    assert scod_cost(x[twice], wrong[twice], strange[twice]).value == pytest.approx(found.value)
    doubled = scod_cost(x, wrong, strange, weights=np.where(strange, 3.0, 1.0))
    assert doubled.value == pytest.approx(found.value)
    grouped = scod_cost(x, wrong, strange, groups=np.arange(200) // 4)
    assert grouped.value == found.value
    assert grouped.n_groups == 50


def test_no_cost_leaves_room_and_a_missing_side_is_undefined() -> None:
    x = np.arange(100.0)
    perfect = scod_cost(x, np.zeros(100, bool), x >= 50)
    assert perfect.value == 0 < perfect.high < 0.1
    assert scod_cost(x, x < 0, x < 0).reason == "no strange rows"
    assert scod_cost(x, x < 0, x >= 0).reason == "no in-distribution rows"


def test_infinite_scores_are_in_order_and_nan_is_not() -> None:
    found = scod_cost([-np.inf, 0.0, np.inf], [0, 1, 0], [0, 0, 1], rejected=0.5, replicates=10)
    assert found.value == 0
    with pytest.raises(ValueError, match="a NaN has no rank"):
        scod_cost([np.nan, 1.0], [0, 0], [0, 1])


def test_the_judge_reports_it() -> None:
    cases = [
        classifier(100, noise=1.0),
        classifier(80, labels_seed=9, labelled=False, split="ood:x"),
    ]
    (row,) = evaluate(cases, replicates=100).select(metric="scod_cost", variant="ood:x:msp")
    assert (row.split, row.n) == ("ood:x", 180)
    assert row.low < row.value < row.high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rejected": 1.0}, r"`rejected` should lie in \[0, 1\)"),
        ({"strange_cost": 1.5}, "`strange_cost` should lie in"),
        ({"replicates": 1}, "`replicates` should lie in"),
        ({"groups": [1]}, "as many rows"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scod_cost([1.0, 2.0], [0, 1], [0, 1], **options)  # type: ignore[arg-type]
