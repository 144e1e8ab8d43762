"""A calibrator's call keeps the kind of what it is given, and says that it was there."""

import warnings

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily

from tests.evaluation.calibrators.cases import bernoulli, binary, categorical, ensemble, logits_of
from tests.evaluation.cases import classifier
from uncertain import families
from uncertain.evaluation.calibrators import (
    fit_bbq,
    fit_beta,
    fit_dirichlet,
    fit_histogram_binning,
    fit_isotonic,
    fit_temperature,
)
from uncertain.evaluation.leakage import leak

FITS = (fit_temperature, fit_dirichlet, fit_beta, fit_isotonic, fit_histogram_binning, fit_bbq)


def names(fit):
    return fit.__name__


@pytest.fixture(scope="module", params=FITS, ids=names)
def fitted(request):
    z, y = logits_of(600)
    return request.param(categorical(2 * z), y)


def test_rows_are_probabilities_and_have_no_order(fitted):
    z = 2 * logits_of(200, seed=3)[0]
    found = families.class_probabilities(fitted(categorical(z)))
    assert np.allclose(found.sum(axis=1), 1, atol=1e-12)
    order = np.random.default_rng(0).permutation(200)
    assert np.array_equal(families.class_probabilities(fitted(categorical(z[order]))), found[order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_torch_comes_back_as_torch(fitted, dtype):
    z = torch.tensor(2 * logits_of(50, seed=3)[0], dtype=dtype)
    found = fitted(Categorical(logits=z))
    assert isinstance(found, Categorical)
    assert found.batch_shape == (50,)
    assert found.logits.dtype == dtype
    plain = families.class_log_probabilities(fitted(categorical(z.numpy().astype(float))))
    ours = families.class_probabilities(categorical(found.logits.double().numpy()))
    assert np.allclose(ours, np.exp(plain), atol=1e-6 if dtype == torch.float32 else 1e-12)


def test_a_bernoulli_stays_one(fitted):
    p, y, _ = binary()
    kind = next(fit for fit in FITS if fit.__name__ == f"fit_{fitted.fitted_on.method}")
    again = kind(bernoulli(p), y)
    assert again(bernoulli(p)).family == "bernoulli"
    found = again(Bernoulli(torch.tensor(p[:5])))
    assert isinstance(found, Bernoulli)
    assert found.logits.dtype == torch.float64


def test_a_mixture_is_pooled_first(fitted):
    d, _ = ensemble(40)
    pooled = families.class_log_probabilities(d)
    found = fitted(d)
    assert found.mixture_weights is None
    expected = fitted(categorical(pooled))
    assert np.allclose(found.parameters["logits"], expected.parameters["logits"], equal_nan=True)
    members = Categorical(logits=torch.tensor(d.parameters["logits"]))
    mixed = MixtureSameFamily(Categorical(logits=torch.zeros(40, 3)), members)
    torch_found = fitted(mixed).probs.numpy()
    assert np.allclose(torch_found, families.class_probabilities(expected), atol=1e-6)


def test_predictions_carry_the_record_and_the_name(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = fitted(classifier(60, source="net"))
    assert made.source == f"net ({fitted.fitted_on.method})"
    assert made.fitted_on == (fitted.fitted_on,)
    twice = fitted(made)
    assert twice.fitted_on == (fitted.fitted_on, fitted.fitted_on)


def test_what_was_fitted_on_the_test_rows_is_told(fitted):
    case = classifier(60)
    kind = next(fit for fit in FITS if fit.__name__ == f"fit_{fitted.fitted_on.method}")
    made = kind(case)(case)
    assert "of the test split" in leak(made)


def test_multi_label_predictions_are_refused(fitted):
    d = Independent(Bernoulli(torch.full((4, 3), 0.5)), 1)
    with pytest.raises(TypeError, match="of 3 outputs"):
        fitted(d)
    with pytest.raises(TypeError, match="should be Predictions or a distribution"):
        fitted("predictions")


@pytest.mark.parametrize("fit", FITS, ids=names)
def test_a_weight_of_k_is_k_rows(fit):
    z, y = logits_of(150)
    w = np.random.default_rng(0).integers(0, 4, 150)
    if fit in (fit_histogram_binning, fit_bbq):
        w = np.full(150, 2)  # Bins of equally many rows: only equal weights keep the edges.
    weighted = fit(categorical(2 * z), y, weights=w)
    again = np.repeat(np.arange(150), w)
    repeated = fit(categorical(2 * z[again]), y[again])
    d = categorical(logits_of(50, seed=4)[0])
    first, second = (families.class_probabilities(f(d)) for f in (weighted, repeated))
    if fit is not fit_bbq:  # Its number of histograms grows with the rows.
        assert np.allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("fit", FITS, ids=names)
def test_a_distorted_model_gets_nearer_to_the_truth(fit):
    z, y = logits_of(4000)
    fitted = fit(categorical(3 * z), y)
    new, labels = logits_of(2000, seed=9)
    raw = families.class_probabilities(categorical(3 * new))
    truth = families.class_probabilities(categorical(new))
    found = families.class_probabilities(fitted(categorical(3 * new)))
    assert np.abs(found - truth).mean() < 0.6 * np.abs(raw - truth).mean()
    brier = [((p - np.eye(3)[labels]) ** 2).sum(axis=1).mean() for p in (found, raw)]
    assert brier[0] < brier[1]
