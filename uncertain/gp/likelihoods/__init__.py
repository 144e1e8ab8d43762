"""What a target is, given the latent functions: Gaussian, Student-t, heteroscedastic, classes."""

from __future__ import annotations

from typing import Any, Literal, get_args

from uncertain import checks
from uncertain.gp.likelihoods.base import (
    SMALLEST_NOISE,
    Likelihood,
    Quadratic,
    Regression,
    Units,
)
from uncertain.gp.likelihoods.classes import Bernoulli, Classification, Softmax, checked_indices
from uncertain.gp.likelihoods.gaussian import GaussianNoise, HeteroscedasticNoise
from uncertain.gp.likelihoods.student_t import StudentTNoise

LikelihoodName = Literal["gaussian", "student_t", "heteroscedastic", "bernoulli", "softmax"]

__all__ = [
    "SMALLEST_NOISE",
    "Bernoulli",
    "Classification",
    "GaussianNoise",
    "HeteroscedasticNoise",
    "Likelihood",
    "LikelihoodName",
    "Quadratic",
    "Regression",
    "Softmax",
    "StudentTNoise",
    "Units",
    "named",
]


def named(name: LikelihoodName, y: Any, *, noise: float) -> Likelihood:
    """Return the likelihood of a name, for the shape and the classes of training targets.

    Args:
        name: Of the likelihood.
        y: (N,) or (N, T) floating targets, or (N,) class indices.
        noise: Where the variance of the noise starts, in units of the target's.

    Raises:
        TypeError: For classes that are no integers.
        ValueError: For another name.

    Example:
        >>> import torch
        >>> named("softmax", torch.tensor([0, 2, 1]), noise=0.1).classes
        3
    """
    checks.check_choice("likelihood", name, get_args(LikelihoodName))
    if name == "bernoulli":
        return Bernoulli()
    if name == "softmax":
        checked_indices(y)
        return Softmax(max(2, int(y.max()) + 1 if len(y) else 2))
    outputs = y.shape[1] if getattr(y, "ndim", 1) == 2 else None
    if name == "student_t":
        return StudentTNoise(outputs, noise=noise)
    if name == "heteroscedastic":
        return HeteroscedasticNoise(outputs, noise=noise)
    return GaussianNoise(outputs, noise=noise)
