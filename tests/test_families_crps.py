"""The CRPS against other libraries, double sums and integrals; points and quantiles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scoringrules
from scipy import integrate, special, stats

from uncertain import families
from uncertain.families import ArrayDistribution, integration

from .family_cases import (
    LEVELS,
    POINTS,
    K,
    N,
    both,
    make,
)


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


@pytest.mark.parametrize(
    ("family", "tolerance"), [("log_normal", 1e-10), ("student_t", 1e-6), ("poisson", 1e-10)]
)
def test_quadrature_over_equal_members_is_the_closed_form(family: str, tolerance: float) -> None:
    scale = np.geomspace(0.02, 4.0, 40)
    p = {
        "log_normal": {"loc": np.linspace(-3, 3, 40), "scale": scale},
        "student_t": {"df": np.linspace(1.05, 9, 40), "loc": np.zeros(40), "scale": scale},
        "poisson": {"rate": 10 * scale},
    }[family]
    y = np.linspace(0.0, 20.0, 40)
    one = ArrayDistribution(family, p)
    pair = {name: np.stack([value, value], axis=1) for name, value in p.items()}
    two = ArrayDistribution(family, pair, np.tile([0.3, 0.7], (40, 1)))
    np.testing.assert_allclose(families.crps(two, y), families.crps(one, y), rtol=tolerance)
    np.testing.assert_allclose(
        families.entropy(two), families.entropy(one), rtol=tolerance, atol=tolerance
    )


def test_quadrature_resolves_members_of_very_different_scales() -> None:
    """A needle beside a haystack: compared with the closed form for normals."""
    rng = np.random.default_rng(0)
    loc, scale = 5 * rng.normal(size=(50, 3)), np.exp(3 * rng.normal(size=(50, 3)))
    w = rng.dirichlet(np.ones(3), size=50)
    d = ArrayDistribution("normal", {"loc": loc, "scale": scale}, w)
    y = 3 * rng.normal(size=50)
    numeric = integration.mixture_crps(
        families.FAMILIES["normal"], {"loc": loc, "scale": scale}, w, y
    )
    np.testing.assert_allclose(numeric, families.crps(d, y), rtol=1e-10)


@pytest.mark.parametrize("decades", [0, 4])
def test_quadrature_over_many_members_takes_some_of_their_quantiles(decades: int) -> None:
    rng = np.random.default_rng(0)
    loc = rng.normal(size=(6, 300))
    scale = 10 ** (decades * (rng.random((6, 300)) - 0.5))
    w, y = rng.dirichlet(np.ones(300), size=6), rng.normal(size=6)
    assert 300 * len(integration.LEVELS) > 10 * integration.PANELS
    found = integration.mixture_crps(
        families.FAMILIES["normal"], {"loc": loc, "scale": scale}, w, y
    )
    normals = ArrayDistribution("normal", {"loc": loc, "scale": scale}, w)
    np.testing.assert_allclose(found, families.crps(normals, y), rtol=1e-6)
