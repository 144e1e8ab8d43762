import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from tests.evaluation import simulate
from uncertain import intervals as iv

RNG = np.random.default_rng(0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# Quantiles


@pytest.mark.parametrize("df", [0.5, 1, 1.7, 2, 3, 9, 29.5, 100, 1e4, 2e7, math.inf])
@pytest.mark.parametrize("p", [1e-9, 1e-4, 0.025, 0.3, 0.5, 0.6, 0.975, 0.9999])
def test_t_quantile_and_tail_against_scipy(p: float, df: float) -> None:
    expected = special.ndtri(p) if math.isinf(df) else stats.t.ppf(p, df)
    assert iv.t_quantile(p, df) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    t = abs(expected) + 0.1
    tail = 2 * (special.ndtr(-t) if math.isinf(df) else stats.t.sf(t, df))
    assert iv.t_two_sided(t, df) == pytest.approx(tail, rel=1e-7)


def test_tails_at_the_ends() -> None:
    assert iv.t_two_sided(math.inf, 3) == 0
    assert iv.t_two_sided(0, 3) == 1
    assert math.isnan(iv.t_two_sided(math.nan, 3))
    assert iv.normal_two_sided(30) > 0  # no cancellation
    assert iv.normal_quantile(0.975) == pytest.approx(special.ndtri(0.975), abs=1e-12)


# Proportions and means


@pytest.mark.parametrize("level", [0.5, 0.95, 0.9995])
def test_clopper_pearson_against_statsmodels(level: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    for k in range(31):
        found = iv.clopper_pearson(k, 30, level=level)
        expected = proportion_confint(k, 30, alpha=1 - level, method="beta")
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_clopper_pearson_refuses_more_successes_than_trials() -> None:
    with pytest.raises(ValueError, match=r"`successes` should lie in \[0, 3\], got 4"):
        iv.clopper_pearson(4, 3)


@pytest.mark.parametrize("n", [10, 50, 100, 2000])
def test_wilson_against_statsmodels_away_from_the_corners(n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    for k in range(n + 1):
        expected = proportion_confint(k, n, method="wilson")
        assert iv.wilson_bounds(k / n, n) == pytest.approx(expected, abs=1e-12)
        found = iv.wilson(k, n)
        near = min(k, n - k)
        if near == 0 or near > 3:
            assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
        assert found.low <= expected[0] + 1e-12
        assert found.high >= expected[1] - 1e-12


def test_wilson_next_to_one_is_the_poisson_bound() -> None:
    # P(Poisson(lambda) >= 3) = .05, by the gamma quantile.
    assert iv.wilson(97, 100).high == pytest.approx(1 - stats.gamma.ppf(0.05, 3) / 100, abs=1e-12)


@functools.cache
def wilson_of_all(n: int) -> list[iv.Estimate]:
    return [iv.wilson(k, n) for k in range(n + 1)]


@pytest.mark.parametrize("n", simulate.SIZES)
@pytest.mark.parametrize("p", [*simulate.ACCURACIES, 0.8, 0.95, 0.98, 0.995])
def test_wilson_covers_exactly(p: float, n: int) -> None:
    """No simulation: the coverage is a finite binomial sum."""
    inside = [b.low <= p <= b.high for b in wilson_of_all(n)]
    assert stats.binom.pmf(np.arange(n + 1), n, p)[inside].sum() >= simulate.REQUIRED


def test_mean_t_is_the_textbook_interval() -> None:
    x = rng().exponential(size=30)
    low, high = stats.t.interval(0.9, 29, x.mean(), stats.sem(x))
    for found in (iv.mean(x, level=0.9), iv.mean_t(30, x.sum(), (x * x).sum(), level=0.9)):
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)
    assert iv.mean(x, null=1.0).p_value == pytest.approx(stats.ttest_1samp(x, 1.0).pvalue, rel=1e-9)


def test_exact_sums_keep_digits() -> None:
    x = 1e9 + np.arange(4.0)
    total = sum(Fraction(v) for v in x.tolist())
    squares = sum(Fraction(v) ** 2 for v in x.tolist())
    assert iv.mean_t(4, total, squares).margin == pytest.approx(iv.mean(np.arange(4.0)).margin)
    assert iv.mean(x).margin == pytest.approx(iv.mean(np.arange(4.0)).margin)


def test_a_weight_is_copies_in_one_group() -> None:
    x, w = rng().normal(size=40), rng().integers(1, 5, 40)
    hits = x > 0
    group = np.repeat(np.arange(40), w)
    for function, values in ((iv.mean, x), (iv.proportion, hits)):
        weighted = function(values, weights=w)
        copied = function(np.repeat(values, w), groups=group)
        assert weighted.value == pytest.approx(copied.value)
    assert iv.mean(x, weights=w).low == pytest.approx(iv.mean(np.repeat(x, w), groups=group).low)


def test_scale_of_weights_does_not_matter() -> None:
    x, w = rng().normal(size=40), rng().random(40)
    assert iv.mean(x, weights=w).low == pytest.approx(iv.mean(x, weights=7 * w).low)
    assert iv.proportion(x > 0, weights=w).low == pytest.approx(
        iv.proportion(x > 0, weights=7 * w).low
    )


def test_equal_groups_are_a_t_interval_of_group_means() -> None:
    x = rng().normal(size=60)
    groups = np.repeat([f"g{i:02d}" for i in range(12)], 5)
    means = x.reshape(12, 5).mean(axis=1)
    low, high = stats.t.interval(0.95, 11, means.mean(), stats.sem(means))
    found = iv.mean(x, groups=groups)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)
    assert found.n == 60
    assert found.n_groups == 12


def test_cr2_variance_is_unbiased_with_unequal_groups() -> None:
    sizes = np.array([1.0, 2, 3, 10, 20])
    draws = rng().normal(size=(20_000, 5)) * np.sqrt(sizes)
    variances = [iv.ratio_variance(d, sizes)[1] for d in draws[:4000]]
    assert np.mean(variances) == pytest.approx(1 / sizes.sum(), rel=0.05)
    df = iv.ratio_variance(draws[0], sizes)[2]
    # Satterthwaite: 2 mean^2 / variance of the variance estimate.
    assert df == pytest.approx(2 * np.mean(variances) ** 2 / np.var(variances), rel=0.15)


@given(st.permutations(range(10)))
def test_means_have_the_same_bits_in_any_order(order: list[int]) -> None:
    x = rng().normal(size=10) * 1e3
    w, g = rng().random(10), np.arange(10) // 3
    assert iv.mean(x, weights=w, groups=g) == iv.mean(x[order], weights=w[order], groups=g[order])
    assert iv.mean(x, weights=w) == iv.mean(x[order], weights=w[order])
    assert iv.mean(x) == iv.mean(x[order])


def test_figures_without_an_interval_say_why() -> None:
    assert iv.mean([1.0]).reason == "one row has no spread"
    assert iv.mean([1.0, 2.0], groups=[0, 0]).reason == "one group has no spread"
    assert iv.proportion([True, True], groups=[0, 0]).reason == "one group has no spread"
    assert iv.mean_t(0, 0, 0).reason == "no rows"
    assert iv.mean_t(1, 2.0, 4.0).value == 2
    assert iv.wilson(0, 0).reason == "no rows"
    infinite = iv.mean([1.0, math.inf])
    assert infinite.value == math.inf
    assert infinite.reason == "1 of 2 row scores are infinite"
    assert math.isnan(iv.mean([-math.inf, math.inf]).value)
    assert iv.mean([1.0, 3.0, math.inf], weights=[1, 1, 0]).value == 2
    assert iv.mean_t(2, math.inf, math.inf).value == math.inf
    assert iv.ratio_t([], [], n=0).reason == "no rows"
    assert math.isnan(iv.undefined("why").value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iv.mean([1.0, math.nan]), "no NaN, got 1 of 2, the first at row 1"),
        (lambda: iv.mean([]), "`values` should have at least one row"),
        (lambda: iv.mean([1.0, 2.0], weights=[1, -1]), "`weights` should lie in"),
        (lambda: iv.mean([1.0, 2.0], weights=[0, 0]), "got only zeros"),
        (lambda: iv.mean([1.0, 2.0], weights=[1]), "one weight a row"),
        (lambda: iv.mean([1.0, 2.0], groups=[1]), "as many rows"),
        (lambda: iv.mean([1.0, 2.0], groups=[1.0, math.nan]), "`groups` should be finite"),
        (lambda: iv.mean([1.0, 2.0], level=1.0), "`level` should lie in"),
        (lambda: iv.proportion([0.5, 2.0]), "`hits` should lie in"),
        (lambda: iv.wilson(5, 4), "`successes` should lie in"),
        (lambda: iv.wilson(1, 4, design_effect=0), "`design_effect` should lie in"),
        (lambda: iv.t_quantile(0.0, 3), "`p` should lie in"),
        (lambda: iv.t_quantile(0.5, 0), "`df` should lie in"),
        (lambda: iv.holm([0.1, 1.2]), "`p_values` should lie in"),
        (lambda: iv.rank_groups([1.0], np.ones((2, 2))), "one p-value a pair"),
        (lambda: iv.rank_groups([1.0], np.ones((1, 1)), best="large"), "`best` should be one of"),
        (lambda: iv.placements([1.0], [True]), "both classes"),
        (lambda: iv.delong([1.0, math.nan], [True, False]), "a NaN has no rank"),
        (lambda: iv.delong([1.0, 2.0], [2, 0]), "only 0 and 1"),
        (lambda: iv.crossed(np.ones((2, 3)), level=2), "`level` should lie in"),
        (lambda: iv.crossed_difference(np.ones((2, 3)), np.ones((2, 4))), "the same items"),
        (lambda: iv.cell_weights([0, 5], 3), "`cells` should lie in"),
    ],
)
def test_bad_input(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


# The area under the ROC curve


def slow_delong(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """All pairs, as in DeLong's paper."""
    x, y = scores[positive], scores[~positive]
    kernel = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    v10, v01 = kernel.mean(axis=1), kernel.mean(axis=0)
    return kernel.mean(), v10.var(ddof=1) / len(x) + v01.var(ddof=1) / len(y)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=4, max_size=40))
def test_delong_against_all_pairs(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([r[0] for r in rows], dtype=float)
    positive = np.array([r[1] for r in rows])
    if min(positive.sum(), (~positive).sum()) < 2:
        return
    area, variance = slow_delong(scores, positive)
    found = iv.placements(scores, positive)
    assert found.area == pytest.approx(area, abs=1e-14)
    assert iv.area_variance(found, positive).variance == pytest.approx(variance, abs=1e-14)


def test_weighted_and_grouped_areas_are_those_of_copies() -> None:
    sample = simulate.ranked(rng(), 0.8, 60)
    w = rng().integers(1, 4, 60)
    copies = np.repeat(np.arange(60), w)
    weighted = iv.delong(sample.scores, sample.positive, weights=w)
    copied = iv.delong(sample.scores[copies], sample.positive[copies], groups=copies)
    assert weighted.value == pytest.approx(copied.value)
    assert weighted.margin == pytest.approx(copied.margin, rel=0.05)
    twice = np.tile(np.arange(60), 2)
    grouped = iv.delong(sample.scores[twice], sample.positive[twice], groups=twice)
    assert grouped.margin == pytest.approx(
        iv.delong(sample.scores, sample.positive).margin, rel=0.03
    )


def test_any_scale_and_either_direction() -> None:
    sample = simulate.ranked(rng(), 0.87, 400)
    plain = iv.delong(sample.scores, sample.positive)
    far = iv.delong(1e6 + 40 * sample.scores, sample.positive)
    assert far == plain
    flipped = iv.delong(-sample.scores, sample.positive)
    assert flipped.value == pytest.approx(1 - plain.value)
    assert flipped.low == pytest.approx(1 - plain.high, abs=1e-3)


def test_large_samples_have_delongs_interval() -> None:
    sample = simulate.ranked(rng(), 0.8, 20_000)
    area, variance = 0.0, 0.0
    found = iv.placements(sample.scores, sample.positive)
    variance = iv.area_variance(found, sample.positive).variance
    area = found.area
    estimate = iv.delong(sample.scores, sample.positive)
    assert estimate.low == pytest.approx(area - 1.96 * variance**0.5, abs=2e-4)
    assert estimate.high == pytest.approx(area + 1.96 * variance**0.5, abs=2e-4)


def test_perfect_separation_has_the_exact_bound() -> None:
    positive = np.arange(100) >= 50
    found = iv.delong(np.arange(100.0), positive)
    bound = iv.perfect_area_bound(50)
    assert bound**50 == pytest.approx(0.05)
    assert found.low <= bound
    assert found.high == 1
    # 25 groups of one positive and one negative each hold 12 disjoint pairs of groups.
    grouped = iv.delong(np.arange(50.0), np.arange(50) >= 25, groups=np.arange(50) % 25)
    assert grouped.low <= iv.perfect_area_bound(12)
    assert iv.perfect_area_bound(0) == 0
    worst = iv.delong(-np.arange(100.0), positive)
    assert (worst.value, worst.low, worst.high) == pytest.approx((0, 0, 1 - found.low))


def test_all_ties_are_a_coin_with_an_interval() -> None:
    found = iv.delong(np.zeros(100), np.arange(100) % 2 == 0)
    assert found.value == 0.5
    assert found.low < 0.45
    assert found.high > 0.55


def test_one_class_is_undefined_with_the_reason() -> None:
    for positive, reason in (([True, True], "no negative rows"), ([False, False], "no positive")):
        found = iv.delong([1.0, 2.0], positive)
        assert math.isnan(found.value)
        assert reason in found.reason
    assert iv.delong([], np.zeros(0, bool)).reason == "no rows"
    assert "one class" in iv.delong_difference([1.0], [2.0], [True]).reason


def test_paired_delong_is_the_covariance_form() -> None:
    sample = simulate.ranked(rng(), 0.8, 200)
    other = sample.scores + rng().normal(size=200)
    y = sample.positive
    a, b = iv.placements(sample.scores, y), iv.placements(other, y)
    s10, s01 = np.cov(a.positive, b.positive), np.cov(a.negative, b.negative)
    s = s10 / y.sum() + s01 / (~y).sum()
    found = iv.delong_difference(sample.scores, other, y)
    expected = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    assert (found.margin / iv.t_quantile(0.975, 99)) ** 2 == pytest.approx(expected)
    same = iv.delong_difference(sample.scores, sample.scores, y)
    assert same.value == 0
    assert same.p_value == 1


# The bootstrap


def test_bootstrap_of_a_mean_is_its_standard_error() -> None:
    cells = rng().integers(0, 50, 5000)
    weights = iv.cell_weights(cells, 50, replicates=4000)
    means = weights @ np.arange(50) / weights.sum(axis=1)
    assert means.std() == pytest.approx(cells.std() / 5000**0.5, rel=0.05)


@pytest.mark.parametrize("n_cells", [50, 5_000])
def test_grouped_bootstrap_is_the_cluster_standard_error(n_cells: int) -> None:
    groups = np.repeat(np.arange(4000), 2)
    cells = rng().integers(0, 50, 4000)[groups]
    weights = iv.cell_weights(cells, n_cells, groups=groups, replicates=600)
    means = weights[:, :50] @ np.arange(50) / weights.sum(axis=1)
    expected = iv.mean(cells.astype(float), groups=groups).margin / 1.96
    assert means.std() == pytest.approx(expected, rel=0.1)


def test_weighted_cells_have_the_rows_mean_and_variance() -> None:
    w = iv.cell_weights([0, 0, 1], 2, weights=[1.0, 3.0, 2.0], replicates=40_000)
    np.testing.assert_allclose(w.mean(axis=0), [4, 2], rtol=0.03)
    np.testing.assert_allclose(w.var(axis=0), [10, 4], rtol=0.06)


@given(st.permutations(range(12)))
def test_cell_weights_do_not_see_the_order(order: list[int]) -> None:
    cells, groups = np.arange(12) % 5, np.array(["a", "b", "c"])[np.arange(12) // 4]
    for kwargs, again in (({}, {}), ({"groups": groups}, {"groups": groups[order]})):
        np.testing.assert_array_equal(
            iv.cell_weights(cells, 5, replicates=8, **kwargs),
            iv.cell_weights(cells[order], 5, replicates=8, **again),
        )


def test_bootstrap_estimates() -> None:
    draws = rng().normal(0.9, 0.05, 5000)
    inside = iv.bootstrap_estimate(0.9, draws, n=500, bounds=(0.0, 1.0))
    assert inside.low < 0.9 < inside.high < 1
    plain = iv.bootstrap_estimate(0.9, draws, n=500, null=0.9)
    assert plain.p_value == 1
    assert plain.high == pytest.approx(0.9 + 1.96 * 0.05, abs=0.005)
    assert iv.bootstrap_estimate(math.nan, draws, n=3).reason == "undefined"
    assert "too few" in iv.bootstrap_estimate(0.5, [0.5], n=3).reason
    still = iv.bootstrap_estimate(0.5, np.full(20, 0.5), n=9, null=0.0)
    assert (still.low, still.high, still.p_value) == (0.5, 0.5, 0.0)


# Trainings


@pytest.mark.usefixtures("unchecked")
def test_crossed_variances_are_those_of_a_simulation() -> None:
    r = rng()
    found, means = [], []
    for _ in range(500):
        y = 0.5 * r.normal(size=(6, 1)) + 2.0 * r.normal(size=(1, 40)) + r.normal(size=(6, 40))
        means.append(y.mean())
        found.append(iv.crossed(y, null=0.0))
    covered = {
        over: np.mean([getattr(c, over).low <= 0 <= getattr(c, over).high for c in found])
        for over in ("items", "trainings", "both")
    }
    assert 0.92 <= covered["both"] <= 0.985
    # Each interval alone answers a smaller question, and misses the population's mean.
    assert covered["items"] < 0.93
    assert covered["trainings"] < 0.93
    rejected = np.mean([c.both.p_value < 0.05 for c in found])
    assert rejected == pytest.approx(1 - covered["both"], abs=1e-9)
    assert [e.over for e in found[0]] == ["items", "trainings", "both"]


def test_one_training_has_no_spread() -> None:
    found = iv.crossed(rng().normal(size=(1, 50)))
    assert found.trainings.reason == found.both.reason == "one training has no spread"
    assert found.items.low < found.items.value
    assert iv.crossed(np.ones((2, 1))).items.reason == "one item has no spread"
    assert iv.over_trainings([0.5]).reason == "one training has no spread"
    assert iv.over_trainings([]).reason == "no trainings"


def test_over_trainings_is_student() -> None:
    x = rng().normal(size=5)
    found = iv.over_trainings(x, null=0.0)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 4, x.mean(), stats.sem(x))
    )
    assert found.p_value == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=1e-9)


def test_paired_difference_is_the_paired_t_test() -> None:
    a, b = rng().normal(size=(2, 1, 80))
    found = iv.crossed_difference(a, b).items
    assert found.p_value == pytest.approx(stats.ttest_rel(a[0], b[0]).pvalue, rel=1e-9)


# Several comparisons


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_against_statsmodels(p: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    np.testing.assert_allclose(iv.holm(p), multipletests(p, method="holm")[1], atol=1e-12)


def test_holm_leaves_out_what_was_not_compared() -> None:
    np.testing.assert_array_equal(iv.holm([math.nan, 0.02]), [math.nan, 0.02])
    assert len(iv.holm([])) == 0


@given(
    st.integers(1, 7).flatmap(
        lambda m: st.tuples(
            st.lists(st.floats(0, 1), min_size=m, max_size=m),
            st.lists(st.sampled_from([1e-9, 1.0]), min_size=m * m, max_size=m * m),
        )
    )
)
def test_models_share_a_letter_exactly_when_not_split(
    case: tuple[list[float], list[float]],
) -> None:
    values, flat = case
    m = len(values)
    p = np.array(flat).reshape(m, m)
    letters = iv.rank_groups(values, p)
    for i in range(m):
        assert letters[i]
        for j in range(i + 1, m):
            assert bool(set(letters[i]) & set(letters[j])) == (p[i, j] > 0.5)
    assert "a" in letters[int(np.argmax(values))]


def test_lower_may_be_better_and_missing_models_have_no_letter() -> None:
    p = np.full((3, 3), 1e-6)
    assert iv.rank_groups([0.1, math.nan, 0.2], p, best="low") == ["a", "", "b"]
    assert iv.rank_groups([], np.zeros((0, 0))) == []


# The bootstrap's weights


@pytest.mark.parametrize("rows", [64, 400])
def test_large_cells_have_gamma_weights(rows: int) -> None:
    """Drawn through a normal: quantiles and moments are a Gamma's, far into both tails."""
    totals = np.full(40, float(rows))
    drawn = iv.gamma_weights(totals, totals, replicates=10_000, seed=1).ravel()
    law = stats.gamma(rows)
    assert drawn.mean() == pytest.approx(rows, rel=1e-3)
    assert drawn.var() == pytest.approx(rows, rel=0.01)
    assert stats.skew(drawn) == pytest.approx(2 / rows**0.5, abs=0.02)
    for p in (1e-4, 0.01, 0.5, 0.99, 0.9999):
        # 400,000 draws know the share below a quantile to a few of its standard errors.
        assert np.mean(drawn <= law.ppf(p)) == pytest.approx(
            p, abs=4 * (p * (1 - p) / 4e5) ** 0.5 + 1e-5
        )


def test_small_and_large_cells_stand_side_by_side() -> None:
    totals = np.array([0.0, 3.0, 500.0, 7.0])
    drawn = iv.gamma_weights(totals, totals, replicates=4000)
    np.testing.assert_allclose(drawn.mean(axis=0), totals, rtol=0.05)
    np.testing.assert_allclose(drawn.var(axis=0), totals, rtol=0.15)
    assert (drawn >= 0).all()
