"""What is undefined, how uncertainty splits, and laws that hold for any parameters."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from uncertain import families
from uncertain.families import ArrayDistribution

from .family_cases import (
    ALL,
    CLASSES,
    COUNTS,
    NUMBERS,
    POINTS,
    N,
    S,
    T,
    both,
    equal,
    make,
    parameters,
    per_row,
)


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
    if name in ("dirichlet_categorical", "gaussian_marginal", "student_t_marginal"):
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


@both
@pytest.mark.parametrize("name", ALL)
def test_no_rows_give_no_answers(name: str, mixture: bool) -> None:
    d = families.select(make(name, mixture=mixture), [])
    y = np.zeros((0, *d.event_shape), dtype=np.int64)
    asked = 0
    for ask in (families.log_prob, families.cdf, families.crps, families.pit):
        try:
            assert ask(d, y).shape[0] == 0
            asked += 1
        except TypeError:
            continue
    for ask in (families.mean, families.variance, families.entropy):
        try:
            assert len(ask(d)) == 0
            asked += 1
        except TypeError:
            continue
    assert asked > 0
    if name in (*NUMBERS, *COUNTS, *POINTS):
        assert families.quantile(d, 0.5).shape == (0,)
        assert families.sample(d, np.random.default_rng(0), 2).shape == (2, 0)
