import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.data.card import count_duplicates, target_grid


@pytest.mark.parametrize("spacing", [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 10.0])
def test_a_grid_is_found(spacing):
    steps = np.random.default_rng(0).integers(-30, 50, size=400)
    steps[:3] = 0, 1, 3
    assert target_grid(steps * spacing) == pytest.approx(spacing)


def test_no_grid_in_real_numbers_or_where_hardly_any_value_repeats():
    rng = np.random.default_rng(0)
    repeated = np.repeat(rng.normal(size=50), 2)
    assert target_grid(repeated) is None
    assert target_grid(np.round(rng.normal(size=50), 6)) is None


@given(st.lists(st.integers(0, 5), min_size=3, max_size=40), st.data())
def test_duplicates_are_counted_as_a_double_loop_counts_them(hashes, data):
    rows = len(hashes)
    y = np.array(data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)))
    part = np.array(data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)))
    hashes = np.array(hashes)
    train, validation, test = (np.flatnonzero(part == k) for k in range(3))
    counts = count_duplicates(hashes, y, train=train, validation=validation, test=test)
    assert counts == {
        "test_in_train": sum(any(hashes[i] == hashes[j] for j in train) for i in test),
        "test_in_train_same_target": sum(
            any(hashes[i] == hashes[j] and y[i] == y[j] for j in train) for i in test
        ),
        "validation_in_train": sum(any(hashes[i] == hashes[j] for j in train) for i in validation),
    }
