"""The contract matrix: family x {single, mixture} x every question, against scipy or quadrature."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import integrate, special, stats

from uncertain import families
from uncertain.families import FAMILIES, ArrayDistribution

from .family_cases import (
    ALL,
    CLASSES,
    COUNTS,
    NUMBERS,
    ORDERED,
    POINTS,
    N,
    both,
    equal,
    make,
    per_row,
    scipy_families,
    targets_of,
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
    bottom = -np.inf if name.startswith(("normal", "gaussian", "student")) else 0.0
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
    if not mixture and not name.endswith("_marginal"):
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


def test_large_float32_logits_still_give_probabilities_that_sum_to_one():
    z = -3000 * np.random.default_rng(0).random((200, 4)) - 5000
    kept = (z - np.logaddexp.reduce(z, axis=1, keepdims=True)).astype(np.float32) + np.float32(5e-5)
    p = families.class_probabilities(ArrayDistribution("categorical", {"logits": kept}))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-12)
