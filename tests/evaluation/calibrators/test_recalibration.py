"""Recalibrated quantiles hold their levels on new rows, and claim nothing beyond what rows tell."""

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from uncertain import families
from uncertain.evaluation.calibrators import fit_quantile_recalibration
from uncertain.families import ArrayDistribution


def rows(n, seed):
    """Predict a normal where the truth is skewed and three times as wide."""
    rng = np.random.default_rng(seed)
    loc = rng.normal(size=n)
    return ArrayDistribution("normal", {"loc": loc, "scale": np.ones(n)}), loc + 3 * (
        rng.exponential(size=n) - 1
    )


def test_levels_hold_on_new_rows():
    fitted = fit_quantile_recalibration(*rows(5000, 0), levels=[0.05, 0.25, 0.5, 0.75, 0.95])
    d, y = rows(5000, 1)
    found = fitted(d)
    below = (y[:, None] <= found.parameters["values"]).mean(axis=0)
    # Both sides sample 5,000 rows: four standard errors of a share of a half are 0.04.
    assert below == pytest.approx(fitted.levels, abs=0.04)
    raw = (y <= families.quantile(d, 0.95)).mean()
    assert abs(raw - 0.95) > 0.1


def test_it_is_the_isotonic_regression_of_the_ranks():
    d = ArrayDistribution("normal", {"loc": np.zeros(99), "scale": np.ones(99)})
    y = 1.5 * np.random.default_rng(0).normal(size=99)
    fitted = fit_quantile_recalibration(d, y)
    pit = families.cdf(d, y)
    ranks = (pit[:, None] >= pit).sum(axis=1) / 100
    regression = IsotonicRegression().fit(pit, ranks)
    assert regression.predict(fitted.stated) == pytest.approx(fitted.levels, abs=1e-9)
    assert fitted.levels[[0, -1]].tolist() == [0.01, 0.99]


def test_calibrated_predictions_stay():
    rng = np.random.default_rng(0)
    d = ArrayDistribution("normal", {"loc": np.zeros(20_000), "scale": np.ones(20_000)})
    fitted = fit_quantile_recalibration(d, rng.normal(size=20_000))
    assert np.abs(fitted.stated - fitted.levels).max() < 1.95 / np.sqrt(20_000)


def test_weight_zero_is_no_row():
    d, y = rows(60, 0)
    kept = np.arange(60) % 3 > 0
    weighted = fit_quantile_recalibration(d, y, levels=[0.2, 0.5], weights=kept)
    alone = fit_quantile_recalibration(families.select(d, kept), y[kept], levels=[0.2, 0.5])
    assert weighted.stated == pytest.approx(alone.stated)


def test_torch_comes_back_as_quantiles():
    fitted = fit_quantile_recalibration(*rows(50, 0), levels=[0.1, 0.5, 0.9])
    found = fitted(torch.distributions.Normal(torch.zeros(4), torch.ones(4)))
    assert type(found).__name__ == "Quantiles"
    assert found.values.dtype == torch.float32


def test_levels_at_which_the_model_was_impossible_are_left_out():
    d = ArrayDistribution("normal", {"loc": np.zeros(99), "scale": np.full(99, 0.01)})
    fitted = fit_quantile_recalibration(d, np.linspace(-1, 1, 99))
    assert 0 < len(fitted.levels) < 197
    assert np.isfinite(fitted(d).parameters["values"]).all()


def test_refusals():
    d, y = rows(50, 0)
    with pytest.raises(ValueError, match=r"between 0.0196 and 0.98 to be told from 50 rows"):
        fit_quantile_recalibration(d, y, levels=[0.001])
    with pytest.raises(ValueError, match="`levels` should lie in"):
        fit_quantile_recalibration(d, y, levels=[0.0, 0.5])
    for strange in (
        ArrayDistribution("poisson", {"rate": np.ones(50)}),
        ArrayDistribution("empirical", {"samples": np.ones((50, 3))}),
        ArrayDistribution("categorical", {"probs": np.full((50, 2), 0.5)}),
        ArrayDistribution(
            "normal", {"loc": np.zeros((50, 2)), "scale": np.ones((50, 2))}, event_ndim=1
        ),
    ):
        target = np.zeros((50, 2)) if strange.event_ndim else np.zeros(50)
        with pytest.raises(TypeError, match="continuous family and one output"):
            fit_quantile_recalibration(strange, target)
