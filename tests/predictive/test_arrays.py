"""To plain arrays and back, without loss."""

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    NegativeBinomial,
    Normal,
    Poisson,
)

from tests.predictive import cases
from tests.predictive.test_rows import same
from uncertain import families
from uncertain.families import ArrayDistribution
from uncertain.predictive import concat, from_arrays, log_prob, mixture, parts, to_arrays


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", cases.NAMES)
def test_round_trip(name, dtype):
    dist = cases.everything(dtype)[name]
    d = to_arrays(dist)
    assert len(d) == cases.N
    again = from_arrays(d)
    assert again.batch_shape == dist.batch_shape
    assert again.event_shape == dist.event_shape
    once = to_arrays(again)
    for key, value in d.parameters.items():
        assert value.dtype == (np.float64 if dtype is torch.float64 else np.float32)
        assert np.array_equal(value, once.parameters[key])
    if "mixture" not in name and "negative_binomial_probs" not in name:
        same(again, dist)
    assert again._validate_args == Distribution._validate_args


@pytest.mark.parametrize("name", cases.NAMES)
def test_rows_commute(name):
    dist = cases.everything()[name]
    twice = to_arrays(concat([dist, dist]))
    expected = families.concat([to_arrays(dist)] * 2)
    for key, value in expected.parameters.items():
        assert np.array_equal(value, twice.parameters[key])


def test_half_width_becomes_float32():
    d = to_arrays(Normal(torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)))
    assert d.parameters["loc"].dtype == np.float32
    logits = torch.randn(5, 10, generator=torch.Generator().manual_seed(0)).bfloat16()
    d = to_arrays(Categorical(logits=logits))
    np.testing.assert_allclose(families.class_probabilities(d).sum(-1), 1, atol=1e-6)
    probs = torch.rand(5, 10, generator=torch.Generator().manual_seed(0)).half()
    d = to_arrays(Categorical(probs=probs, validate_args=False))
    np.testing.assert_allclose(families.class_probabilities(d).sum(-1), 1, atol=1e-6)


def test_arrays_are_detached_copies():
    loc = torch.zeros(2, requires_grad=True)
    d = to_arrays(Normal(loc, torch.ones(2)))
    d.parameters["loc"][0] = 5
    assert loc[0].item() == 0
    back = from_arrays(d)
    back.loc[1] = 7
    assert d.parameters["loc"][1] == 0


def test_zeros_stay_exact():
    probs = np.array([[1.0, 0.0], [1e-20, 1.0]], dtype=np.float32)
    dist = from_arrays(ArrayDistribution("categorical", {"probs": probs}))
    assert np.array_equal(to_arrays(dist).parameters["probs"], probs)
    scores = dist.log_prob(torch.tensor([1, 0]))  # torch's own, unclamped for once
    assert scores[0].item() == -torch.inf
    assert scores[1].item() == pytest.approx(-46.0517, abs=1e-3)


def test_dtype_of_other_arrays():
    whole = ArrayDistribution("poisson", {"rate": np.array([1, 2])})
    assert from_arrays(whole).rate.dtype == torch.float64
    assert from_arrays(whole, dtype=torch.float32).rate.dtype == torch.float32
    half = ArrayDistribution("poisson", {"rate": np.array([1, 2], dtype=np.float16)})
    assert from_arrays(half).rate.dtype == torch.float32
    swapped = ArrayDistribution("poisson", {"rate": np.array([1.5], dtype=">f4")})
    assert from_arrays(swapped).rate.item() == 1.5


def test_binomial_probabilities_are_not_clamped():
    d = to_arrays(NegativeBinomial(torch.ones(1), probs=torch.tensor([1e-20])))
    assert d.parameters["logits"][0] == pytest.approx(-46.0517, abs=1e-3)


def test_scoring_agrees_on_members_with_underflown_weights():
    dist = mixture(Normal(torch.tensor([[0.0, 1.0]]), 1.0), [1.0, 0.0])
    y = torch.tensor([0.3])
    np.testing.assert_allclose(
        families.log_prob(to_arrays(dist), y.numpy()), log_prob(dist, y), 1e-6
    )


def test_refusals():
    with pytest.raises(ValueError, match=r"batch shape \(N,\), got \(2, 3\): flatten its rows"):
        to_arrays(Normal(torch.zeros(2, 3), 1.0))
    with pytest.raises(TypeError, match=r"got Gamma: represent it by draws"):
        to_arrays(Gamma(torch.ones(2), 1.0))
    with pytest.raises(TypeError, match="over 2 axes of Normal: put the mixture outermost"):
        to_arrays(Independent(Normal(torch.zeros(1, 2, 3), 1.0), 2))
    with pytest.raises(TypeError, match="put the mixture outermost"):
        to_arrays(Independent(mixture(Normal(torch.zeros(1, 2, 3), 1.0)), 1))
    with pytest.raises(ValueError, match=r"`rate` should be finite, got 0 NaN and 1 infinite"):
        to_arrays(Poisson(torch.tensor([torch.inf])))


def test_subclasses_of_user_code_are_not_mistaken():
    class Loud(Bernoulli):
        pass

    with pytest.raises(TypeError, match="got Loud"):
        to_arrays(Loud(torch.ones(1)))
    assert parts(Loud(torch.ones(1))).kind[0] is Loud


def test_logits_of_thousands_are_normalised_where_torch_rounds() -> None:
    """Negative squared distances: float32 leaves the log-sum-exp off by more than files allow."""
    z = -3000 * torch.rand(500, 5, generator=torch.Generator().manual_seed(0)) - 5000
    dist = torch.distributions.Categorical(logits=z)
    assert dist.logits.logsumexp(-1).abs().max() > 1e-4
    found = torch.from_numpy(to_arrays(dist).parameters["logits"])
    assert found.logsumexp(-1).abs().max() < 1e-5
    torch.testing.assert_close(found.double(), z.double().log_softmax(-1), rtol=1e-6, atol=1e-3)
