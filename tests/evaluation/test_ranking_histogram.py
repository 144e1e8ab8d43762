"""Counts of scores: exact where they can be, enclosed where not, and the same from any pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncertain.evaluation import ranking_histogram
from uncertain.evaluation.ranking import ranking_estimates, ranking_values
from uncertain.evaluation.ranking_histogram import RankHistogram
from uncertain.evaluation.score_keys import LAYOUTS, score_words, scores_of

QUICK = {"replicates": 50}


def sample(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return rng.normal(size=n) + positive, positive


def bits_of(scores: np.ndarray) -> np.ndarray:
    """Scores rounded to bfloat16, as uint16."""
    return torch.tensor(scores).bfloat16().view(torch.int16).numpy().view(np.uint16)


def as_type(scores: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scores in a 16-bit type, and the same values in float64."""
    if dtype == "bfloat16":
        return bits_of(scores), torch.tensor(scores).bfloat16().double().numpy()
    if dtype.endswith("int16"):
        whole = np.round(scores * 1000 + (20_000 if dtype == "uint16" else 0)).astype(dtype)
        return whole, whole.astype(np.float64)
    half = scores.astype(np.float16)
    return half, half.astype(np.float64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int16", "uint16"])
def test_sixteen_bits_give_the_bits_of_the_rows(dtype: str) -> None:
    scores, positive = sample()
    stored, values = as_type(scores, dtype)
    state = RankHistogram("bfloat16" if dtype == "bfloat16" else None)
    for part in np.array_split(np.random.default_rng(1).permutation(len(scores)), 7):
        state.update(stored[part], positive[part])
    assert state.is_exact
    assert len(state) == len(scores)
    assert state.compute(**QUICK) == ranking_estimates(values, positive, **QUICK)
    exact = ranking_values(values, positive)
    assert state.enclosures() == {name: (value, value) for name, value in exact.items()}


@pytest.mark.parametrize("one_class", [False, True])
def test_one_class_is_undefined_as_in_memory(one_class: bool) -> None:
    scores = sample(50)[0].astype(np.float16)
    positive = np.full(50, one_class)
    found = RankHistogram().update(scores, positive).compute(**QUICK)
    expected = ranking_estimates(scores, positive, **QUICK)
    assert repr(found) == repr(expected)
    assert RankHistogram().compute(**QUICK)["auroc"].reason == "no rows"
    wide = RankHistogram().update(scores.astype(float) * math.pi, positive).compute(**QUICK)
    assert math.isnan(wide["auroc"].value)


def test_a_torch_tensor_of_bfloat16_is_read() -> None:
    scores, positive = sample(500)
    tensor = torch.tensor(scores).bfloat16().requires_grad_()
    one = RankHistogram().update(tensor, positive)
    other = RankHistogram("bfloat16").update(bits_of(scores), positive)
    assert one.dtype == "bfloat16"
    assert one.compute(**QUICK) == other.compute(**QUICK)
    single = RankHistogram().update(torch.tensor(scores).float(), positive)
    assert single.dtype == "float32"


def test_wide_scores_that_need_few_bits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_histogram, "MAX_CELLS", 1 << 17)
    scores, positive = sample()
    half = scores.astype(np.float16).astype(np.float32)
    state = RankHistogram().update(half, positive)
    assert state.is_exact
    assert state.compute(**QUICK) == ranking_estimates(half, positive, **QUICK)


def equal(one: RankHistogram, other: RankHistogram) -> bool:
    pairs = zip(one.cells(), other.cells(), strict=True)
    return one.is_exact == other.is_exact and all(np.array_equal(a, b) for a, b in pairs)


awkward = st.sampled_from([0.0, -0.0, 1e-310, -1e-310, np.inf, -np.inf, 1e308, -3.5])
rows = st.lists(
    st.tuples(st.one_of(awkward, st.floats(allow_nan=False)), st.booleans()), max_size=60
)


@settings(max_examples=60)
@given(rows, st.sampled_from(["float32", "float64"]), st.integers(2, 12), st.randoms())
def test_any_pieces_give_the_same_cells(drawn, dtype, log_cells, random) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        patch.setattr(ranking_histogram, "MAX_CELLS", 1 << max(log_cells, 10))
        scores = np.array([s for s, _ in drawn], dtype=dtype)
        positive = np.array([p for _, p in drawn], dtype=bool)
        whole = RankHistogram(dtype).update(scores, positive)
        order = list(range(len(drawn)))
        random.shuffle(order)
        states = [RankHistogram(dtype) for _ in range(3)]
        for i in order:
            states[random.randrange(3)].update(scores[i : i + 1], positive[i : i + 1])
        random.shuffle(states)
        joined = states[0].merge(states[1]).merge(states[2])
        assert equal(whole, joined)
        values, negatives, positives = whole.cells()
        assert (np.diff(values) > 0).all() or not whole.is_exact
        assert negatives.sum() + positives.sum() == len(drawn)
        if whole.is_exact:
            assert set(values) == {float(s) + 0.0 for s in scores}


@settings(max_examples=60)
@given(rows, st.integers(10, 13))
def test_figures_of_the_rows_are_enclosed(drawn, log_cells) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking_histogram, "MAX_CELLS", 1 << log_cells)
        scores = np.array([s for s, _ in drawn], dtype=np.float64)
        positive = np.array([p for _, p in drawn], dtype=bool)
        ends = RankHistogram().update(scores, positive).enclosures()
        for name, value in ranking_values(scores, positive).items():
            low, high = ends[name]
            assert math.isnan(value) or low <= value <= high, name


def test_the_bound_is_said_and_widens_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_histogram, "MAX_CELLS", 1 << 9)
    scores, positive = sample()
    state = RankHistogram().update(scores, positive)
    exact = ranking_estimates(scores, positive, **QUICK)
    found = state.compute(**QUICK)
    for name, (low, high) in state.enclosures().items():
        e = found[name]
        assert e.value == pytest.approx((low + high) / 2)
        assert f"within {(high - low) / 2:.1e} of the figure of the rows" in e.reason
        assert low <= exact[name].value <= high
        assert e.low <= e.value <= e.high
        width = exact[name].high - exact[name].low
        assert e.high - e.low >= 0.9 * width + 0.9 * (high - low) or e.high == 1 or e.low == 0


def test_a_state_stays_below_its_limit() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=20_000) * 10.0 ** rng.integers(-300, 300, 20_000)
    half = rng.normal(size=20_000).astype(np.float16)
    for scores in (spread, rng.random(20_000, dtype=np.float32), half):
        state = RankHistogram().update(scores, rng.random(20_000) < 0.5)
        assert state.nbytes < 8.5 * 2**20
        assert len(state) == 20_000


@pytest.mark.parametrize("dtype", list(LAYOUTS))
def test_words_are_the_scores(dtype: str) -> None:
    values = np.array([0, 1, 2, 3, 1000])
    stored = bits_of(values.astype(float)) if dtype == "bfloat16" else values.astype(dtype)
    words, found = score_words(stored, "bfloat16" if dtype == "bfloat16" else None)
    assert found == dtype
    expected = np.array([0, 1, 2, 3, 1000])
    assert scores_of(words, found).tolist() == expected.tolist()


def test_errors() -> None:
    state = RankHistogram()
    with pytest.raises(
        TypeError,
        match=r"`scores` should be one of float16, .*, got int64: convert them to float64",
    ):
        state.update([1, 2], [True, False])
    with pytest.raises(ValueError, match="`dtype` should be one of"):
        score_words(np.zeros(2, np.uint16), "float8")
    with pytest.raises(ValueError, match="`dtype` should be one of"):
        RankHistogram("float8")
    with pytest.raises(ValueError, match="`scores` should have no NaN, got 1 of 2"):
        state.update([0.0, np.nan], [True, False])
    with pytest.raises(ValueError, match="`scores` should have no NaN, got 1 of 1"):
        RankHistogram("bfloat16").update(np.array([0x7FC0], np.uint16), [True])
    with pytest.raises(ValueError, match="should have as many rows as each other"):
        state.update([0.0], [True, False])
    with pytest.raises(ValueError, match="`positive` should hold only 0 and 1"):
        state.update([0.0], [2])
    with pytest.raises(ValueError, match="`positive` should have shape"):
        state.update([0.0], [[True]])
    state.update([0.5], [True])
    with pytest.raises(TypeError, match="`scores` should be float64, got float32: convert them"):
        state.update(np.zeros(1, np.float32), [True])
    with pytest.raises(TypeError, match="`other` should hold float64 scores, got float16"):
        state.merge(RankHistogram().update(np.zeros(1, np.float16), [True]))
    assert len(state.merge(RankHistogram())) == 1
    assert len(RankHistogram().merge(state)) == 1
