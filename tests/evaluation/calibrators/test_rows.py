"""Every fit refuses what it can't be fitted on, by name and with the remedy."""

import numpy as np
import pytest
import torch

from tests.evaluation.calibrators.cases import bernoulli, categorical, logits_of
from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation.calibrators import (
    fit_bbq,
    fit_beta,
    fit_dirichlet,
    fit_histogram_binning,
    fit_isotonic,
    fit_matrix,
    fit_scale,
    fit_temperature,
    fit_vector,
)
from uncertain.families import ArrayDistribution, log_softmax

PROBABILITIES = (
    fit_temperature,
    fit_dirichlet,
    fit_beta,
    fit_isotonic,
    fit_histogram_binning,
    fit_bbq,
)
LOGITS = (fit_vector, fit_matrix)
EVERY = (*PROBABILITIES, *LOGITS)


def given(fit, z):
    return z if fit in LOGITS else categorical(z)


@pytest.mark.parametrize("fit", EVERY, ids=lambda fit: fit.__name__)
class TestRefusals:
    def test_few_rows(self, fit):
        z, y = logits_of(9)
        with pytest.raises(ValueError, match=r"at least 10 rows of a weight above 0 .* got 9"):
            fit(given(fit, z), y)

    def test_rows_of_weight_zero_are_no_rows(self, fit):
        z, y = logits_of(50)
        with pytest.raises(ValueError, match="at least 10 rows"):
            fit(given(fit, z), y, weights=np.arange(50) < 9)

    def test_one_class(self, fit):
        z, _ = logits_of(50)
        with pytest.raises(ValueError, match=r"at least two classes to fit .* only class 2"):
            fit(given(fit, z), np.full(50, 2))

    def test_labels_outside(self, fit):
        z, y = logits_of(50)
        with pytest.raises(ValueError, match="`labels` should be class indices from 0 to 2, got 3"):
            fit(given(fit, z), np.where(np.arange(50) == 7, 3, y))

    def test_nan_labels(self, fit):
        z, y = logits_of(50)
        with pytest.raises(ValueError, match="`labels` should be finite, got 1 NaN"):
            fit(given(fit, z), np.where(np.arange(50) == 7, np.nan, y))

    def test_other_length(self, fit):
        z, y = logits_of(50)
        with pytest.raises(ValueError, match="as many rows as each other, got 50 and 49"):
            fit(given(fit, z), y[1:])

    def test_negative_weights(self, fit):
        z, y = logits_of(50)
        with pytest.raises(ValueError, match="`weights` should lie in"):
            fit(given(fit, z), y, weights=np.arange(50) - 1.0)

    def test_another_number_of_classes(self, fit):
        z, y = logits_of(400)
        fitted = fit(given(fit, z), y)
        with pytest.raises(ValueError, match=r"should have 3 classes, as .* was fitted on, got 4"):
            fitted(given(fit, logits_of(20, classes=4)[0]))

    def test_it_remembers_its_rows(self, fit):
        z, y = logits_of(400)
        used = fit(given(fit, z), y, split="train", row_ids=np.arange(400)).fitted_on
        assert (used.split, used.rows, used.shared_rows([399, 400], y[[399, 0]])) == (
            "train",
            400,
            1,
        )
        assert fit(given(fit, z), y).fitted_on.split == "validation"


@pytest.mark.parametrize("fit", PROBABILITIES, ids=lambda fit: fit.__name__)
def test_numbers_are_no_classes(fit):
    case = regressor(30)
    with pytest.raises(TypeError, match=r"over classes, one a row, for .*, got normal"):
        fit(case)
    z, y = logits_of(50)
    with pytest.raises(TypeError, match=r"over classes, one a row, .* got normal"):
        fit(categorical(z), y)(case.distribution)


@pytest.mark.parametrize("fit", PROBABILITIES, ids=lambda fit: fit.__name__)
def test_several_outputs_are_refused(fit):
    d = ArrayDistribution("bernoulli", {"probs": np.full((20, 2), 0.5)}, event_ndim=1)
    with pytest.raises(TypeError, match=r"got bernoulli predictions of 2 outputs"):
        fit(d, np.zeros(20))


def test_predictions_bring_everything():
    case = classifier(80, row_ids=np.arange(80), split="validation", weights=np.ones(80))
    assert fit_temperature(case).fitted_on.split == "validation"
    same = fit_temperature(case.distribution, case.target, row_ids=case.row_ids)
    assert same == fit_temperature(case)
    with pytest.raises(TypeError, match="`labels` should not stand beside Predictions"):
        fit_temperature(case, case.target)
    with pytest.raises(ValueError, match="`labels` should be given to fit on, got none"):
        fit_temperature(classifier(80, labelled=False, split="validation"))


def test_what_is_no_distribution_is_refused():
    with pytest.raises(TypeError, match=r"should be Predictions or a distribution, got ndarray"):
        fit_isotonic(np.eye(3), [0, 1, 2])
    with pytest.raises(TypeError, match="got list"):
        fit_scale([0.0] * 20, [0.0] * 20)


def test_tensors_of_any_width_are_read():
    z, y = logits_of(200)
    wide = fit_temperature(torch.tensor(z), torch.tensor(y))
    assert wide == fit_temperature(z, y)
    half = fit_temperature(
        torch.tensor(z, dtype=torch.bfloat16, requires_grad=True), torch.tensor(y)
    )
    assert half.temperatures[0] == pytest.approx(wide.temperatures[0], rel=0.02)


def test_two_classes_may_be_a_bernoulli():
    p = np.random.default_rng(0).random(200)
    y = np.random.default_rng(1).random(200) < p
    one = fit_temperature(bernoulli(p), y)
    two = fit_temperature(ArrayDistribution("categorical", {"probs": np.stack([1 - p, p], 1)}), y)
    assert one.temperatures[0] == pytest.approx(two.temperatures[0], rel=1e-9)


@pytest.mark.parametrize("fit", [fit_temperature, *LOGITS], ids=lambda fit: fit.__name__)
@pytest.mark.parametrize(
    "kind", [np.float64, np.float16, torch.as_tensor], ids=lambda kind: kind.__name__
)
def test_probabilities_are_no_logits(fit, kind):
    z, y = logits_of(60)
    p = np.exp(log_softmax(z))
    with pytest.raises(TypeError, match=r"logits, got probabilities .*\{\"probs\": p\}"):
        fit(kind(p), y)
    assert fit(kind(p * 1.1), y)


@pytest.mark.parametrize("fit", LOGITS, ids=lambda fit: fit.__name__)
def test_log_probabilities_are_no_raw_logits(fit):
    z, y = logits_of(60)
    log_p = log_softmax(z)
    with pytest.raises(TypeError, match="should be raw logits, got log-probabilities"):
        fit(log_p, y)
    fitted = fit(z, y)
    with pytest.raises(TypeError, match="should be raw logits, got log-probabilities"):
        fitted(log_p)
    assert fit(log_p + 0.1, y)
    # Temperature scaling doesn't notice the difference.
    assert fit_temperature(log_p, y).temperatures == pytest.approx(
        fit_temperature(z, y).temperatures
    )
