"""Batches and draws follow from the seed and the step."""

import random

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given, settings

from uncertain.fit.sampling import Sampler, key, preserved_generators, seed_draws, seed_python


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**40), st.integers(1, 3))
def test_every_row_comes_once_an_epoch(length, batch_size, seed, epochs):
    sampler = Sampler(length, batch_size, seed, None)
    size = min(batch_size, length)
    steps = epochs * length  # a whole number of epochs
    index = torch.cat([sampler.index(step) for step in range(steps)])
    assert len(index) == size * steps
    for epoch in index.split(length):
        assert sorted(epoch.tolist()) == list(range(length))


@given(st.lists(st.integers(0, 200), max_size=20))
@settings(max_examples=20)
def test_a_step_does_not_depend_on_those_before(steps):
    fresh = lambda: Sampler(17, 5, 3, None)  # noqa: E731
    visited = fresh()
    for step in steps:
        assert torch.equal(visited.index(step), fresh().index(step))


def test_epochs_and_seeds_differ():
    sampler = Sampler(50, 25, 0, None)
    first, second = (torch.cat([sampler.index(s), sampler.index(s + 1)]) for s in (0, 2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[:25], Sampler(50, 25, 1, None).index(0))


def test_shuffles_are_uniform():
    """Each of the six orders of three rows comes about as often: chi-square below its 99.9 %."""
    counts = dict.fromkeys([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)], 0)
    for seed in range(3000):
        sampler = Sampler(3, 1, seed, None)
        counts[tuple(int(sampler.index(step)) for step in range(3))] += 1
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 20.5


def test_rows_without_weight_never_come():
    sampler = Sampler(6, 2, 0, torch.tensor([0, 1.0, 0, 2.0, 1.0, 0]))
    index = torch.cat([sampler.index(step) for step in range(3)])
    assert sorted(index.tolist()) == [1, 1, 3, 3, 4, 4]


@given(st.integers(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_keys_fit_a_generator_and_differ(seed, one, other):
    assert 0 <= key(seed, one) < 2**63
    torch.Generator().manual_seed(key(seed, one))
    assert (key(seed, one) == key(seed, other)) == (one == other)


def test_seeding_is_torchs():
    cpu = torch.device("cpu")
    with preserved_generators(cpu):
        seed_draws(77, cpu)
        ours = torch.rand(4)
        torch.manual_seed(77)
        assert torch.equal(ours, torch.rand(4))


def test_generators_are_put_back():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    with preserved_generators(torch.device("cpu")):
        seed_python(3)
        torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])
