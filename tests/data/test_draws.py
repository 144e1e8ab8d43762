import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from uncertain.data import draws

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """SplitMix64's finaliser, in Python's own whole numbers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62), st.integers(0, 99))
def test_hashes_are_splitmix64(key, seed, stream):
    golden = 0x9E3779B97F4A7C15
    start = splitmix64(splitmix64((seed * golden + stream) & MASK) ^ (key & MASK))
    expected = [splitmix64((start + j * golden) & MASK) for j in (1, 2, 3)]
    got = draws.hashed(torch.tensor([key]), 3, seed=seed, stream=stream)[0].tolist()
    assert [value & MASK for value in got] == expected


def test_a_row_has_its_own_values_in_any_batch():
    keys = torch.randperm(100)
    whole = draws.normal(keys, 17, seed=3, stream=1)
    for rows in (slice(0, 1), slice(40, 73), torch.randperm(100)):
        assert torch.equal(draws.normal(keys[rows], 17, seed=3, stream=1), whole[rows])


def test_more_values_begin_with_the_same_ones():
    keys = torch.arange(5)
    few, many = (draws.uniform(keys, n, seed=0, stream=0) for n in (3, 9))
    assert torch.equal(many[:, :3], few)


def test_uniform_values_never_touch_the_ends_and_fill_the_interval():
    values = draws.uniform(torch.arange(200), 2000, seed=0, stream=0).flatten()
    assert 0 < values.min() < 1e-4
    assert 1 - 1e-4 < values.max() < 1
    counts = np.histogram(values.numpy(), bins=50, range=(0, 1))[0]
    # Chi-squared with 49 degrees of freedom: mean 49, deviation 9.9.
    assert ((counts - 8000) ** 2 / 8000).sum() < 49 + 5 * 9.9


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": 1}])
def test_seeds_and_streams_are_unrelated(other):
    keys = torch.arange(300)
    a = draws.normal(keys, 300, seed=0, stream=0).flatten()
    b = draws.normal(keys, 300, **{"seed": 0, "stream": 0, **other}).flatten()
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / 300
    assert abs(a.mean()) < 5 / 300
    assert abs(a.var() - 1) < 5 * 2**0.5 / 300


def test_poisson_draws_are_scipys_quantiles():
    rate = torch.linspace(0, 60, 400, dtype=torch.float64).expand(20, 400)
    keys = torch.arange(20)
    got = draws.poisson(rate, keys, seed=1, stream=2)
    uniforms = draws.uniform(keys, 400, seed=1, stream=2)
    assert np.array_equal(got.numpy(), stats.poisson.ppf(uniforms.numpy(), rate.numpy()))
