"""One distribution of every family, single and mixed, with targets: the rows of the contract matrix."""

import functools

import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    LogNormal,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from uncertain.predictive import (
    DirichletCategorical,
    Empirical,
    GaussianMarginal,
    Quantiles,
    StudentTMarginal,
    mixture,
)

N, S, T, C = 7, 3, 2, 4

SINGLE = (
    "categorical_logits",
    "categorical_probs",
    "bernoulli_logits",
    "bernoulli_probs",
    "dirichlet_categorical",
    "normal",
    "gaussian_marginal",
    "student_t",
    "student_t_marginal",
    "log_normal",
    "poisson",
    "negative_binomial",
    "negative_binomial_probs",
    "multivariate_normal",
    "empirical",
    "empirical_sample",
    "quantiles",
)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def single(name, *batch, dtype=torch.float64, seed=0):
    g = _generator(seed)

    def normal(*trailing):
        return torch.randn(*batch, *trailing, generator=g, dtype=torch.float64).to(dtype)

    def positive(*trailing):
        return normal(*trailing).exp()

    def probability(*trailing):
        return normal(*trailing).sigmoid()

    make = {
        "categorical_logits": lambda: Categorical(logits=3 * normal(C)),
        "categorical_probs": lambda: Categorical(probs=normal(C).softmax(-1)),
        "bernoulli_logits": lambda: Bernoulli(logits=3 * normal()),
        "bernoulli_probs": lambda: Bernoulli(probs=probability()),
        "dirichlet_categorical": lambda: DirichletCategorical(positive(C)),
        "normal": lambda: Normal(normal(), positive()),
        "gaussian_marginal": lambda: GaussianMarginal(normal(), positive(), positive()),
        "student_t": lambda: StudentT(2.5 + positive(), normal(), positive()),
        "student_t_marginal": lambda: StudentTMarginal(
            2.5 + positive(), normal(), positive(), positive()
        ),
        "log_normal": lambda: LogNormal(normal(), 0.3 + 0.3 * probability()),
        "poisson": lambda: Poisson(3 * positive()),
        "negative_binomial": lambda: NegativeBinomial(2 * positive(), logits=normal()),
        "negative_binomial_probs": lambda: NegativeBinomial(2 * positive(), probs=probability()),
        "multivariate_normal": lambda: MultivariateNormal(
            normal(T), scale_tril=0.3 * normal(T, T).tril(-1) + positive(T).diag_embed()
        ),
        "empirical": lambda: Empirical(normal(5)),
        "empirical_sample": lambda: Empirical(normal(5), is_sample=True),
        "quantiles": lambda: Quantiles(
            torch.tensor([0.1, 0.5, 0.9], dtype=dtype), normal(3).sort(-1).values
        ),
    }
    return make[name]()


def mixed(name, dtype=torch.float64, seed=0):
    weights = torch.rand(N, S, generator=_generator(seed + 1), dtype=torch.float64).to(dtype)
    return mixture(single(name, N, S, dtype=dtype, seed=seed), weights / weights.sum(-1, True))


def independent(name, dtype=torch.float64, seed=0):
    return Independent(single(name, N, T, dtype=dtype, seed=seed), 1)


def mixed_independent(name, dtype=torch.float64, seed=0):
    return mixture(Independent(single(name, N, S, T, dtype=dtype, seed=seed), 1))


@functools.cache
def everything(dtype=torch.float64):
    """Name -> distribution of batch shape (N,), for all shapes that have a meaning."""
    made = {}
    for name in SINGLE:
        made[name] = single(name, N, dtype=dtype)
        made[f"{name} mixture"] = mixed(name, dtype=dtype)
        if name != "multivariate_normal":
            made[f"{name} independent"] = independent(name, dtype=dtype)
            made[f"{name} mixture independent"] = mixed_independent(name, dtype=dtype)
    return made


def targets(name, dtype=torch.float64, seed=3):
    """Targets in the support, of the shape that the distribution of this name takes."""
    shape = (N, T) if "independent" in name or "multivariate" in name else (N,)
    g = _generator(seed)
    y = torch.randn(*shape, generator=g, dtype=torch.float64)
    if name.startswith(("categorical", "dirichlet")):
        return (y.abs() * 2).long().clamp(max=C - 1)
    if name.startswith("bernoulli"):
        return (y > 0).to(dtype)
    if name.startswith(("poisson", "negative")):
        return (y.abs() * 3).floor().to(dtype)
    if name.startswith("log_normal"):
        return y.exp().to(dtype)
    return y.to(dtype)


NAMES = tuple(everything())
