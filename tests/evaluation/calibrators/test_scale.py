"""One factor for every spread: closed forms, known factors, and parts that keep their shares."""

import numpy as np
import pytest
import torch

from uncertain import families
from uncertain.evaluation.calibrators import fit_scale
from uncertain.families import ArrayDistribution

RNG = np.random.default_rng(0)
N = 4000
LOC = RNG.normal(size=N)
SPREAD = np.exp(RNG.normal(0, 0.3, N))
TARGET = LOC + SPREAD * RNG.normal(size=N)


def normal(factor=1.0):
    return ArrayDistribution("normal", {"loc": LOC, "scale": SPREAD / factor})


def test_the_factor_of_a_normal_is_the_root_mean_square():
    fitted = fit_scale(normal(), TARGET)
    assert fitted.factor == pytest.approx(
        np.sqrt(np.mean(((TARGET - LOC) / SPREAD) ** 2)), rel=1e-12
    )
    assert fit_scale(normal(3.0), TARGET).factor == pytest.approx(3 * fitted.factor, rel=1e-12)
    # 4 / sqrt(2 N): four standard errors.
    assert fitted.factor == pytest.approx(1.0, abs=4 / np.sqrt(2 * N))


def test_the_search_agrees_with_the_closed_form():
    half = np.full((N, 2), 0.5)
    twice = {
        name: np.stack([value, value], axis=1) for name, value in normal(2.0).parameters.items()
    }
    mixture = ArrayDistribution("normal", twice, half)
    found = fit_scale(mixture, TARGET)
    assert found.factor == pytest.approx(fit_scale(normal(2.0), TARGET).factor, rel=1e-6)


def test_parts_keep_their_shares():
    weights = RNG.dirichlet([1, 1, 1], 50)
    parameters = {
        "loc": RNG.normal(size=(50, 3)),
        "latent_scale": RNG.random((50, 3)),
        "noise_scale": RNG.random((50, 3)),
    }
    d = ArrayDistribution("gaussian_marginal", parameters, weights)
    fitted = fit_scale(d, RNG.normal(size=50) * 4)
    before, after = families.decompose(d), families.decompose(fitted(d))
    for old, new in zip(before, after, strict=True):
        assert new == pytest.approx(fitted.factor**2 * old)
    assert families.mean(fitted(d)) == pytest.approx(families.mean(d))


@pytest.mark.parametrize("family", ["student_t", "log_normal"])
def test_other_families_find_a_known_factor(family):
    noise = RNG.standard_t(5, N) if family == "student_t" else RNG.normal(size=N)
    y = LOC + 2 * SPREAD * noise
    parameters = {"loc": LOC, "scale": SPREAD}
    if family == "student_t":
        parameters["df"] = np.full(N, 5.0)
    else:
        y = np.exp(y)
    assert fit_scale(ArrayDistribution(family, parameters), y).factor == pytest.approx(2, rel=0.06)


def test_several_outputs_have_one_factor():
    d = ArrayDistribution(
        "normal", {"loc": np.zeros((20, 2)), "scale": np.ones((20, 2))}, event_ndim=1
    )
    y = np.stack([np.full(20, 3.0), np.full(20, -4.0)], axis=1)
    assert fit_scale(d, y).factor == pytest.approx(np.sqrt(12.5))
    made = fit_scale(d, y)(d)
    assert made.event_shape == (2,)


def test_torch_keeps_its_dtype():
    fitted = fit_scale(normal(2.0), TARGET)
    found = fitted(torch.distributions.Normal(torch.zeros(3), torch.ones(3)))
    assert found.scale.dtype == torch.float32
    assert found.scale[0].item() == pytest.approx(fitted.factor)


def test_refusals():
    d = ArrayDistribution("empirical", {"samples": RNG.normal(size=(20, 5))})
    with pytest.raises(TypeError, match=r"location and a scale .* got empirical: use"):
        fit_scale(d, np.zeros(20))
    with pytest.raises(TypeError, match="location and a scale"):
        fit_scale(normal(), TARGET)(d)
    with pytest.raises(ValueError, match=r"best factor of 1e.04: no scaling repairs that"):
        fit_scale(normal(1e4), TARGET * np.sqrt(1 / np.mean(((TARGET - LOC) / SPREAD) ** 2)) + 0)
    with pytest.raises(ValueError, match="at least 10 rows"):
        fit_scale(families.select(normal(), slice(9)), TARGET[:9])
