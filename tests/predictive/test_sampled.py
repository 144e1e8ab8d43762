"""Draws and quantiles as distributions, against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uncertain.predictive import Empirical, Quantiles

values = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)


@given(values, st.integers(-5, 5))
def test_empirical_cdf_counts(samples, y):
    dist = Empirical(torch.tensor(samples, dtype=torch.float64))
    assert dist.cdf(torch.tensor(float(y))).item() == pytest.approx(np.mean(np.array(samples) <= y))


@given(values, st.floats(0, 1))
def test_empirical_quantile_is_the_smallest_value_that_reaches_the_level(samples, q):
    dist = Empirical(torch.tensor(samples, dtype=torch.float64))
    level = torch.tensor(q, dtype=torch.float64)
    expected = min(v for v in samples if np.mean(np.array(samples) <= v) >= q - 1e-12)
    assert dist.icdf(level).item() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [3, 7, 10, 100])
def test_empirical_quantile_undoes_the_cdf(count, dtype):
    samples = torch.arange(count, dtype=dtype)
    dist = Empirical(samples)
    assert torch.equal(dist.icdf(dist.cdf(samples)), samples)


def test_empirical_moments():
    samples = torch.tensor([[1.0, 2.0, 6.0]])
    torch.testing.assert_close(Empirical(samples).variance, samples.var(-1, correction=0))
    torch.testing.assert_close(Empirical(samples, is_sample=True).variance, samples.var(-1))
    assert Empirical(samples).mean.item() == 3.0
    assert Empirical(samples).stddev.shape == (1,)


def test_empirical_samples_are_its_values():
    dist = Empirical(torch.tensor([[1.0, 2.0], [5.0, 6.0]]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = dist.sample((200,))
    assert draws.shape == (200, 2)
    assert set(draws[:, 0].tolist()) == {1.0, 2.0}
    assert set(draws[:, 1].tolist()) == {5.0, 6.0}
    assert dist.sample().shape == (2,)


def test_empirical_quantile_is_differentiable():
    samples = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    Empirical(samples).icdf(torch.tensor(0.5)).backward()
    assert samples.grad.tolist() == [0.0, 0.0, 1.0]


def test_empirical_refuses():
    with pytest.raises(ValueError, match="an axis of at least 1 values, got shape"):
        Empirical(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="an axis of at least 2 values"):
        Empirical(torch.zeros(3, 1), is_sample=True)
    with pytest.raises(ValueError, match="should be finite, got infinite"):
        Empirical(torch.tensor([torch.inf]))
    with pytest.raises(ValueError, match="Expected parameter samples"):
        Empirical(torch.tensor([torch.nan]))
    with pytest.raises(ValueError, match=r"`value` should lie in \[0, 1\]"):
        Empirical(torch.ones(2)).icdf(torch.tensor(1.5))
    with pytest.raises(
        NotImplementedError, match="a set of values has no density: score it by CRPS"
    ):
        Empirical(torch.ones(2)).log_prob(torch.tensor(1.0))
    with pytest.raises(NotImplementedError, match="a set of values has no density"):
        Empirical(torch.ones(2)).entropy()


LEVELS = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)


def test_quantiles_interpolate_like_numpy():
    knots = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    dist = Quantiles(LEVELS, knots)
    q = torch.linspace(0.1, 0.9, 17, dtype=torch.float64)
    np.testing.assert_allclose(dist.icdf(q), np.interp(q, LEVELS, knots), atol=1e-14)
    torch.testing.assert_close(dist.cdf(dist.icdf(q)), q)
    assert dist.cdf(torch.tensor([-2.0, 3.0], dtype=torch.float64)).tolist() == [0.0, 1.0]


def test_quantiles_with_an_atom():
    dist = Quantiles(LEVELS, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert dist.cdf(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist() == [0.4, 0.9]
    assert dist.icdf(torch.tensor(0.25, dtype=torch.float64)).item() == 0.0


def test_one_quantile_is_enough():
    dist = Quantiles(torch.tensor([0.5]), torch.tensor([[3.0], [4.0]]))
    assert dist.icdf(torch.tensor(0.5)).tolist() == [3.0, 4.0]
    assert dist.cdf(torch.tensor([3.0, 3.0])).tolist() == [0.5, 0.0]


def test_quantiles_gradient():
    knots = torch.tensor([0.0, 1.0], requires_grad=True)
    Quantiles(torch.tensor([0.25, 0.75]), knots).icdf(torch.tensor(0.5)).backward()
    torch.testing.assert_close(knots.grad, torch.tensor([0.5, 0.5]))


def test_quantiles_expand():
    wide = Quantiles(LEVELS, torch.zeros(2, 3, dtype=torch.float64)).expand((4, 2))
    assert wide.batch_shape == (4, 2)
    assert wide.icdf(torch.tensor(0.5)).shape == (4, 2)


def test_quantiles_refuse():
    three = torch.zeros(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"`levels` should have shape \(Q,\)"):
        _unchecked(LEVELS[None], three)
    with pytest.raises(ValueError, match="an axis of 3, one for each level"):
        _unchecked(LEVELS, torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"`levels` should lie in \(0, 1\)"):
        Quantiles(torch.tensor([0.0, 0.5]), torch.zeros(2))
    with pytest.raises(ValueError, match="should increase strictly"):
        Quantiles(torch.tensor([0.5, 0.5]), torch.zeros(2))
    with pytest.raises(ValueError, match="1 of 2 rows with crossing quantiles: sort them"):
        Quantiles(torch.tensor([0.2, 0.5]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    dist = Quantiles(LEVELS, three)
    with pytest.raises(ValueError, match="nothing is known beyond the outermost levels"):
        dist.icdf(torch.tensor(0.95))


@pytest.mark.parametrize("name", ["mean", "variance"])
def test_quantiles_have_no_moments(name):
    with pytest.raises(NotImplementedError, match=f"`Quantiles.{name}` is undefined, its tails"):
        getattr(Quantiles(LEVELS, torch.zeros(3)), name)


@pytest.mark.parametrize(
    ("name", "argument"), [("log_prob", [torch.tensor(0.0)]), ("entropy", []), ("sample", [])]
)
def test_quantiles_have_no_density(name, argument):
    with pytest.raises(NotImplementedError, match=f"`Quantiles.{name}` is undefined, its tails"):
        getattr(Quantiles(LEVELS, torch.zeros(3)), name)(*argument)


def _unchecked(levels, values):
    """Without the tests' shape annotations, as users run it."""
    init = Quantiles.__init__
    while hasattr(init, "__wrapped__"):
        init = init.__wrapped__
    init(Quantiles.__new__(Quantiles), levels, values)
