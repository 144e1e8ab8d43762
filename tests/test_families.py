"""The contract matrix: family x {single, mixture} x every question, against scipy or quadrature."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoringrules
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from uncertain import families
from uncertain.families import FAMILIES, ArrayDistribution

N, S, T, C, K = 6, 3, 2, 4, 7
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
CLASSES = (
    "categorical",
    "categorical_probs",
    "bernoulli",
    "bernoulli_probs",
    "dirichlet_categorical",
)
NUMBERS = ("normal", "gaussian_marginal", "student_t", "log_normal")
COUNTS = ("poisson", "negative_binomial")
POINTS = ("empirical", "empirical_sample")
ALL = (*CLASSES, *NUMBERS, *COUNTS, *POINTS, "quantiles", "multivariate_normal")
ORDERED = ("bernoulli", "bernoulli_probs", *NUMBERS, *COUNTS, *POINTS, "quantiles")


def parameters(name: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(shape) + 10)
    wide = np.exp(rng.normal(size=shape))
    loc = rng.normal(size=shape)
    points = rng.normal(size=(*shape, K))
    tril = np.tril(rng.normal(size=(*shape, T, T)), -1) + np.eye(T) * 1.3
    return {
        "categorical": {"logits": families.log_softmax(rng.normal(size=(*shape, C)) * 3)},
        "categorical_probs": {"probs": rng.dirichlet(np.ones(C), size=shape)},
        "bernoulli": {"logits": 2 * loc},
        "bernoulli_probs": {"probs": rng.random(shape)},
        "dirichlet_categorical": {"concentration": rng.gamma(1.0, size=(*shape, C)) + 0.05},
        "normal": {"loc": loc, "scale": wide},
        "gaussian_marginal": {"loc": loc, "latent_scale": wide, "noise_scale": wide[::-1]},
        "student_t": {"df": 2.2 + 5 * wide, "loc": loc, "scale": wide},
        "log_normal": {"loc": 0.3 * loc, "scale": 0.3 + 0.3 * rng.random(shape)},
        "poisson": {"rate": 3 * wide},
        "negative_binomial": {"total_count": 2 * wide, "logits": loc},
        "empirical": {"samples": points},
        "empirical_sample": {"samples": points},
        "quantiles": {"levels": LEVELS, "values": np.sort(rng.normal(size=(*shape, 5)), axis=-1)},
        "multivariate_normal": {"loc": rng.normal(size=(*shape, T)), "scale_tril": tril},
    }[name]


def make(name: str, *, mixture: bool, targets: bool = False) -> ArrayDistribution:
    shape = (N, *((S,) if mixture else ()), *((T,) if targets else ()))
    weights = np.random.default_rng(3).dirichlet(np.ones(S), size=N) if mixture else None
    family = name.removesuffix("_probs")
    return ArrayDistribution(family, parameters(name, shape), weights, int(targets))


def reference(family: str, p: dict[str, float]) -> object:
    """The same distribution as scipy writes it, for one row and member."""
    if family == "normal":
        return stats.norm(p["loc"], p["scale"])
    if family == "gaussian_marginal":
        return stats.norm(p["loc"], np.sqrt(p["latent_scale"] ** 2 + p["noise_scale"] ** 2))
    if family == "student_t":
        return stats.t(p["df"], p["loc"], p["scale"])
    if family == "log_normal":
        return stats.lognorm(p["scale"], scale=np.exp(p["loc"]))
    if family == "poisson":
        return stats.poisson(p["rate"])
    if family == "negative_binomial":
        return stats.nbinom(p["total_count"], special.expit(-p["logits"]))
    if family == "bernoulli":
        return stats.bernoulli(p["probs"] if "probs" in p else special.expit(p["logits"]))
    return stats.multivariate_normal(p["loc"], p["scale_tril"] @ p["scale_tril"].T)


def members(d: ArrayDistribution, row: int) -> list[tuple[float, object]]:
    """(weight, scipy distribution) of one row's members."""
    if d.mixture_weights is None:
        return [(1.0, reference(d.family, {k: v[row] for k, v in d.parameters.items()}))]
    return [
        (weight, reference(d.family, {k: v[row, s] for k, v in d.parameters.items()}))
        for s, weight in enumerate(d.mixture_weights[row])
    ]


def targets_of(d: ArrayDistribution) -> np.ndarray:
    return families.sample(d, np.random.default_rng(5), 1)[0]


def per_row(d: ArrayDistribution, function) -> np.ndarray:
    return np.array([function(members(d, row), row) for row in range(len(d))])


both = pytest.mark.parametrize("mixture", [False, True], ids=["single", "mixture"])
scipy_families = pytest.mark.parametrize(
    "name", ["bernoulli", "bernoulli_probs", *NUMBERS, *COUNTS]
)


@both
@pytest.mark.parametrize("name", ["bernoulli", *NUMBERS, *COUNTS, "multivariate_normal"])
def test_log_prob_agrees_with_scipy(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    y = targets_of(d)
    density = "pmf" if name in (*COUNTS, "bernoulli") else "pdf"
    expected = per_row(d, lambda m, i: np.log(sum(w * getattr(r, density)(y[i]) for w, r in m)))
    np.testing.assert_allclose(families.log_prob(d, y), expected, rtol=1e-9)


@both
@pytest.mark.parametrize("name", CLASSES)
def test_log_prob_is_the_class_log_probability(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    table = families.class_log_probabilities(d)
    np.testing.assert_allclose(np.exp(table).sum(axis=1), 1.0, rtol=1e-12)
    for label in range(table.shape[1]):
        y = np.full(N, label)
        np.testing.assert_allclose(families.log_prob(d, y), table[:, label], rtol=1e-12)
    np.testing.assert_allclose(families.class_probabilities(d), np.exp(table), rtol=1e-12)


@both
@scipy_families
def test_cdf_agrees_with_scipy(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    y = targets_of(d).astype(float) + np.array([0, 0.5, -0.5, 1, -3, 7])
    expected = per_row(d, lambda m, i: sum(w * r.cdf(y[i]) for w, r in m))
    np.testing.assert_allclose(families.cdf(d, y), expected, rtol=1e-9, atol=1e-15)


@both
@scipy_families
def test_quantile_is_the_smallest_value_that_reaches_the_level(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    levels = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])[:, None]
    value = families.quantile(d, levels)
    assert value.shape == (6, N)
    if name in NUMBERS:
        np.testing.assert_allclose(
            families.cdf(d, value), np.broadcast_to(levels, value.shape), rtol=1e-9
        )
    else:
        assert (families.cdf(d, value) >= levels).all()
        assert (families.cdf(d, value - 1) < levels).all()
    if not mixture:
        expected = per_row(d, lambda m, _: m[0][1].ppf(levels[:, 0])).T
        np.testing.assert_allclose(value, expected, rtol=1e-7)


@both
@pytest.mark.parametrize("name", [*NUMBERS, *COUNTS])
def test_quantile_at_the_ends_is_the_support(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    bottom = -np.inf if name in ("normal", "gaussian_marginal", "student_t") else 0.0
    np.testing.assert_array_equal(families.quantile(d, 0.0), bottom)
    np.testing.assert_array_equal(families.quantile(d, 1.0), np.inf)


@both
@pytest.mark.parametrize("name", [*NUMBERS, *COUNTS])
def test_entropy_agrees_with_scipy_or_summation(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)

    def expected(m: list, _: int) -> float:
        if name in COUNTS:
            k = np.arange(20000)
            p = sum(w * r.pmf(k) for w, r in m)
            return -(special.xlogy(p, p)).sum()
        edges = np.sort(
            np.concatenate(
                [r.ppf([1e-14, 1e-9, 1e-4, 0.1, 0.5, 0.9, 1 - 1e-4, 1 - 1e-9]) for _, r in m]
            )
        )

        def term(x: float) -> float:
            p = sum(w * r.pdf(x) for w, r in m)
            return -special.xlogy(p, p)

        return sum(integrate.quad(term, a, b, limit=100)[0] for a, b in itertools.pairwise(edges))

    value = families.entropy(d)
    np.testing.assert_allclose(value, per_row(d, expected), rtol=1e-6, atol=1e-6)
    if not mixture and name not in ("gaussian_marginal",):
        closed = per_row(d, lambda m, _: float(m[0][1].entropy()))
        np.testing.assert_allclose(value, closed, rtol=1e-8)


@both
@pytest.mark.parametrize("name", CLASSES)
def test_entropy_of_classes(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    expected = stats.entropy(families.class_probabilities(d), axis=1)
    np.testing.assert_allclose(families.entropy(d), expected, rtol=1e-12)


@both
@pytest.mark.parametrize("name", ["bernoulli", *NUMBERS, *COUNTS, "multivariate_normal"])
def test_moments_agree_with_scipy(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)

    def first(r: object) -> np.ndarray:
        return np.asarray(r.mean if name == "multivariate_normal" else r.mean())

    def second(r: object) -> np.ndarray:
        return np.diag(r.cov) if name == "multivariate_normal" else np.asarray(r.var())

    mean = per_row(d, lambda m, _: sum(w * first(r) for w, r in m))
    square = per_row(d, lambda m, _: sum(w * (second(r) + first(r) ** 2) for w, r in m))
    np.testing.assert_allclose(families.mean(d), mean, rtol=1e-10)
    np.testing.assert_allclose(families.variance(d), square - mean**2, rtol=1e-9)


@both
@scipy_families
def test_crps_is_the_integral_of_the_squared_distance_of_cdfs(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    y = targets_of(d).astype(float)

    def expected(m: list, row: int) -> float:
        if name in COUNTS or d.family == "bernoulli":
            k = np.arange(20000)
            return ((sum(w * r.cdf(k) for w, r in m) - (k >= y[row])) ** 2).sum()
        edges = np.sort(
            np.concatenate(
                [
                    [y[row]],
                    *(
                        r.ppf([1e-12, 1e-4, 0.01, 0.5, 0.99, 1 - 1e-4, 1 - 1e-7, 1 - 1e-11])
                        for _, r in m
                    ),
                ]
            )
        )

        def term(x: float, step: float) -> float:
            return (sum(w * r.cdf(x) for w, r in m) - step) ** 2

        return sum(
            integrate.quad(term, a, b, args=(float(a >= y[row]),))[0]
            for a, b in itertools.pairwise(edges)
        )

    np.testing.assert_allclose(families.crps(d, y), per_row(d, expected), rtol=1e-6)


def test_crps_agrees_with_scoringrules() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    loc, scale, df = rng.normal(size=200), np.exp(rng.normal(size=200)), 1.2 + rng.random(200) * 9

    def ours(family: str, y: np.ndarray, **p: np.ndarray) -> np.ndarray:
        return families.crps(ArrayDistribution(family, p), y)

    check = np.testing.assert_allclose
    check(
        ours("normal", y, loc=loc, scale=scale), scoringrules.crps_normal(y, loc, scale), rtol=1e-10
    )
    check(
        ours("student_t", y, df=df, loc=loc, scale=scale),
        scoringrules.crps_t(y, df, loc, scale),
        rtol=1e-9,
    )
    # Wide ones cost the other library its digits: it subtracts one from a cdf near one.
    positive, narrow = np.exp(y), np.minimum(scale, 2.0)
    check(
        ours("log_normal", positive, loc=loc, scale=narrow),
        scoringrules.crps_lognormal(positive, loc, narrow),
        rtol=1e-8,
    )
    counts = rng.poisson(5, 200).astype(float)
    check(
        ours("poisson", counts, rate=8 * scale),
        scoringrules.crps_poisson(counts, 8 * scale),
        rtol=1e-9,
    )
    check(
        ours("negative_binomial", counts, total_count=4 * scale, logits=loc),
        scoringrules.crps_negbinom(counts, 4 * scale, special.expit(-loc)),
        rtol=1e-8,
    )
    points = rng.normal(size=(200, 11))
    check(
        ours("empirical", y, samples=points),
        scoringrules.crps_ensemble(y, points, estimator="nrg"),
        rtol=1e-10,
    )
    check(
        ours("empirical_sample", y, samples=points),
        scoringrules.crps_ensemble(y, points, estimator="fair"),
        rtol=1e-10,
        atol=1e-12,
    )
    values = np.sort(points[:, :5], axis=1)
    check(
        ours("quantiles", y, levels=LEVELS, values=values),
        scoringrules.crps_quantile(y, values, LEVELS),
        rtol=1e-10,
    )
    w = rng.dirichlet(np.ones(4), size=200)
    m, s = rng.normal(size=(200, 4)), np.exp(rng.normal(size=(200, 4)))
    mixed = ArrayDistribution("normal", {"loc": m, "scale": s}, w)
    check(families.crps(mixed, y), scoringrules.crps_mixnorm(y, m, s, w), rtol=1e-9)


@pytest.mark.parametrize("df", [0.7, 0.9, 0.9995, 1.0, 1.0005, 1.002, 1.5, 200.0])
def test_crps_of_student_t_through_its_removable_pole(df: float) -> None:
    d = ArrayDistribution(
        "student_t", {"df": np.array([df]), "loc": np.zeros(1), "scale": np.ones(1)}
    )
    r = stats.t(df)
    edges = np.log([0.5, 10, 1e3, 1e6, 1e9, 1e12, 1e18, 1e30])

    def tail(u: float) -> float:  # In the logarithm: below df = 1 the tail is long.
        return np.exp(u) * r.sf(np.exp(u)) ** 2

    above = sum(integrate.quad(tail, a, b)[0] for a, b in itertools.pairwise(edges))
    middle = integrate.quad(lambda x: r.cdf(x) ** 2, -0.5, 0.5)[0]
    upper, lower = above, above + middle
    np.testing.assert_allclose(families.crps(d, np.array([0.5])), upper + lower, rtol=2e-6)


def test_crps_of_student_t_without_half_a_degree_of_freedom_is_infinite() -> None:
    d = ArrayDistribution(
        "student_t", {"df": np.array([0.5]), "loc": np.zeros(1), "scale": np.ones(1)}
    )
    assert families.crps(d, np.zeros(1)) == np.inf


def test_crps_far_beyond_all_mass_is_the_distance() -> None:
    w = np.array([[0.5, 0.5]])
    d = ArrayDistribution("log_normal", {"loc": np.zeros((1, 2)), "scale": np.full((1, 2), 0.1)}, w)
    far = families.crps(d, np.array([1e6]))
    assert abs(far[0] - 1e6) < 2
    d = ArrayDistribution("poisson", {"rate": np.full((1, 2), 3.0)}, w)
    single = ArrayDistribution("poisson", {"rate": np.full(1, 3.0)})
    for y in (-2.5, 0.0, 2.25, 1000.0):
        np.testing.assert_allclose(
            families.crps(d, np.array([y])), families.crps(single, np.array([y])), rtol=1e-10
        )


@both
@pytest.mark.parametrize("name", POINTS)
def test_points_agree_with_the_double_sum(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    y = np.linspace(-2, 2, N)
    samples = d.parameters["samples"].reshape(N, -1)
    each = (d.mixture_weights if mixture else np.ones((N, 1)))[:, :, None] / K
    w = np.broadcast_to(each, (N, each.shape[1], K)).reshape(N, -1)
    pairs = w[:, :, None] * w[:, None, :]
    if name == "empirical_sample":
        member = np.arange(w.shape[1]) // K
        same = member[:, None] == member[None, :]
        pairs = pairs * np.where(same, K / (K - 1), 1.0) * (1 - np.eye(w.shape[1]))
    gaps = np.abs(samples[:, :, None] - samples[:, None, :])
    expected = (w * np.abs(samples - y[:, None])).sum(1) - 0.5 * (pairs * gaps).sum((1, 2))
    np.testing.assert_allclose(families.crps(d, y), expected, rtol=1e-10)
    np.testing.assert_allclose(families.cdf(d, y), (w * (samples <= y[:, None])).sum(1), rtol=1e-12)
    np.testing.assert_allclose(families.mean(d), (w * samples).sum(1), rtol=1e-12)
    if name == "empirical":
        spread = (w * (samples - families.mean(d)[:, None]) ** 2).sum(1)
        np.testing.assert_allclose(families.variance(d), spread, rtol=1e-10)
    for column in range(samples.shape[1]):
        at = samples[:, column]
        np.testing.assert_array_equal(families.quantile(d, families.cdf(d, at)), at)
    np.testing.assert_allclose(
        families.pit(d, samples[:, 0]), families.cdf(d, samples[:, 0]) - 0.5 * w[:, 0]
    )


def test_fair_score_is_unbiased_for_the_sampled_distribution() -> None:
    rng = np.random.default_rng(0)
    y = np.full(200_000, 0.7)
    d = ArrayDistribution("empirical_sample", {"samples": rng.normal(size=(len(y), 3))})
    truth = scoringrules.crps_normal(0.7, 0.0, 1.0)
    assert abs(families.crps(d, y).mean() - truth) < 4 * families.crps(d, y).std() / np.sqrt(len(y))


@both
def test_quantiles_pass_through_what_was_given(mixture: bool) -> None:
    d = make("quantiles", mixture=mixture)
    if not mixture:
        np.testing.assert_allclose(families.quantile(d, LEVELS[:, None]).T, d.parameters["values"])
        np.testing.assert_allclose(
            families.cdf(d, d.parameters["values"].T).T[:, :-1], np.tile(LEVELS[:-1], (N, 1))
        )
        y = np.full(N, -100.0)
        np.testing.assert_allclose(families.pit(d, y), 0.025)
        np.testing.assert_allclose(families.pit(d, -y), 0.975)
    inner = families.quantile(d, 0.4)
    np.testing.assert_allclose(families.cdf(d, inner), 0.4, rtol=1e-9)
    assert (families.cdf(d, np.full(N, -100.0)) == 0).all()
    np.testing.assert_allclose(families.cdf(d, np.full(N, 100.0)), 1, rtol=1e-12)
    with pytest.raises(ValueError, match=r"predicted levels \[0.05, 0.95\], got 0.01"):
        families.quantile(d, 0.01)


def test_quantiles_crps_approaches_the_crps_with_more_levels() -> None:
    levels = (np.arange(2000) + 0.5) / 2000
    d = ArrayDistribution("quantiles", {"levels": levels, "values": stats.norm.ppf(levels)[None]})
    np.testing.assert_allclose(
        families.crps(d, np.array([0.4])), scoringrules.crps_normal(0.4, 0, 1), rtol=1e-3
    )


def test_quantiles_mixture_of_equals_scores_as_one() -> None:
    one = make("quantiles", mixture=False)
    values = np.repeat(one.parameters["values"][:, None], 2, axis=1)
    d = ArrayDistribution("quantiles", {"levels": LEVELS, "values": values}, np.full((N, 2), 0.5))
    y = np.linspace(-1, 1, N)
    np.testing.assert_allclose(families.crps(d, y), families.crps(one, y), rtol=1e-9)
    np.testing.assert_allclose(families.pit(d, y), families.pit(one, y), rtol=1e-12)


def test_quantiles_tied_at_the_target_span_their_levels() -> None:
    d = ArrayDistribution(
        "quantiles", {"levels": np.array([0.2, 0.4, 0.8]), "values": np.array([[1.0, 1.0, 2.0]])}
    )
    np.testing.assert_allclose(families.pit(d, np.array([1.0])), 0.3)
    np.testing.assert_allclose(families.quantile(d, 0.3), 1.0)
    single = ArrayDistribution(
        "quantiles", {"levels": np.array([0.5]), "values": np.array([[1.0]])}
    )
    np.testing.assert_allclose(families.quantile(single, 0.5), 1.0)
    np.testing.assert_allclose(families.crps(single, np.array([3.0])), 2.0)


@both
@pytest.mark.parametrize("name", ORDERED)
def test_pit_is_the_cdf_or_its_mid_form(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    y = np.linspace(-1, 1, N) if name in ("quantiles", *POINTS) else targets_of(d).astype(float)
    value = families.pit(d, y)
    if name in (*COUNTS, "bernoulli", "bernoulli_probs"):
        np.testing.assert_allclose(
            value, 0.5 * (families.cdf(d, y) + families.cdf(d, y - 1)), rtol=1e-12
        )
    elif name in NUMBERS:
        np.testing.assert_array_equal(value, families.cdf(d, y))
    assert ((value >= 0) & (value <= 1)).all()


@both
@pytest.mark.parametrize("name", [n for n in ALL if n != "quantiles"])
def test_sample_has_the_distribution_it_came_from(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    n = 20_000
    draws = families.sample(d, np.random.default_rng(1), n)
    again = families.sample(d, np.random.default_rng(1), n)
    np.testing.assert_array_equal(draws, again)
    if name in CLASSES:
        assert draws.dtype == np.int64
        probs = families.class_probabilities(d)
        share = np.stack([(draws == c).mean(axis=0) for c in range(probs.shape[1])], axis=1)
        assert (np.abs(share - probs) < 5 * np.sqrt(probs * (1 - probs) / n) + 1e-9).all()
        return
    error = np.abs(draws.mean(axis=0) - families.mean(d))
    assert (error < 5 * draws.std(axis=0) / np.sqrt(n)).all()
    if name in ORDERED:
        level = families.quantile(d, 0.3)
        reached = families.cdf(d, level)
        share = (draws <= level).mean(axis=0)
        assert (np.abs(share - reached) < 5 * np.sqrt(0.25 / n)).all()


def test_sample_never_names_a_class_of_probability_zero() -> None:
    d = ArrayDistribution("categorical", {"probs": np.tile([0.0, 0.5, 0.5, 0.0], (3, 1))})
    assert set(np.unique(families.sample(d, np.random.default_rng(0), 10_000))) == {1, 2}


def equal(a: ArrayDistribution, b: ArrayDistribution) -> None:
    assert (a.family, a.event_ndim, a.members) == (b.family, b.event_ndim, b.members)
    assert set(a.parameters) == set(b.parameters)
    for name, value in a.parameters.items():
        assert value.dtype == b.parameters[name].dtype
        np.testing.assert_array_equal(value, b.parameters[name])
    if a.mixture_weights is not None:
        np.testing.assert_array_equal(a.mixture_weights, b.mixture_weights)


@both
@pytest.mark.parametrize("name", ALL)
def test_select_and_concat_undo_each_other(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    equal(families.concat([families.select(d, slice(0, 2)), families.select(d, slice(2, None))]), d)
    order = np.array([4, 1, 1])
    mask = np.arange(N) % 2 == 0
    assert len(families.select(d, order)) == 3
    equal(families.select(d, mask), families.select(d, np.flatnonzero(mask)))
    assert len(families.select(d, [])) == 0


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", ALL)
def test_save_is_without_loss(name: str, mixture: bool, dtype: type, tmp_path) -> None:
    d = make(name, mixture=mixture)
    if dtype is np.float16 and d.family == "categorical":
        dtype = np.float32  # Half-precision probabilities do not sum to one within the tolerance.
    narrow = {k: v.astype(dtype) for k, v in d.parameters.items()}
    d = ArrayDistribution(d.family, narrow, d.mixture_weights)
    equal(families.from_table(families.to_table(d)), d)
    pq.write_table(families.to_table(d), tmp_path / "p.parquet", row_group_size=2)
    equal(families.from_table(pq.read_table(tmp_path / "p.parquet")), d)
    equal(families.from_table(families.to_table(families.select(d, []))), families.select(d, []))


@pytest.mark.parametrize("name", ["normal", "bernoulli", "categorical", "student_t", "empirical"])
@both
def test_independent_targets_add_up_within_each_member(name: str, mixture: bool) -> None:
    d = make(name, mixture=mixture, targets=True)
    assert d.event_shape == (T,)
    equal(families.from_table(families.to_table(d)), d)
    each = [
        ArrayDistribution(
            d.family,
            {k: (v[:, :, t] if mixture else v[:, t]) for k, v in d.parameters.items()},
            d.mixture_weights,
        )
        for t in range(T)
    ]
    y = families.sample(d, np.random.default_rng(1), 1)[0]
    assert y.shape == (N, T)
    if name in ("normal", "student_t", "empirical", "bernoulli"):
        for ask in (families.cdf, families.crps, families.pit):
            expected = np.stack([ask(e, y[:, t]) for t, e in enumerate(each)], axis=1)
            np.testing.assert_allclose(ask(d, y), expected, rtol=1e-10)
        for ask in (families.mean, families.variance):
            np.testing.assert_allclose(ask(d), np.stack([ask(e) for e in each], axis=1), rtol=1e-12)
        expected = np.stack([families.quantile(e, 0.7) for e in each], axis=1)
        np.testing.assert_allclose(families.quantile(d, 0.7), expected, rtol=1e-9)
    else:
        expected = np.stack([families.class_probabilities(e) for e in each], axis=1)
        np.testing.assert_allclose(families.class_probabilities(d), expected)
    if name == "empirical":
        return
    if mixture:
        parts = families.decompose(d)
        for t, e in enumerate(each):
            for whole, part in zip(parts, families.decompose(e), strict=True):
                np.testing.assert_allclose(whole[:, t], part, rtol=1e-10)
        with pytest.raises(TypeError, match="joint entropy of a mixture"):
            families.entropy(d)
        weights = d.mixture_weights
        split = [
            [
                ArrayDistribution(d.family, {k: v[:, s, t] for k, v in d.parameters.items()})
                for t in range(T)
            ]
            for s in range(S)
        ]
        joint = [
            sum(families.log_prob(e, y[:, t]) for t, e in enumerate(member)) for member in split
        ]
        expected = special.logsumexp(np.stack(joint, axis=1), b=weights, axis=1)
    else:
        expected = sum(families.log_prob(e, y[:, t]) for t, e in enumerate(each))
        np.testing.assert_allclose(families.entropy(d), sum(families.entropy(e) for e in each))
    np.testing.assert_allclose(families.log_prob(d, y), expected, rtol=1e-10)


# ---------------------------------------------------------------- what is undefined, and why

UNDEFINED = [
    *(
        (name, q, "no order")
        for name in ("categorical", "dirichlet_categorical")
        for q in ("cdf", "quantile", "mean", "variance", "crps", "pit")
    ),
    *((name, q, "no density") for name in POINTS for q in ("log_prob", "entropy")),
    *(
        ("quantiles", q, "nothing about their tails")
        for q in ("log_prob", "entropy", "mean", "variance", "sample")
    ),
    *(("multivariate_normal", q, "marginals") for q in ("cdf", "quantile", "crps", "pit")),
]


@both
@pytest.mark.parametrize(("name", "question", "reason"), UNDEFINED)
def test_what_is_undefined_says_why(name: str, question: str, reason: str, mixture: bool) -> None:
    d = make(name, mixture=mixture)
    y = np.zeros((N, *d.event_shape))
    arguments = {"quantile": (0.5,), "sample": (np.random.default_rng(0), 2)}
    rest = arguments.get(question, () if question in ("entropy", "mean", "variance") else (y,))
    with pytest.raises(TypeError, match=reason):
        getattr(families, question)(d, *rest)


def test_entropy_of_a_mixture_of_multivariate_normals_is_undefined() -> None:
    with pytest.raises(TypeError, match="no closed form"):
        families.entropy(make("multivariate_normal", mixture=True))
    d = make("multivariate_normal", mixture=False)
    expected = per_row(d, lambda m, _: m[0][1].entropy())
    np.testing.assert_allclose(families.entropy(d), expected)


def test_numbers_have_no_classes() -> None:
    with pytest.raises(TypeError, match="A normal distribution has no classes"):
        families.class_probabilities(make("normal", mixture=False))


# ---------------------------------------------------------------- decompose


@pytest.mark.parametrize("name", ALL)
def test_a_single_distribution_is_never_split_into_zero(name: str) -> None:
    d = make(name, mixture=False)
    if name in ("dirichlet_categorical", "gaussian_marginal"):
        assert (families.decompose(d)[2] > 0).all()
        return
    with pytest.raises(TypeError, match=f"A single {d.family} distribution cannot be split"):
        families.decompose(d)


@pytest.mark.parametrize("name", CLASSES)
def test_class_parts_are_entropies(name: str) -> None:
    d = make(name, mixture=True)
    total, aleatoric, epistemic = families.decompose(d)
    np.testing.assert_allclose(total, families.entropy(d), rtol=1e-10)
    np.testing.assert_allclose(total, aleatoric + epistemic, rtol=1e-12)
    assert (epistemic > 0).all()
    if name != "dirichlet_categorical":
        parts = [
            families.entropy(
                ArrayDistribution(d.family, {k: v[:, s] for k, v in d.parameters.items()})
            )
            for s in range(S)
        ]
        expected = (d.mixture_weights * np.stack(parts, axis=1)).sum(axis=1)
        np.testing.assert_allclose(aleatoric, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["normal", "student_t", "log_normal", *COUNTS, "empirical"])
def test_number_parts_are_the_law_of_total_variance(name: str) -> None:
    d = make(name, mixture=True)
    total, aleatoric, epistemic = families.decompose(d)
    np.testing.assert_allclose(total, families.variance(d), rtol=1e-10)
    one = [ArrayDistribution(name, {k: v[:, s] for k, v in d.parameters.items()}) for s in range(S)]
    means = np.stack([families.mean(e) for e in one], axis=1)
    centre = (d.mixture_weights * means).sum(axis=1, keepdims=True)
    expected = (d.mixture_weights * (means - centre) ** 2).sum(axis=1)
    np.testing.assert_allclose(epistemic, expected, rtol=1e-9)
    np.testing.assert_allclose(aleatoric, total - expected, rtol=1e-9)


def test_gaussian_marginal_members_add_their_spread() -> None:
    d = make("gaussian_marginal", mixture=True)
    total, aleatoric, epistemic = families.decompose(d)
    w = d.mixture_weights
    np.testing.assert_allclose(aleatoric, (w * d.parameters["noise_scale"] ** 2).sum(1))
    np.testing.assert_allclose(total, families.variance(d))
    assert (epistemic > (w * d.parameters["latent_scale"] ** 2).sum(1)).all()
    joint = make("multivariate_normal", mixture=True)
    np.testing.assert_allclose(families.decompose(joint)[0], families.variance(joint))


def test_dirichlet_information_agrees_with_simulation() -> None:
    concentration = np.array([[0.4, 1.5, 3.0], [50.0, 20.0, 1.0]])
    d = ArrayDistribution("dirichlet_categorical", {"concentration": concentration})
    rng = np.random.default_rng(0)
    draws = np.stack([rng.dirichlet(a, size=200_000) for a in concentration])
    conditional = stats.entropy(draws, axis=-1)
    total, aleatoric, epistemic = families.decompose(d)
    np.testing.assert_allclose(
        aleatoric, conditional.mean(axis=1), atol=5 * conditional.std() / 447
    )
    np.testing.assert_allclose(total, families.entropy(d), rtol=1e-10)
    np.testing.assert_allclose(epistemic, total - aleatoric, rtol=1e-9)


def test_equal_members_share_all_they_know() -> None:
    one = make("categorical", mixture=False).parameters["logits"]
    logits = np.repeat(one[:, None], 4, axis=1)
    d = ArrayDistribution("categorical", {"logits": logits}, np.full((N, 4), 0.25))
    np.testing.assert_allclose(families.decompose(d)[2], 0.0, atol=1e-14)
    assert (families.decompose(d)[2] >= 0).all()


def test_certain_members_that_disagree_are_all_epistemic() -> None:
    d = ArrayDistribution("categorical", {"probs": np.eye(2)[None]}, np.array([[0.5, 0.5]]))
    total, aleatoric, epistemic = families.decompose(d)
    np.testing.assert_allclose([total[0], aleatoric[0], epistemic[0]], [np.log(2), 0, np.log(2)])


# ---------------------------------------------------------------- log-probabilities are not clamped


def test_a_tiny_probability_scores_what_it_is() -> None:
    probs = np.array([[1e-20, 1.0]], dtype=np.float32)
    d = ArrayDistribution("categorical", {"probs": probs})
    assert families.log_prob(d, [0])[0] == pytest.approx(np.log(1e-20), abs=1e-6)
    both_same = ArrayDistribution(
        "categorical", {"probs": np.stack([probs, probs], 1)}, np.full((1, 2), 0.5)
    )
    assert families.log_prob(both_same, [0])[0] == pytest.approx(np.log(1e-20), abs=1e-6)
    logits = families.log_softmax(np.array([[-2000.0, 0.0]], dtype=np.float32))
    assert logits.dtype == np.float32
    assert families.log_prob(ArrayDistribution("categorical", {"logits": logits}), [0])[0] == -2000
    mixed = ArrayDistribution(
        "categorical", {"logits": np.stack([logits, logits], 1)}, np.full((1, 2), 0.5)
    )
    assert families.class_log_probabilities(mixed)[0, 0] == -2000


def test_no_mass_scores_minus_infinity_without_a_warning() -> None:
    with np.errstate(all="raise"):
        d = ArrayDistribution("categorical", {"probs": np.array([[0.0, 1.0]])})
        assert families.log_prob(d, [0])[0] == -np.inf
        assert families.entropy(d)[0] == 0
        d = ArrayDistribution("bernoulli", {"probs": np.array([0.0, 1.0])})
        np.testing.assert_array_equal(families.log_prob(d, [1, 0]), [-np.inf, -np.inf])
    assert families.log_prob(make("log_normal", mixture=True), np.full(N, -1.0)).max() == -np.inf
    assert families.log_prob(make("poisson", mixture=False), np.full(N, 1.5)).max() == -np.inf
    assert (
        families.log_prob(make("negative_binomial", mixture=False), np.full(N, -1)).max() == -np.inf
    )


def test_given_probabilities_come_back_bit_for_bit() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=4).astype(np.float32)
    d = ArrayDistribution("categorical", {"probs": probs})
    assert d.parameters["probs"] is probs
    np.testing.assert_array_equal(families.class_probabilities(d), probs.astype(np.float64))


# ---------------------------------------------------------------- laws (hypothesis)

loc_scale = st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(loc_scale, min_size=1, max_size=4),
    st.floats(1e-4, 1 - 1e-4),
    st.sampled_from(["normal", "student_t", "log_normal"]),
)
def test_quantile_inverts_the_cdf_of_any_mixture(rows: list, q: float, family: str) -> None:
    loc, scale = np.array(rows).T[:, None, :]
    p = {"loc": loc, "scale": scale}
    if family == "student_t":
        p["df"] = np.full_like(loc, 3.0)
    if family == "log_normal":
        p = {"loc": loc / 100, "scale": np.clip(scale, 0.05, 3)}
    weights = np.full(loc.shape, 1 / loc.shape[1])
    d = ArrayDistribution(family, p, weights)
    x = families.quantile(d, q)
    # Between well-separated members the cdf is flat: x is only pinned to where F crosses q.
    nudge = 1e-9 * (np.abs(x) + scale.min())
    assert families.cdf(d, x - nudge)[0] <= q + 1e-9
    assert families.cdf(d, x + nudge)[0] >= q - 1e-9


@settings(deadline=None, max_examples=40)
@given(st.floats(0.01, 200), st.floats(0.05, 50), st.integers(0, 300))
def test_quantile_of_the_cdf_of_a_count_is_the_count(mean: float, n: float, k: int) -> None:
    poisson = ArrayDistribution("poisson", {"rate": np.array([mean])})
    negative = ArrayDistribution(
        "negative_binomial", {"total_count": np.array([n]), "logits": np.array([np.log(mean / n)])}
    )
    for d in (poisson, negative):
        level = families.cdf(d, np.array([k]))
        if 0 < level[0] < 1 - 1e-12:
            assert families.quantile(d, level)[0] <= k
            assert families.cdf(d, families.quantile(d, level))[0] == level[0]


@settings(deadline=None, max_examples=40)
@given(st.lists(loc_scale, min_size=2, max_size=4), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_crps_of_a_normal_mixture_moves_with_the_units(rows: list, y: float, shift: float) -> None:
    loc, scale = np.array(rows).T[:, None, :]
    w = np.full(loc.shape, 1 / loc.shape[1])
    one = families.crps(ArrayDistribution("normal", {"loc": loc, "scale": scale}, w), np.array([y]))
    other = families.crps(
        ArrayDistribution("normal", {"loc": 2 * (loc + shift), "scale": 2 * scale}, w),
        np.array([2 * (y + shift)]),
    )
    np.testing.assert_allclose(other, 2 * one, rtol=1e-7, atol=1e-7)
    assert one[0] >= -1e-9


def test_weights_of_zero_leave_the_other_members() -> None:
    p = parameters("normal", (N, 2))
    d = ArrayDistribution("normal", p, np.tile([1.0, 0.0], (N, 1)))
    alone = ArrayDistribution("normal", {k: v[:, 0] for k, v in p.items()})
    y = np.linspace(-1, 1, N)
    for ask in (families.log_prob, families.cdf, families.crps, families.pit):
        np.testing.assert_allclose(ask(d, y), ask(alone, y), rtol=1e-9)
    np.testing.assert_allclose(families.quantile(d, 0.2), families.quantile(alone, 0.2), rtol=1e-12)
    np.testing.assert_allclose(families.entropy(d), families.entropy(alone), rtol=1e-8)


def test_more_axes_before_the_rows_are_kept() -> None:
    for name in (*NUMBERS, *COUNTS):
        for mixture in (False, True):
            d = make(name, mixture=mixture)
            y = families.sample(d, np.random.default_rng(0), 3)
            for ask in (families.log_prob, families.cdf, families.crps, families.pit):
                expected = np.stack([ask(d, row) for row in y])
                np.testing.assert_allclose(ask(d, y), expected, rtol=1e-9)


def test_moments_that_do_not_exist_are_said() -> None:
    d = ArrayDistribution(
        "student_t", {"df": np.array([0.5, 1.5, 3.0]), "loc": np.ones(3), "scale": np.ones(3)}
    )
    np.testing.assert_array_equal(families.mean(d), [np.nan, 1.0, 1.0])
    np.testing.assert_allclose(families.variance(d), [np.nan, np.inf, 3.0])


def test_marginals_of_a_multivariate_normal() -> None:
    for mixture in (False, True):
        d = make("multivariate_normal", mixture=mixture)
        m = families.marginals(d)
        assert (m.family, m.event_ndim, m.event_shape) == ("normal", 1, (T,))
        np.testing.assert_allclose(families.variance(m), families.variance(d))
        np.testing.assert_allclose(families.mean(m), families.mean(d))
    with pytest.raises(TypeError, match="Only a multivariate_normal has marginals"):
        families.marginals(make("normal", mixture=False))


def test_the_class_path_never_loads_scipy_torch_or_pandas() -> None:
    code = (
        "import sys, numpy as np\n"
        "from uncertain import families as f\n"
        "d = f.ArrayDistribution('categorical', {'probs': np.full((2, 2), .5)})\n"
        "f.log_prob(d, [0, 1]); f.entropy(d); f.class_probabilities(d); f.select(d, [0])\n"
        "g = f.ArrayDistribution('normal', {'loc': np.zeros(2), 'scale': np.ones(2)})\n"
        "f.log_prob(g, np.zeros(2)); f.mean(g); f.variance(g)\n"
        "bad = {'scipy', 'torch', 'pandas', 'pyarrow', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "print(sorted(bad))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_family_is_in_the_matrix() -> None:
    assert {name.removesuffix("_probs") for name in ALL} == set(FAMILIES)


def test_table_without_metadata_or_columns_is_refused() -> None:
    table = families.to_table(make("normal", mixture=False))
    with pytest.raises(ValueError, match="schema metadata key"):
        families.from_table(table.replace_schema_metadata(None))
    with pytest.raises(ValueError, match=r"should have the columns \['scale'\]"):
        families.from_table(table.drop_columns(["scale"]))
    newer = {
        k: v.replace(b'"format": 1', b'"format": 99') for k, v in table.schema.metadata.items()
    }
    with pytest.raises(ValueError, match="format 1 or older, got 99"):
        families.from_table(table.replace_schema_metadata(newer))
    gone = table.set_column(0, "loc", pa.array([None] * N, pa.float64()))
    with pytest.raises(ValueError, match="`loc` should have no missing rows, got 6"):
        families.from_table(gone)
