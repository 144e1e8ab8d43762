"""Intervals: closed forms, MAPIE's, coverage by simulation, and what can't have any."""

import numpy as np
import pytest
import torch

from tests.evaluation.conformal.cases import classes, numbers
from uncertain import families
from uncertain.evaluation.conformal import coverage_p_value, fit_cqr, fit_normalised_residuals
from uncertain.families import ArrayDistribution

FITS = (fit_cqr, fit_normalised_residuals)


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.__name__)
class TestBoth:
    def test_coverage_follows_its_law(self, fit):
        p = []
        for seed in range(60):
            fitted = fit(*numbers(50, seed=seed), alpha=0.2)
            d, y = numbers(100, seed=1000 + seed)
            ends = fitted(d)
            inside = (ends[:, 0] <= y) & (y <= ends[:, 1])
            p.append(coverage_p_value(int(inside.sum()), 100, n=50, alpha=0.2))
        assert np.count_nonzero(np.asarray(p) < 0.05) <= 9
        assert np.count_nonzero(np.asarray(p) < 0.5) >= 15

    def test_too_few_rows_give_infinite_intervals(self, fit):
        d, y = numbers(20)
        assert np.isinf(fit(d, y, alpha=0.01)(d)).all()

    def test_groups_and_weights_are_taken(self, fit):
        d, y = numbers(400)
        group = np.arange(400) % 2
        y = np.where(group == 1, y + 5, y)
        found = fit(d, y, groups=group)(d, groups=group)
        width = found[:, 1] - found[:, 0]
        assert width[group == 1].mean() > 2 * width[group == 0].mean()
        far = fit(d, y, weights=np.ones(400))(d, weights=np.where(group == 1, 1e6, 1.0))
        assert np.isinf(far[group == 1]).all()
        assert np.isfinite(far[group == 0]).all()

    def test_refusals(self, fit):
        with pytest.raises(TypeError, match="one number a row for intervals, got classes"):
            fit(*classes(60))
        two = ArrayDistribution(
            "normal", {"loc": np.zeros((20, 2)), "scale": np.ones((20, 2))}, event_ndim=1
        )
        with pytest.raises(TypeError, match="got 2 outputs a row"):
            fit(two, np.zeros((20, 2)))
        with pytest.raises(ValueError, match="`alpha` should lie in"):
            fit(*numbers(20), alpha=0.0)
        with pytest.raises(ValueError, match="`labels` should be finite"):
            fit(numbers(20)[0], np.full(20, np.nan))

    def test_torch_is_read(self, fit):
        fitted = fit(*numbers(50))
        assert fitted(torch.distributions.Normal(torch.zeros(3), torch.ones(3))).shape == (3, 2)


def test_cqr_is_the_paper_s():
    d, y = numbers(99)
    low, high = families.quantile(d, 0.05), families.quantile(d, 0.95)
    scores = np.sort(np.maximum(low - y, y - high))
    found = fit_cqr(d, y)(d)
    assert found[:, 0] == pytest.approx(low - scores[89])
    assert found[:, 1] == pytest.approx(high + scores[89])


def test_residuals_are_scaled_by_the_spread():
    d, y = numbers(99)
    z = np.sort(np.abs(y - d.parameters["loc"]) / d.parameters["scale"])
    found = fit_normalised_residuals(d, y)(d)
    assert found[:, 1] - found[:, 0] == pytest.approx(2 * z[89] * d.parameters["scale"])


def test_predicted_quantiles_need_the_ends_only():
    rng = np.random.default_rng(0)
    values = np.sort(rng.normal(size=(200, 3)), axis=1)
    d = ArrayDistribution("quantiles", {"levels": np.array([0.05, 0.5, 0.95]), "values": values})
    assert fit_cqr(d, rng.normal(size=200))(d).shape == (200, 2)
    with pytest.raises(ValueError, match="level"):
        fit_cqr(d, rng.normal(size=200), alpha=0.02)
    with pytest.raises(TypeError, match="Quantile predictions say nothing"):
        fit_normalised_residuals(d, rng.normal(size=200))


def test_a_turned_interval_is_a_point():
    d = ArrayDistribution("normal", {"loc": np.zeros(50), "scale": np.full(50, 10.0)})
    found = fit_cqr(d, np.zeros(50))(
        ArrayDistribution("normal", {"loc": np.ones(1), "scale": np.ones(1)})
    )
    assert found == pytest.approx(np.ones((1, 2)))


def test_a_spread_of_nothing_is_refused():
    d = ArrayDistribution("empirical", {"samples": np.zeros((20, 3))})
    with pytest.raises(
        ValueError, match="a spread above 0, got 20 of 20 rows without, the first at row 0"
    ):
        fit_normalised_residuals(d, np.zeros(20))


@pytest.mark.slow
def test_residual_intervals_are_mapie_s():
    import warnings

    from sklearn.base import BaseEstimator, RegressorMixin

    class Centre(RegressorMixin, BaseEstimator):
        def fit(self, x, y):
            return self

        def predict(self, x):
            return np.asarray(x)[:, 0]

        def __sklearn_is_fitted__(self):
            return True

    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(150, 1)), rng.normal(size=(40, 1))
    y = x[:, 0] + rng.standard_t(3, size=150)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mapie.regression import SplitConformalRegressor

        theirs = SplitConformalRegressor(Centre(), confidence_level=0.9, prefit=True)
        _, expected = theirs.conformalize(x, y).predict_interval(new)

    def normal(a):
        return ArrayDistribution("normal", {"loc": a[:, 0], "scale": np.ones(len(a))})

    assert fit_normalised_residuals(normal(x), y)(normal(new)) == pytest.approx(expected[:, :, 0])
