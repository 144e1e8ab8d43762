import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.data import partition


def test_equal_rows_have_equal_hashes_and_others_do_not():
    x = np.random.default_rng(0).normal(size=(50, 3))
    x = np.concatenate([x, x[:7]])
    hashes = partition.row_hashes(x)
    assert np.array_equal(hashes[50:], hashes[:7])
    assert len(np.unique(hashes)) == 50


def test_byte_rows_hash_by_value_whatever_the_strides():
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(
        partition.row_hashes(x[:, :, ::2]), partition.row_hashes(x[:, :, ::2].copy())
    )


def test_a_group_is_named_by_its_first_row():
    assert partition.duplicate_groups(np.array([4, 4, 1, 9, 1])).tolist() == [0, 0, 2, 3, 2]


def test_strata_are_classes_or_tenths():
    labels = np.array([1, 0, 2])
    assert partition.strata_of(labels, np.arange(3)).tolist() == [1, 0, 2]
    tenths = partition.strata_of(np.arange(100.0), np.arange(100))
    assert np.bincount(tenths).tolist() == [10] * 10


def test_a_group_has_one_stratum():
    groups = np.array([0, 0, 1, 1, 2])
    assert partition.strata_of(np.array([1, 2, 0, 0, 2]), groups).tolist() == [1, 1, 0, 0, 2]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_groups_stay_whole_and_the_share_is_met_within_half_a_group(sizes, share, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    strata = groups % 3
    chosen = partition.choose(groups, strata, share=share, seed=seed)
    assert all(len(set(chosen[groups == g])) == 1 for g in range(len(sizes)))
    assert abs(chosen.sum() - share * len(groups)) <= max(sizes) / 2 + 1e-9
    for stratum in np.unique(strata):
        inside = strata == stratum
        assert abs(chosen[inside].sum() - share * inside.sum()) <= max(sizes) + 1e-9


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(1)
    groups, order = rng.permutation(200), rng.permutation(200)
    strata = groups % 4
    chosen = partition.choose(groups, strata, share=0.3, seed=5)
    again = partition.choose(groups[order], strata[order], share=0.3, seed=5)
    assert np.array_equal(chosen[order], again)


def test_seeds_choose_otherwise_and_every_row_is_chosen_about_equally_often():
    groups, strata = np.arange(200), np.arange(200) % 2
    often = sum(
        partition.choose(groups, strata, share=0.25, seed=seed).astype(float) for seed in range(400)
    )
    # Binomial(400, 1/4): five standard deviations are 43.
    assert np.abs(often - 100).max() < 48


@pytest.mark.parametrize(("share", "rows"), [(0.0, 0), (1.0, 10)])
def test_all_or_nothing(share, rows):
    assert partition.choose(np.arange(10), np.zeros(10, int), share=share, seed=0).sum() == rows
