"""Enclosures hold for every order inside the cells, and the ends that are said to be reached are."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.evaluation.ranking_bounds import enclosures
from uncertain.evaluation.ranking_sort import count_rows
from uncertain.evaluation.ranking_sums import Ties, figures

rows = st.lists(st.tuples(st.integers(0, 11), st.booleans()), min_size=1, max_size=40)


def table(scores: np.ndarray, positive: np.ndarray) -> Ties:
    found = count_rows(scores.astype(np.float64), positive)
    return Ties(found.up, found.down, len(scores))


@given(rows, st.sampled_from([1, 2, 3, 6, 12]), st.sampled_from([0.5, 0.95, 1.0]))
def test_the_rows_figures_are_enclosed(
    drawn: list[tuple[int, bool]], width: int, tpr: float
) -> None:
    scores = np.array([s for s, _ in drawn])
    positive = np.array([p for _, p in drawn])
    exact = figures(table(scores, positive), tpr=tpr)
    found = enclosures(table(scores // width, positive), tpr=tpr)
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        low, high = found[name]
        if math.isnan(value):
            assert math.isnan(low)
            assert math.isnan(high)
        else:
            assert low <= value <= high, name


def every_order(up: int, down: int) -> dict[str, list[float]]:
    """Every figure for every order, ties included, of one cell between clean ones."""
    values: dict[str, list[float]] = {}
    rest = [(9, True)] * 2 + [(-9, False)] * 3
    for places in itertools.product(range(up + down), repeat=up + down):
        inside = [(place, k < up) for k, place in enumerate(places)]
        scores, positive = (np.array(x) for x in zip(*rest, *inside, strict=True))
        for name, value in figures(table(scores, positive), tpr=0.7).items():
            values.setdefault(name, []).append(value)
    return values


@pytest.mark.parametrize(("up", "down"), [(2, 2), (3, 1), (1, 3)])
def test_no_order_leaves_the_enclosure_and_some_reach_its_ends(up: int, down: int) -> None:
    seen = every_order(up, down)
    cells = Ties(np.array([0, up, up + 2]), np.array([3, 3 + down, 3 + down]), 5 + up + down)
    found = enclosures(cells, tpr=0.7)
    for name, (low, high) in found.items():
        assert low <= min(seen[name]), name
        assert max(seen[name]) <= high, name
    for name in ("auroc", "augrc"):
        assert found[name] == pytest.approx((min(seen[name]), max(seen[name])), abs=1e-9), name
    assert found["aupr_positive"][1] == pytest.approx(max(seen["aupr_positive"]), abs=1e-9)


def test_narrow_cells_have_narrow_enclosures() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(20_000) < 0.3
    scores = np.floor((rng.normal(size=20_000) + positive) * 1000)
    for name, (low, high) in enclosures(table(scores, positive)).items():
        assert high - low < 0.02, name


def test_cells_of_one_class_say_all_but_the_ties() -> None:
    cells = Ties(np.array([0, 3]), np.array([4, 4]), 7)
    found = enclosures(cells)
    for name in ("auroc", "aurc", "augrc", "fpr95_positive"):
        assert found[name][1] - found[name][0] < 1e-11, name


def test_no_rows() -> None:
    empty = np.empty(0, np.int64)
    assert all(
        math.isnan(end) for ends in enclosures(Ties(empty, empty, 0)).values() for end in ends
    )
