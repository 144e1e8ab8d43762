import math
from collections.abc import Callable, Iterator

import jaxtyping
import numpy as np
import pytest
import torch
from scipy import stats

from uncertain import intervals as iv
from uncertain.evaluation import discrete_pit, joint, pit, quantile_calibration, regression
from uncertain.evaluation.regression import regression_estimates
from uncertain.families import ArrayDistribution

N = 800


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(n: int = N, scale: float = 1.0) -> tuple[ArrayDistribution, np.ndarray]:
    loc = rng().normal(size=n)
    y = loc + np.random.default_rng(1).normal(size=n)
    return ArrayDistribution("normal", {"loc": loc, "scale": np.full(n, scale)}), y


def figures(*args: object, **kwargs: object) -> dict[tuple[str, str], iv.Estimate]:
    return {(m, v): e for m, v, _, e in regression_estimates(*args, **kwargs)}  # type: ignore[arg-type]


def test_values_are_the_definitions() -> None:
    d, y = normal()
    found = figures(d, y)
    law = stats.norm(d.parameters["loc"], 1)
    assert found["nll", ""].value == pytest.approx(-law.logpdf(y).mean(), abs=1e-12)
    assert found["rmse", ""].value == pytest.approx(np.sqrt(((law.mean() - y) ** 2).mean()))
    assert found["mae", ""].value == pytest.approx(np.abs(law.median() - y).mean())
    for level in regression.LEVELS:
        low, high = law.interval(level)
        name = f"{level:g}"
        assert found["coverage", name].value == np.mean((low <= y) & (y <= high))
        assert found["sharpness", name].value == pytest.approx(np.mean(high - low))
    ks = stats.kstest(law.cdf(y), "uniform")
    assert found["pit_ks", ""].value == pytest.approx(ks.statistic, abs=1e-12)
    assert found["pit_ks", ""].p_value == pytest.approx(ks.pvalue, abs=0.01)


def test_scores_against_scoringrules() -> None:
    scoringrules = pytest.importorskip("scoringrules")
    d, y = normal(scale=1.3)
    found = figures(d, y)
    expected = scoringrules.crps_normal(y, d.parameters["loc"], d.parameters["scale"])
    assert found["crps", ""].value == pytest.approx(float(np.mean(expected)), abs=1e-12)
    for level in regression.LEVELS:
        low, high = regression.central_interval(d, level)
        expected = scoringrules.interval_score(y, low, high, 1 - level)
        ours = regression.interval_scores((low, high), y, level=level)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
        assert found["interval_score", f"{level:g}"].value == pytest.approx(ours.mean())


def test_intervals_are_of_the_right_kind() -> None:
    d, y = normal()
    found = figures(d, y)
    hits = round(found["coverage", "0.9"].value * N)
    assert found["coverage", "0.9"] == iv.wilson(hits, N)
    nll = -stats.norm(d.parameters["loc"], 1).logpdf(y)
    low, high = stats.t.interval(0.95, N - 1, nll.mean(), stats.sem(nll))
    assert (found["nll", ""].low, found["nll", ""].high) == pytest.approx((low, high))
    rmse = found["rmse", ""]
    squares = (y - d.parameters["loc"]) ** 2
    delta = stats.t.ppf(0.975, N - 1) * stats.sem(squares) / (2 * rmse.value)
    assert rmse.margin == pytest.approx(delta, rel=0.01)
    assert 0 < rmse.low < rmse.value < rmse.high


def test_rmse_covers() -> None:
    r = rng()
    hits = 0
    for _ in range(1000):
        found = regression.root(iv.mean(r.normal(size=60) ** 2))
        hits += found.low <= 1 <= found.high
    assert hits / 1000 >= 0.93 - 0.02  # two standard errors of the simulation


def test_a_constant_scale_and_a_point_are_ordinary() -> None:
    """Pitfall 4.11: a constant predicted standard deviation crashed a peer's binning."""
    d, y = normal(scale=0.5)
    assert all(math.isfinite(e.value) for e in figures(d, y).values())
    hist = pit.pit_histogram(d, y, bins=10)
    assert hist.share.sum() == pytest.approx(1)
    assert hist.share[[0, -1]].min() > hist.share[1:-1].max()  # too narrow: a U
    assert ((hist.low <= hist.share) & (hist.share <= hist.high)).all()
    exact = ArrayDistribution("empirical", {"samples": y[:, None]})
    found = figures(exact, y)
    assert found["crps", "ecdf"].value == found["rmse", ""].value == found["mae", ""].value == 0
    assert found["coverage", "0.5"].value == 1


def test_families_say_what_they_cannot_answer() -> None:
    _, y = normal(50)
    levels = np.array([0.1, 0.5, 0.9])
    values = np.sort(rng().normal(size=(50, 3)), axis=1)
    found = figures(ArrayDistribution("quantiles", {"levels": levels, "values": values}), y)
    assert math.isnan(found["nll", ""].value)
    assert found["nll", ""].reason
    assert math.isnan(found["rmse", ""].value)
    assert math.isfinite(found["mae", ""].value)
    assert math.isfinite(found["coverage", "0.8"].value)
    assert math.isnan(found["coverage", "0.95"].value)
    assert found["coverage", "0.95"].reason
    assert found["pit_ks", ""].p_value < 0.01  # The quantiles have nothing to do with y.
    wild = {"df": np.full(50, 0.9), "loc": np.zeros(50), "scale": np.ones(50)}
    heavy = figures(ArrayDistribution("student_t", wild), y)
    assert "no finite mean" in heavy["rmse", ""].reason
    assert math.isfinite(heavy["mae", ""].value)


def test_an_infinite_score_is_said_with_its_count() -> None:
    d = ArrayDistribution("log_normal", {"loc": np.zeros(5), "scale": np.ones(5)})
    found = figures(d, np.array([1.0, 2.0, -1.0, 3.0, 1.0]))["nll", ""]
    assert found.value == math.inf
    assert found.reason == "1 of 5 row scores are infinite"


def test_copies_of_a_row_bring_nothing() -> None:
    d, y = normal(200)
    twice = np.repeat(np.arange(200), 2)
    p = {name: value[twice] for name, value in d.parameters.items()}
    copied = figures(ArrayDistribution("normal", p), y[twice], groups=twice)
    weighted = figures(d, y, weights=np.full(200, 2.0))
    for key, once in figures(d, y).items():
        for other in (copied[key], weighted[key]):
            assert other.value == pytest.approx(once.value), key
            assert other.margin == pytest.approx(once.margin, rel=0.07), key
        assert copied[key].n_groups == 200


def test_a_weight_is_a_count() -> None:
    d, y = normal(60)
    w = rng().integers(1, 4, 60)
    copies = np.repeat(np.arange(60), w)
    p = {name: value[copies] for name, value in d.parameters.items()}
    copied = figures(ArrayDistribution("normal", p), y[copies])
    for key, weighted in figures(d, y, weights=w).items():
        if key[0].endswith("_null"):
            continue  # What noise would show hangs on the number of independent rows.
        assert weighted.value == pytest.approx(copied[key].value, abs=1e-12), key


def test_bits_do_not_depend_on_the_order_of_rows() -> None:
    d, y = normal(100)
    order = rng().permutation(100)
    p = {name: value[order] for name, value in d.parameters.items()}
    assert figures(ArrayDistribution("normal", p), y[order]) == figures(d, y)


def test_several_targets_are_averaged_within_the_row() -> None:
    loc = rng().normal(size=(300, 3))
    y = loc + np.random.default_rng(1).normal(size=(300, 3))
    d = ArrayDistribution("normal", {"loc": loc, "scale": np.ones((300, 3))}, event_ndim=1)
    found = figures(d, y)
    flat = figures(
        ArrayDistribution("normal", {"loc": loc.ravel(), "scale": np.ones(900)}), y.ravel()
    )
    for metric, variant in flat:
        if metric.endswith("_null"):
            continue
        factor = 3 if metric == "nll" else 1  # joint over the targets
        value = found[metric, variant].value
        assert value == pytest.approx(factor * flat[metric, variant].value), metric
        assert found[metric, variant].n == 300
    assert found["coverage", "0.9"].n_groups is None


def test_pit_of_a_calibrated_model_is_uniform() -> None:
    rejected, inside = 0, 0
    r = rng()
    d = ArrayDistribution("normal", {"loc": np.zeros(200), "scale": np.ones(200)})
    for _ in range(400):
        found = quantile_calibration.pit_ks(d, r.normal(size=200))
        rejected += found.p_value < 0.05
        inside += found.low == 0
    assert rejected / 400 == pytest.approx(0.05, abs=0.035)
    assert inside / 400 >= 0.93


def test_pit_groups_count_once() -> None:
    d, y = normal(300)
    twice = np.repeat(np.arange(300), 2)
    p = {name: value[twice] for name, value in d.parameters.items()}
    copied = quantile_calibration.pit_ks(ArrayDistribution("normal", p), y[twice], groups=twice)
    once = quantile_calibration.pit_ks(d, y)
    assert copied.value == pytest.approx(once.value)
    assert copied.p_value == pytest.approx(once.p_value)
    assert copied.n_groups == 300


def test_kolmogorov_against_scipy() -> None:
    for distance, n in ((0.03, 2000), (0.08, 300), (0.15, 60)):
        assert quantile_calibration.kolmogorov_p_value(distance, n) == pytest.approx(
            stats.kstwo.sf(distance, n), abs=0.004
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, y: regression_estimates(d, y[:-1]), "`target` should have shape"),
        (lambda d, y: regression_estimates(d, np.where(y > 0, np.nan, y)), "should be finite"),
        (lambda d, y: regression_estimates(d, y, weights=-y * y), "`weights` should lie in"),
        (lambda d, y: regression_estimates(d, y, groups=[1]), "as many rows"),
        (lambda d, y: regression_estimates(d, y, level=1.0), "`level` should lie in"),
        (lambda d, y: regression.central_interval(d, 1.0), "`level` should lie in"),
        (lambda d, y: pit.pit_histogram(d, y, bins=0), "`bins` should lie in"),
        (lambda d, y: regression.coverage((y, y[:2]), y), "as many rows"),
    ],
)
def test_bad_input(call: object, message: str) -> None:
    d, y = normal(20)
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call(d, y)


def test_missing_levels_are_named() -> None:
    values = np.sort(rng().normal(size=(4, 2)), axis=1)
    d = ArrayDistribution("quantiles", {"levels": np.array([0.4, 0.6]), "values": values})
    with pytest.raises(regression.MissingLevelError):
        regression.central_interval(d, 0.9)


@pytest.mark.parametrize(
    "figure",
    [
        joint.joint_nll,
        quantile_calibration.pit_ks,
        quantile_calibration.quantile_calibration_error,
        pit.pit_histogram,
    ],
)
def test_distributions_of_torch_are_taken_as_arrays(figure: Callable[..., object]) -> None:
    d, y = normal(40)
    law = torch.distributions.Normal(*map(torch.as_tensor, d.parameters.values()))
    np.testing.assert_equal(figure(law, y), figure(d, y))
    with pytest.raises(
        TypeError, match=r"`distribution` should be an ArrayDistribution or a torch"
    ):
        figure(d.parameters["loc"], y)


@pytest.fixture
def _unchecked() -> Iterator[None]:
    """Turn the tests' own checks of types off, which users don't have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_unchecked")
def test_randomised_pit_says_what_to_give_in_place_of_a_distribution() -> None:
    d, y = normal(4)
    for law in (d, torch.distributions.Normal(torch.zeros(4), 1.0)):
        with pytest.raises(TypeError, match=r"`low` should be P\(Y < y\).*families\.pit_bounds"):
            discrete_pit.randomised_pit(law, y)
