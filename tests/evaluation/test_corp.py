"""CORP: the terms add up, the isotonic regression is the libraries', infinities are said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from uncertain.evaluation.calibration_sorted import SortedRows
from uncertain.evaluation.corp import decompositions, pool, score_decomposition


def two(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1 - p, p], axis=1)


drawn_rows = st.lists(
    st.tuples(st.integers(1, 9), st.booleans(), st.integers(1, 3)), min_size=2, max_size=40
)


@settings(max_examples=40)
@given(drawn_rows)
def test_terms_add_up_and_recalibration_is_isotonic_regression(
    drawn: list[tuple[int, bool, int]],
) -> None:
    p = np.array([r[0] / 10 for r in drawn])
    y = np.array([r[1] for r in drawn])
    w = np.array([float(r[2]) for r in drawn])
    fitted = IsotonicRegression().fit(p, y, sample_weight=w).predict(p)
    average = lambda x: float(np.average(x, weights=w))  # noqa: E731
    for parts, loss in (
        (decompositions(SortedRows.of(p, y, w))["brier"], lambda q: (q - y) ** 2),
        (decompositions(SortedRows.of(p, y, w))["log"], lambda q: -np.log(np.where(y, q, 1 - q))),
    ):
        with np.errstate(divide="ignore"):
            stated, best = average(loss(p)), average(loss(fitted))
            base = average(loss(np.full(len(y), average(y))))
        assert parts.score == pytest.approx(stated)
        assert parts.miscalibration == pytest.approx(stated - best, abs=1e-9)
        assert parts.discrimination == pytest.approx(base - best, abs=1e-9)
        assert parts.uncertainty == pytest.approx(base, abs=1e-12)
        assert parts.score == pytest.approx(
            parts.miscalibration - parts.discrimination + parts.uncertainty, abs=1e-9
        )


def test_pooling_is_scipys_isotonic_regression() -> None:
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(0)
    p = rng.random(3000)
    y = rng.random(3000) < p**1.5
    order = np.argsort(p)
    size, hits = pool(np.ones(3000), y[order].astype(float))
    expected = isotonic_regression(y[order].astype(float)).x
    np.testing.assert_allclose(np.repeat(hits / size, size.astype(int)), expected, atol=1e-12)


def test_known_truth() -> None:
    """Over-confidence is miscalibration alone; a constant has no discrimination."""
    rng = np.random.default_rng(0)
    p = rng.random(40_000)
    y = (rng.random(40_000) < p).astype(int)
    honest = score_decomposition(two(p), y, mode="positive")
    assert honest["miscalibration"].value < 0.002
    assert honest["discrimination"].value == pytest.approx(1 / 12, abs=0.004)
    moved = score_decomposition(two(p**2), y, mode="positive")
    # E (p^2 - p)^2 = 1/5 - 2/4 + 1/3, and the order of rows is the same.
    assert moved["miscalibration"].value == pytest.approx(1 / 30, abs=0.003)
    assert moved["discrimination"].value == honest["discrimination"].value
    flat = score_decomposition(two(np.full(100, 0.5)), y[:100], mode="positive")
    assert flat["discrimination"].value == 0
    assert flat["uncertainty"].low < 0.25 == flat["uncertainty"].high


def test_a_certain_mistake_is_an_infinite_miscalibration_and_nothing_else() -> None:
    p = np.array([1.0, 1.0, 0.5, 0.0])
    found = score_decomposition(two(p), [0, 1, 1, 0], mode="positive", score="log")
    assert found["miscalibration"].value == math.inf
    assert found["miscalibration"].reason == "what came true had probability 0 in 1 of 4 rows"
    assert math.isfinite(found["discrimination"].value)
    assert found["uncertainty"].value == pytest.approx(math.log(2))
    tiny = score_decomposition(two(np.array([1e-30, 0.5])), [1, 0], mode="positive", score="log")
    assert math.isfinite(tiny["miscalibration"].value)


def test_any_order_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    p, y, w = np.round(rng.random(500), 2), rng.integers(0, 2, 500), rng.random(500)
    order = rng.permutation(500)
    for extra, moved in (({}, {}), ({"weights": w}, {"weights": w[order]})):
        for score in ("brier", "log"):
            found = score_decomposition(two(p), y, mode="positive", score=score, **extra)  # type: ignore[arg-type]
            again = score_decomposition(
                two(p)[order], y[order], mode="positive", score=score, **moved
            )  # type: ignore[arg-type]
            assert repr(again) == repr(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "crps"}, "`score` should be one of brier, log"),
        ({"mode": "classwise"}, "`mode` should be one of positive, top_label"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_decomposition([[0.5, 0.5]], [0], **options)  # type: ignore[arg-type]
