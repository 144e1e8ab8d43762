"""One small batch of every family, single and mixed, and the same rows as scipy writes them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from uncertain import families
from uncertain.families import ArrayDistribution

N, S, T, C, K = 6, 3, 2, 4, 7
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
CLASSES = (
    "categorical",
    "categorical_probs",
    "bernoulli",
    "bernoulli_probs",
    "dirichlet_categorical",
)
NUMBERS = ("normal", "gaussian_marginal", "student_t", "student_t_marginal", "log_normal")
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
        "student_t_marginal": {
            "df": 2.2 + 5 * wide,
            "loc": loc,
            "latent_scale": wide,
            "noise_scale": wide[::-1],
        },
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
    if family == "student_t_marginal":
        return stats.t(p["df"], p["loc"], np.hypot(p["latent_scale"], p["noise_scale"]))
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


def equal(a: ArrayDistribution, b: ArrayDistribution) -> None:
    assert (a.family, a.event_ndim, a.members) == (b.family, b.event_ndim, b.members)
    assert set(a.parameters) == set(b.parameters)
    for name, value in a.parameters.items():
        assert value.dtype == b.parameters[name].dtype
        np.testing.assert_array_equal(value, b.parameters[name])
    if a.mixture_weights is not None:
        np.testing.assert_array_equal(a.mixture_weights, b.mixture_weights)
