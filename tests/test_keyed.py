import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain import keyed


def splitmix64(state: int) -> int:
    """One output of the published generator, in plain integers."""
    mask = 2**64 - 1
    z = state = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_mix_is_splitmix64(values: list[int]) -> None:
    found = keyed.mix(np.array(values, dtype=np.uint64))
    assert [int(x) for x in found] == [splitmix64(v) for v in values]


def test_dtype_width_does_not_matter() -> None:
    numbers = np.array([-3, 0, 7])
    np.testing.assert_array_equal(
        keyed.hash_keys(numbers.astype(np.int8)), keyed.hash_keys(numbers.astype(np.int64))
    )
    words = np.array(["ab", "c"])
    np.testing.assert_array_equal(keyed.hash_keys(words), keyed.hash_keys(words.astype("<U40")))
    np.testing.assert_array_equal(
        keyed.hash_keys(words), keyed.hash_keys(np.array(["ab", "c"], dtype=object))
    )
    raw = np.array([b"ab", b"c"])
    np.testing.assert_array_equal(keyed.hash_keys(raw), keyed.hash_keys(raw.astype("S9")))


def test_types_and_seeds_and_parts_are_told_apart() -> None:
    kinds = [
        keyed.hash_keys([1]),
        keyed.hash_keys(["1"]),
        keyed.hash_keys([b"1"]),
        keyed.hash_keys(np.array(["1970-01-01T00:00:00.000000001"], dtype="datetime64[ns]")),
        keyed.hash_keys([1], seed=1),
        keyed.hash_keys([[1, 2]]),
        keyed.hash_keys([[2, 1]]),
        keyed.hash_keys(["1a"]),
        keyed.hash_keys(["a1"]),
    ]
    assert len({int(k[0]) for k in kinds}) == len(kinds)


def test_no_collisions_among_neighbours() -> None:
    assert len(np.unique(keyed.hash_keys(np.arange(200_000)))) == 200_000


@given(st.permutations(range(12)))
def test_draws_follow_the_row(order: list[int]) -> None:
    keys = np.array([f"row {i}" for i in range(12)])
    hashes = keyed.hash_keys(keys)
    shuffled = keyed.hash_keys(keys[order])
    np.testing.assert_array_equal(
        keyed.poisson_weights(hashes, 8)[:, order], keyed.poisson_weights(shuffled, 8)
    )
    np.testing.assert_array_equal(
        keyed.exponential_weights(hashes, 8)[:, order], keyed.exponential_weights(shuffled, 8)
    )
    np.testing.assert_array_equal(
        keyed.exponentials(hashes, draw=3)[order], keyed.exponentials(shuffled, draw=3)
    )


@given(st.lists(st.sampled_from([0.0, -0.0, 0.5, 1.5]), min_size=1, max_size=10))
def test_hash_rows_is_a_set_for_any_order(values: list[float]) -> None:
    forward = keyed.hash_rows(values, [str(v + 0.0) for v in values])
    backward = keyed.hash_rows(values[::-1], [str(v + 0.0) for v in values[::-1]])
    assert sorted(forward.tolist()) == sorted(backward.tolist())
    assert len(set(forward.tolist())) == len(values)


def test_blocks_of_replicates_join() -> None:
    hashes = keyed.hash_keys(np.arange(50))
    whole = keyed.poisson_weights(hashes, 10)
    parts = [keyed.poisson_weights(hashes, 8), keyed.poisson_weights(hashes, 2, first=8)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_weights_have_mean_and_variance_one_and_no_correlation() -> None:
    hashes = keyed.hash_keys(np.arange(40_000))
    for weights in (keyed.poisson_weights(hashes, 40), keyed.exponential_weights(hashes, 40)):
        w = weights.astype(float)
        # 1.6e6 draws: the standard error of the mean is 8e-4, that of the variance below 3e-3.
        assert abs(w.mean() - 1) < 4e-3
        assert abs(w.var() - 1) < 1.2e-2
        correlation = np.corrcoef(w) - np.eye(len(w))
        assert np.abs(correlation).max() < 5 / np.sqrt(40_000)


def test_poisson_weights_have_poisson_frequencies() -> None:
    counts = keyed.poisson_weights(keyed.hash_keys(np.arange(100_000)), 4).ravel()
    for k, expected in enumerate([0.367879, 0.367879, 0.183940, 0.061313, 0.015328]):
        assert abs((counts == k).mean() - expected) < 4e-3


def test_a_race_is_a_weighted_sample() -> None:
    hashes = keyed.hash_keys(np.arange(3))
    weights = np.array([1.0, 2.0, 3.0])
    wins = np.zeros(3)
    for draw in range(6000):
        wins[np.argmin(keyed.exponentials(hashes, draw=draw) / weights)] += 1
    np.testing.assert_allclose(wins / 6000, weights / 6, atol=0.02)


def test_occurrence_of_nothing() -> None:
    assert len(keyed.occurrence(np.array([], dtype=np.uint64))) == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [([0.5], "got dtype float64"), (np.array(["a", 1], dtype=object), "objects of type int, str")],
)
def test_keys_that_cannot_be_hashed(keys: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        keyed.hash_keys(keys)


def test_bad_arguments() -> None:
    hashes = keyed.hash_keys([1, 2])
    with pytest.raises(ValueError, match="multiple of 4, got 2"):
        keyed.poisson_weights(hashes, 4, first=2)
    with pytest.raises(ValueError, match="`replicates` should lie in"):
        keyed.poisson_weights(hashes, -1)
    with pytest.raises(TypeError, match="at least one column"):
        keyed.hash_rows()
    with pytest.raises(ValueError, match="`keys` should have shape"):
        keyed.hash_keys(np.zeros((1, 1, 1), dtype=int))


@given(st.lists(st.integers(-3, 3)) | st.lists(st.sampled_from("abc")))
def test_distinct_values_are_those_of_a_set(values):
    assert keyed.count_distinct(values) == len(set(values))
