"""Bins: edges have the last word, ties stay together, states merge to the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uncertain.evaluation.calibration_bins import (
    ClasswiseState,
    ReliabilityState,
    bin_index,
    bin_table,
    equal_mass_edges,
    equal_width_edges,
)

unit = st.floats(0, 1)


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10, 15, 100, 1000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_bin_is_closed_below_and_open_above_and_one_is_in_the_last(bins, dtype):
    edges = equal_width_edges(bins)
    exact = edges.astype(dtype)
    near = np.concatenate([exact, np.nextafter(exact, dtype(0)), np.nextafter(exact, dtype(1))])
    index = bin_index(near, edges)
    x = near.astype(np.float64)
    assert np.all(edges[index] <= x)
    assert np.all((x < edges[index + 1]) | (index == bins - 1))
    assert bin_index(np.array([1.0], dtype), edges).tolist() == [bins - 1]


@given(st.lists(unit, min_size=1, max_size=50), st.integers(1, 20))
def test_equal_width_bins_count_the_edges_below(values, bins):
    edges = equal_width_edges(bins)
    slow = [sum(edge <= value for edge in edges[1:-1]) for value in values]
    assert bin_index(np.array(values), edges).tolist() == slow


@given(st.lists(st.sampled_from(list(np.linspace(0.5, 1, 7))), min_size=1, max_size=60))
def test_equal_mass_bins_keep_ties_together_and_none_is_empty(values):
    x = np.array(values)
    edges = equal_mass_edges(x, 5)
    index = bin_index(x, edges)
    for value in set(values):
        assert len(set(index[x == value])) == 1
    assert np.bincount(index, minlength=len(edges) - 1).min() > 0
    assert np.all(np.diff(index[np.argsort(x)]) >= 0)


@pytest.mark.parametrize("n", [15, 16, 29, 1000])
def test_equal_mass_bins_without_ties_differ_by_at_most_one_row(n):
    x = np.random.default_rng(0).random(n)
    count = bin_table(x, x > 0.5, equal_mass_edges(x, 15)).count
    assert len(count) == 15
    assert count.max() - count.min() <= 1


def test_a_table_is_what_a_loop_over_bins_says():
    rng = np.random.default_rng(0)
    p, w = rng.random(500), rng.random(500)
    y = rng.random(500) < p
    for weights in (None, w):
        table = bin_table(p, y, equal_width_edges(8), weights=weights)
        v = np.ones(500) if weights is None else weights
        for b in range(8):
            kept = (p >= b / 8) & (p < (b + 1) / 8)
            assert table.count[b] == kept.sum()
            wanted = [
                v[kept].sum(),
                (v[kept] ** 2).sum(),
                np.average(p[kept], weights=v[kept]),
                np.average(y[kept], weights=v[kept]),
                (v * (p - y))[kept].sum() / v.sum(),
                np.average((p * (1 - p))[kept], weights=v[kept]),
            ]
            columns = table.weight, table.squared_weight, table.confidence
            columns += table.frequency, table.gap, table.null_variance
            assert [column[b] for column in columns] == pytest.approx(wanted, rel=1e-12)
        assert table.share.sum() == pytest.approx(1)


def test_empty_bins_are_nan_and_left_out_of_the_filled_table():
    table = bin_table([0.1, 0.9], [False, True], equal_width_edges(4))
    assert np.isnan(table.confidence).tolist() == [False, True, True, False]
    assert table.gap[1:3].tolist() == [0, 0]
    assert table.filled().count.tolist() == [1, 1]
    assert table.rows == 2


@settings(max_examples=50)
@given(
    st.lists(st.tuples(unit, st.booleans(), st.floats(0.01, 9)), min_size=1, max_size=40),
    st.integers(0, 40),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_batching_order_and_sharding_gives_the_same_bits(rows, cut, weighted, random):
    edges = equal_width_edges(15)

    def state(part):
        p, y, w = (np.array([row[k] for row in part], dtype) for k, dtype in enumerate("d?d"))
        return ReliabilityState(edges).update(p, y, weights=w if weighted else None)

    whole = state(rows).compute()
    random.shuffle(rows)
    parts = [state(rows[:cut]), state(rows[cut:])]
    random.shuffle(parts)
    merged = parts[0].merge(parts[1]).compute()
    for name in vars(whole):
        assert getattr(whole, name).tobytes() == getattr(merged, name).tobytes()


def test_classwise_tables_are_those_of_each_class_alone():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), 200).astype(np.float32), rng.integers(0, 3, 200)
    edges = equal_width_edges(5)
    first = ClasswiseState(3, edges).update(p[:77], y[:77])
    tables = first.merge(ClasswiseState(3, edges).update(p[77:], y[77:])).compute()
    for c, table in enumerate(tables):
        alone = bin_table(p[:, c], y == c, edges)
        assert np.array_equal(table.gap, alone.gap)


def test_bad_input_is_named():
    edges = equal_width_edges(3)
    with pytest.raises(ValueError, match="`bins` should lie in"):
        equal_width_edges(0)
    with pytest.raises(ValueError, match="`bins` should lie in"):
        equal_mass_edges([0.5], 0)
    with pytest.raises(ValueError, match="`edges` should have shape"):
        ReliabilityState(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"`len\(edges\)` should lie in"):
        ReliabilityState(np.ones(1))
    with pytest.raises(ValueError, match="`confidence` should lie in"):
        bin_table([1.5], [True], edges)
    with pytest.raises(ValueError, match="`confidence` should lie in"):
        bin_table([np.nan], [True], edges)
    with pytest.raises(ValueError, match="as many rows as each other"):
        bin_table([0.5], [True, False], edges)
    state = ReliabilityState(edges).update([0.5], [True])
    with pytest.raises(ValueError, match="in every update or in none"):
        state.update([0.5], [True], weights=[1.0])
    with pytest.raises(ValueError, match="in every update or in none"):
        state.merge(ReliabilityState(edges).update([0.5], [True], weights=[1.0]))
    with pytest.raises(ValueError, match="`other` should have the same edges"):
        state.merge(ReliabilityState(equal_width_edges(4)))
