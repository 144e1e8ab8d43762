"""torch against the table of families, for every family in every shape."""

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Gamma,
    Independent,
    LogNormal,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from tests.predictive import cases
from uncertain import families
from uncertain.predictive import (
    Empirical,
    cdf,
    entropy,
    log_prob,
    mixture,
    parts,
    quantile,
    to_arrays,
)

LEVELS = torch.tensor([0.15, 0.5, 0.85], dtype=torch.float64)


def tolerance(dtype):
    return (
        {"rtol": 1e-12, "atol": 1e-12} if dtype is torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    )


def check(ours, function, d, *args, dtype):
    """Both answer alike, or both say that it is undefined."""
    try:
        expected = function(d, *args)
    except TypeError:
        with pytest.raises((TypeError, NotImplementedError), match=r".{20}"):
            ours()
        return
    result = ours()
    assert result.dtype == dtype
    np.testing.assert_allclose(result.double().numpy(), expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", cases.NAMES)
def test_agrees_with_the_table_of_families(name, dtype):
    dist, y = cases.everything(dtype)[name], cases.targets(name, dtype)
    d = to_arrays(dist)
    check(lambda: log_prob(dist, y), families.log_prob, d, y.numpy(), dtype=dtype)
    check(lambda: cdf(dist, y), families.cdf, d, y.numpy(), dtype=dtype)
    check(lambda: entropy(dist), families.entropy, d, dtype=dtype)
    for level in LEVELS.tolist():
        if dtype is torch.float32 and name.startswith(("poisson", "negative", "empirical")):
            continue  # A step function: a level in float32 is another level.
        check(lambda q=level: quantile(dist, q), families.quantile, d, level, dtype=dtype)


@pytest.mark.parametrize("name", ["normal", "student_t mixture", "quantiles", "empirical mixture"])
def test_several_levels_at_once(name):
    dist = cases.everything()[name]
    together = quantile(dist, LEVELS[:, None])
    assert together.shape == (3, cases.N)
    for row, level in zip(together, LEVELS.tolist(), strict=True):
        torch.testing.assert_close(row, quantile(dist, level))


@pytest.mark.parametrize("name", ["student_t", "normal mixture", "poisson"])
def test_any_batch_and_sample_shape(name):
    single = name.split()[0]
    grid = cases.single(single, 2, 3, dtype=torch.float64)
    if "mixture" in name:
        grid = mixture(cases.single(single, 2, 3, cases.S))
    y = torch.arange(24.0, dtype=torch.float64).reshape(4, 2, 3) % 5
    assert log_prob(grid, y).shape == (4, 2, 3)
    values = cdf(grid, y)
    assert values.shape == (4, 2, 3)
    torch.testing.assert_close(values[1], cdf(grid, y[1]))
    torch.testing.assert_close(cdf(grid, torch.tensor(1.0, dtype=torch.float64)).shape, (2, 3))


GRADIENTS = [name for name in cases.NAMES if not name.startswith(("empirical", "quantiles"))]


@pytest.mark.parametrize("name", GRADIENTS)
def test_log_prob_has_the_gradient_of_its_values(name):
    dist, y = cases.everything()[name], cases.targets(name)
    whole = parts(dist)
    moving = {k: v for k, v in whole.tensors.items() if not k.startswith("mixture.")}
    leaves = {k: v.detach().clone().requires_grad_() for k, v in moving.items()}

    def score(*values):
        tensors = dict(whole.tensors) | dict(zip(leaves, values, strict=True))
        return log_prob(whole.build(tensors), y).sum()

    gradients = torch.autograd.grad(score(*leaves.values()), tuple(leaves.values()))
    step = 1e-6
    generator = torch.Generator().manual_seed(0)
    for i, (key, leaf) in enumerate(leaves.items()):
        direction = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
        if key.endswith("scale_tril"):
            direction = direction.tril()
        values = [v.detach() for v in leaves.values()]
        up, down = list(values), list(values)
        up[i], down[i] = values[i] + step * direction, values[i] - step * direction
        numeric = (score(*up) - score(*down)) / (2 * step)
        exact = (gradients[i] * direction).sum()
        torch.testing.assert_close(numeric, exact, rtol=1e-4, atol=1e-6)


def test_small_probabilities_are_not_clamped_in_float32():
    logits = torch.tensor([[0.0, -46.0]])
    for dist in (Categorical(logits=logits), Categorical(probs=logits.exp()).expand((1,))):
        assert log_prob(dist, torch.tensor([1])).item() == pytest.approx(-46.0, abs=1e-4)
    tiny = torch.tensor([1e-20])
    assert log_prob(Bernoulli(probs=tiny), torch.ones(1)).item() == pytest.approx(
        -46.0517, abs=1e-3
    )
    value = log_prob(NegativeBinomial(torch.ones(1), probs=tiny), torch.ones(1))
    assert value.item() == pytest.approx(-46.0517, abs=1e-3)


def test_impossible_classes_score_minus_infinity_without_nan():
    probs = torch.tensor([[1.0, 0.0]], requires_grad=True)
    dist = mixture(Categorical(probs=probs.expand(2, 2), validate_args=False))
    assert log_prob(dist, torch.tensor(1)).item() == -torch.inf
    log_prob(dist, torch.tensor(0)).backward()
    assert torch.isfinite(probs.grad).all()


def test_negative_binomial_of_no_successes():
    dist = NegativeBinomial(torch.zeros(1), probs=torch.tensor([0.3]))
    assert log_prob(dist, torch.zeros(1)).item() == 0.0


def test_lower_tails_keep_their_digits():
    z = torch.tensor([-20.0], dtype=torch.float64)
    value = cdf(Normal(torch.zeros(1, dtype=torch.float64), 1.0), z)
    assert value.item() == pytest.approx(2.753624118606234e-89, rel=1e-10, abs=0)
    torch.testing.assert_close(quantile(Normal(torch.zeros_like(z), 1.0), value), z)


def test_log_normal_below_zero():
    dist = LogNormal(torch.zeros(2), 1.0)
    assert cdf(dist, torch.tensor([-1.0, 0.0])).tolist() == [0.0, 0.0]


def test_poisson_below_zero():
    assert cdf(Poisson(torch.ones(1)), torch.tensor([-1.0])).item() == 0.0


def test_families_that_the_table_does_not_know_use_torch():
    dist = Gamma(torch.tensor([2.0]), torch.tensor([1.0]))
    y = torch.tensor([1.5])
    torch.testing.assert_close(log_prob(dist, y), dist.log_prob(y))
    torch.testing.assert_close(cdf(dist, y), dist.cdf(y))
    torch.testing.assert_close(entropy(dist), dist.entropy())


def test_independent_over_nothing_is_the_base():
    base = Normal(torch.zeros(2), 1.0)
    same = Independent(base, 0)
    torch.testing.assert_close(log_prob(same, torch.ones(2)), base.log_prob(torch.ones(2)))
    torch.testing.assert_close(entropy(same), base.entropy())


@pytest.mark.parametrize("function", [cdf, quantile])
def test_unordered_and_joint_are_refused(function):
    with pytest.raises(TypeError, match="classes have no order: take `class_probs`"):
        function(Categorical(torch.ones(1, 2)), torch.tensor(0.5))
    with pytest.raises(TypeError, match=r"take `marginals\(dist\)`"):
        function(MultivariateNormal(torch.zeros(1, 2), torch.eye(2)), torch.tensor(0.5))
    with pytest.raises(TypeError, match=r"take `marginals"):
        function(mixture(MultivariateNormal(torch.zeros(1, 2, 2), torch.eye(2))), torch.tensor(0.5))


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_levels_outside_the_unit_interval(level):
    with pytest.raises(ValueError, match=r"`q` should lie in \[0, 1\]"):
        quantile(StudentT(torch.ones(1)), level)


def test_targets_outside_the_support():
    with pytest.raises(ValueError, match="support"):
        log_prob(Categorical(torch.ones(1, 2)), torch.tensor([2]))
    with pytest.raises(ValueError, match="support"):
        log_prob(mixture(Bernoulli(torch.full((1, 2), 0.5))), torch.tensor([0.5]))
    with pytest.raises(ValueError, match="support"):
        cdf(Normal(torch.zeros(1), 1.0), torch.tensor([torch.nan]))


def test_undefined_entropy_keeps_its_reason():
    with pytest.raises(NotImplementedError, match="a set of values has no density"):
        entropy(Empirical(torch.ones(1, 3)))
