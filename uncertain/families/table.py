"""The table: one row a family. A new family is one more row here."""

from __future__ import annotations

import numpy as np

from . import classes, continuous, counts, draws, integration, joint
from .structure import Array, Family, Parameter, Parameters, Undefined

_NO_ORDER = Undefined("A categorical distribution's classes have no order: this needs a number.")
_NO_DENSITY = Undefined(
    "Points have no density: score them by `crps`, or fit a family that has one."
)
_NO_TAILS = Undefined(
    "Quantile predictions say nothing about their tails, so this is undefined: use `quantile`, "
    "`cdf`, `crps` or `pit`."
)
_JOINT = Undefined(
    "This is defined for one output at a time: take `marginals(d)` of the multivariate normal."
)
_NO_JOINT_ENTROPY = Undefined(
    "The entropy of a mixture of multivariate normals has no closed form: estimate it from "
    "`sample` and `log_prob`."
)


def _categorical(name: str, forms: tuple[tuple[Parameter, ...], ...]) -> Family:
    dirichlet = name == "dirichlet_categorical"
    return Family(
        name=name,
        forms=forms,
        support="classes",
        log_prob=classes.dirichlet_log_prob if dirichlet else classes.categorical_log_prob,
        cdf=_NO_ORDER,
        quantile=_NO_ORDER,
        entropy=classes.dirichlet_entropy if dirichlet else classes.categorical_entropy,
        mean=_NO_ORDER,
        variance=_NO_ORDER,
        crps=_NO_ORDER,
        sample=classes.dirichlet_sample if dirichlet else classes.categorical_sample,
        class_log_probs=classes.dirichlet_log_probs if dirichlet else classes.categorical_log_probs,
        parts=classes.dirichlet_parts if dirichlet else None,
    )


_BERNOULLI = Family(
    name="bernoulli",
    forms=((Parameter("logits", "log_odds"),), (Parameter("probs", "probability"),)),
    support="classes",
    log_prob=classes.bernoulli_log_prob,
    cdf=classes.bernoulli_cdf,
    quantile=classes.bernoulli_quantile,
    entropy=classes.bernoulli_entropy,
    mean=classes.bernoulli_mean,
    variance=classes.bernoulli_variance,
    crps=classes.bernoulli_crps,
    sample=classes.bernoulli_sample,
    pit_bounds=classes.bernoulli_pit_bounds,
    class_log_probs=classes.bernoulli_log_probs,
)


def _via_normal(name: str) -> Family:
    """Return the Gaussian marginal: the normal's functions at its total scale."""
    view = continuous.marginal_as_normal
    return Family(
        name=name,
        forms=(
            (
                Parameter("loc", "real"),
                Parameter("latent_scale", "nonnegative"),
                Parameter("noise_scale", "nonnegative"),
            ),
        ),
        support="real",
        log_prob=lambda p, y: continuous.normal_log_prob(view(p), y),
        cdf=lambda p, y: continuous.normal_cdf(view(p), y),
        quantile=lambda p, q: continuous.normal_quantile(view(p), q),
        entropy=lambda p: continuous.normal_entropy(view(p)),
        mean=continuous.normal_mean,
        variance=lambda p: continuous.normal_variance(view(p)),
        crps=lambda p, y: continuous.normal_crps(view(p), y),
        sample=lambda p, rng, shape: continuous.normal_sample(view(p), rng, shape),
        parts=continuous.marginal_parts,
        mixture_crps=lambda p, w, y: continuous.normal_mixture_crps(view(p), w, y),
    )


_NORMAL = Family(
    name="normal",
    forms=((Parameter("loc", "real"), Parameter("scale", "positive")),),
    support="real",
    log_prob=continuous.normal_log_prob,
    cdf=continuous.normal_cdf,
    quantile=continuous.normal_quantile,
    entropy=continuous.normal_entropy,
    mean=continuous.normal_mean,
    variance=continuous.normal_variance,
    crps=continuous.normal_crps,
    sample=continuous.normal_sample,
    mixture_crps=continuous.normal_mixture_crps,
)

_STUDENT_T = Family(
    name="student_t",
    forms=(
        (Parameter("df", "positive"), Parameter("loc", "real"), Parameter("scale", "positive")),
    ),
    support="real",
    log_prob=continuous.student_t_log_prob,
    cdf=continuous.student_t_cdf,
    quantile=continuous.student_t_quantile,
    entropy=continuous.student_t_entropy,
    mean=continuous.student_t_mean,
    variance=continuous.student_t_variance,
    crps=continuous.student_t_crps,
    sample=continuous.student_t_sample,
)


def _via_student_t(name: str) -> Family:
    """Return the Student-t marginal: the Student-t's functions at its total scale."""
    view = continuous.marginal_as_student_t
    return Family(
        name=name,
        forms=(
            (
                Parameter("df", "positive"),
                Parameter("loc", "real"),
                Parameter("latent_scale", "nonnegative"),
                Parameter("noise_scale", "nonnegative"),
            ),
        ),
        support="real",
        log_prob=lambda p, y: continuous.student_t_log_prob(view(p), y),
        cdf=lambda p, y: continuous.student_t_cdf(view(p), y),
        quantile=lambda p, q: continuous.student_t_quantile(view(p), q),
        entropy=lambda p: continuous.student_t_entropy(view(p)),
        mean=lambda p: continuous.student_t_mean(view(p)),
        variance=lambda p: continuous.student_t_variance(view(p)),
        crps=lambda p, y: continuous.student_t_crps(view(p), y),
        sample=lambda p, rng, shape: continuous.student_t_sample(view(p), rng, shape),
        parts=continuous.student_t_marginal_parts,
    )


_LOG_NORMAL = Family(
    name="log_normal",
    forms=((Parameter("loc", "real"), Parameter("scale", "positive")),),
    support="positive",
    log_prob=continuous.log_normal_log_prob,
    cdf=continuous.log_normal_cdf,
    quantile=continuous.log_normal_quantile,
    entropy=continuous.log_normal_entropy,
    mean=continuous.log_normal_mean,
    variance=continuous.log_normal_variance,
    crps=continuous.log_normal_crps,
    sample=continuous.log_normal_sample,
)

_POISSON: Family = Family(
    name="poisson",
    forms=((Parameter("rate", "nonnegative"),),),
    support="counts",
    log_prob=counts.poisson_log_prob,
    cdf=counts.poisson_cdf,
    quantile=counts.poisson_quantile,
    entropy=integration.count_entropy(lambda: _POISSON),
    mean=counts.poisson_mean,
    variance=counts.poisson_mean,
    crps=counts.poisson_crps,
    sample=counts.poisson_sample,
    pit_bounds=lambda p, y: counts.bounds(counts.poisson_cdf, p, y),
)

_NEGATIVE_BINOMIAL: Family = Family(
    name="negative_binomial",
    forms=((Parameter("total_count", "positive"), Parameter("logits", "real")),),
    support="counts",
    log_prob=counts.negative_binomial_log_prob,
    cdf=counts.negative_binomial_cdf,
    quantile=counts.negative_binomial_quantile,
    entropy=integration.count_entropy(lambda: _NEGATIVE_BINOMIAL),
    mean=counts.negative_binomial_mean,
    variance=counts.negative_binomial_variance,
    crps=counts.negative_binomial_crps,
    sample=counts.negative_binomial_sample,
    pit_bounds=lambda p, y: counts.bounds(counts.negative_binomial_cdf, p, y),
)

_MULTIVARIATE_NORMAL = Family(
    name="multivariate_normal",
    forms=((Parameter("loc", "real", ("T",)), Parameter("scale_tril", "cholesky", ("T", "T"))),),
    support="real",
    log_prob=joint.multivariate_normal_log_prob,
    cdf=_JOINT,
    quantile=_JOINT,
    entropy=joint.multivariate_normal_entropy,
    mean=joint.multivariate_normal_mean,
    variance=joint.multivariate_normal_variance,
    crps=_JOINT,
    sample=joint.multivariate_normal_sample,
    event_ndim=1,
    mixture_quantile=_JOINT,
    mixture_crps=_JOINT,
    mixture_entropy=_NO_JOINT_ENTROPY,
)


def _points(name: str, *, fair: bool) -> Family:
    return Family(
        name=name,
        forms=((Parameter("samples", "real", ("K",)),),),
        support="real",
        log_prob=_NO_DENSITY,
        cdf=draws.empirical_cdf,
        quantile=draws.empirical_quantile,
        entropy=_NO_DENSITY,
        mean=draws.empirical_mean,
        variance=draws.sample_variance if fair else draws.empirical_variance,
        crps=draws.fair_crps if fair else draws.empirical_crps,
        sample=draws.empirical_sample,
        pit_bounds=draws.empirical_pit_bounds,
        mixture_quantile=draws.pooled_quantile,
        mixture_crps=draws.pooled_fair_crps if fair else draws.pooled_crps,
        mixture_entropy=_NO_DENSITY,
    )


def _mixture_quantiles_crps(p: Parameters, w: Array, y: Array) -> Array:
    """Score the mixture's own quantiles at the same levels."""
    levels = p["levels"]
    rows = w.shape[:-1]
    values = [
        integration.mixture_quantile(_QUANTILES, p, w, np.full(rows, level)) for level in levels
    ]
    single = {"levels": levels, "values": np.stack(values, axis=-1)}
    return draws.quantiles_crps(single, y[..., 0] if y.ndim else y)


_QUANTILES = Family(
    name="quantiles",
    forms=(
        (
            Parameter("levels", "levels", ("Q",), shared=True),
            Parameter("values", "increasing", ("Q",)),
        ),
    ),
    support="real",
    log_prob=_NO_TAILS,
    cdf=draws.quantiles_cdf,
    quantile=draws.quantiles_quantile,
    entropy=_NO_TAILS,
    mean=_NO_TAILS,
    variance=_NO_TAILS,
    crps=draws.quantiles_crps,
    sample=_NO_TAILS,
    pit_bounds=draws.quantiles_bounds,
    mixture_crps=_mixture_quantiles_crps,
    mixture_entropy=_NO_TAILS,
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        _categorical(
            "categorical",
            (
                (Parameter("logits", "log_simplex", ("C",)),),
                (Parameter("probs", "simplex", ("C",)),),
            ),
        ),
        _BERNOULLI,
        _categorical("dirichlet_categorical", ((Parameter("concentration", "positive", ("C",)),),)),
        _NORMAL,
        _via_normal("gaussian_marginal"),
        _STUDENT_T,
        _via_student_t("student_t_marginal"),
        _LOG_NORMAL,
        _POISSON,
        _NEGATIVE_BINOMIAL,
        _MULTIVARIATE_NORMAL,
        _points("empirical", fair=False),
        _points("empirical_sample", fair=True),
        _QUANTILES,
    )
}
"""Every family by its key."""
