"""Exact sums: the standard library's `fsum` is the reference; order, batching and sharding are not seen."""

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.evaluation import exact
from uncertain.evaluation.exact import ExactSum, exact_sum

finite = st.floats(allow_nan=False, allow_infinity=False)
tame = st.floats(-1e300, 1e300)


def shards(values, cuts):
    edges = [0, *sorted(cuts), len(values)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(tame, max_size=60))
def test_total_is_the_correctly_rounded_sum(values):
    assert exact_sum(np.array(values)) == math.fsum(values)


@given(st.lists(finite, max_size=40))
def test_fraction_is_the_sum_of_fractions(values):
    assert ExactSum().update(np.array(values)).fraction() == sum(map(Fraction, values))


@given(
    st.lists(st.tuples(tame, st.integers(0, 2)), max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
    st.randoms(use_true_random=False),
)
def test_any_order_batching_and_sharding_gives_the_same_bits(rows, cuts, random):
    def state(part):
        values = np.array([row[0] for row in part], dtype=np.float64)
        return ExactSum(3).update(values, np.array([row[1] for row in part], dtype=np.int64))

    whole = state(rows)
    random.shuffle(rows)
    parts = [state(part) for part in shards(rows, [min(cut, len(rows)) for cut in cuts])]
    random.shuffle(parts)
    merged = ExactSum(3)
    for part in parts:
        merged.merge(part)
    assert merged.totals().tobytes() == whole.totals().tobytes()
    for group in range(3):
        assert whole.total(group) == math.fsum(value for value, g in rows if g == group)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1.0, 1e250])
def test_every_scale_of_float64(scale):
    values = np.random.default_rng(0).standard_normal(5000) * scale
    assert exact_sum(values) == math.fsum(values)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint8, bool])
def test_narrow_dtypes_are_widened_first(dtype):
    values = np.random.default_rng(0).integers(0, 2, 100_000).astype(dtype)
    assert exact_sum(values) == float(values.sum(dtype=np.int64))


def test_millions_of_rows_in_one_bin_lose_nothing():
    # A float32 accumulator stops at 2^24: adding 0.07 to 20 million leaves it unchanged.
    state = ExactSum(2)
    chunk, index = np.full(1 << 20, np.float32(0.93)), np.ones(1 << 20, np.int64)
    for _ in range(20):
        state.update(chunk, index)
    assert state.fraction(1) == Fraction(float(np.float32(0.93))) * (20 << 20)


def test_limbs_carry_before_they_overflow(monkeypatch):
    monkeypatch.setattr(exact, "_CARRY_AFTER", 1 << 15)
    values = np.random.default_rng(0).standard_normal(80_000) * 1e9 - 1e8
    state = ExactSum().update(values)
    assert state.total() == math.fsum(values)
    for _ in range(40):
        state.merge(ExactSum().update(-np.ones(3)))
    assert state.fraction() == sum(map(Fraction, values.tolist())) - 120
    assert len(state._limbs) < 8


def test_a_sum_beyond_float64_is_infinite_with_its_sign():
    assert exact_sum(np.full(3, 1.7e308)) == math.inf
    assert exact_sum(np.full(3, -1.7e308)) == -math.inf


def test_infinities_are_counted_apart():
    state = ExactSum(2).update(np.array([np.inf, 1.0, 2.0]), np.array([0, 0, 1]))
    assert state.infinite.tolist() == [1, 0]
    assert state.totals().tolist() == [math.inf, 2.0]
    assert state.fraction(0) == 1
    assert ExactSum().update(np.array([np.inf, 0.5, np.inf])).infinite.tolist() == [2]


def test_no_rows_sum_to_zero():
    assert exact_sum(np.array([])) == 0.0
    assert ExactSum(2).totals().tolist() == [0.0, 0.0]


def test_the_input_is_left_alone():
    values = np.array([0.1, 0.2])
    exact_sum(values)
    assert values.tolist() == [0.1, 0.2]


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_nan_and_minus_infinity_are_refused(bad):
    with pytest.raises(ValueError, match=r"`values` should be numbers above -inf, got .*1 of 3"):
        ExactSum().update(np.array([1.0, bad, 2.0]))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="`groups` should lie in"):
        ExactSum(0)
    with pytest.raises(ValueError, match="`values` should have shape"):
        ExactSum().update(np.ones((2, 2)))
    with pytest.raises(ValueError, match="`index` should give the group of each value"):
        ExactSum(2).update(np.ones(2))
    with pytest.raises(ValueError, match="`index` should have shape"):
        ExactSum(2).update(np.ones(2), np.array([0]))
    with pytest.raises(ValueError, match="`index` should lie in"):
        ExactSum(2).update(np.ones(2), np.array([0, 2]))
    with pytest.raises(ValueError, match="`other` should have 2 groups"):
        ExactSum(2).merge(ExactSum(3))


def test_a_million_values_take_milliseconds():
    values = np.random.default_rng(0).random(1_000_000)
    start = time.process_time()
    exact_sum(values)
    assert time.process_time() - start < 1  # 5 ms alone; this machine may be busy
