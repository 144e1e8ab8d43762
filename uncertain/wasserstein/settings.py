"""Settings of the classifier: their choices, and checks that they fit each other."""

from __future__ import annotations

from typing import Literal

from torch import nn

from uncertain import checks
from uncertain.wasserstein.head import Covariance
from uncertain.wasserstein.targets import LabelMeasures

LearnFrom = Literal["particles", "measure"]
Logit = Literal["distance", "squared"]
Pooling = Literal["distance", "likelihood"]
STEIN_PARTICLES, STEIN_DIMENSIONS = 8, 8
"""Fewer particles, or more dimensions, and the particles' kernel discrepancy is noise."""


def check_targets(
    targets: LabelMeasures, num_classes: int, label_dim: int, centered: bool, covariance: Covariance
) -> None:
    """Raise where label measures do not fit the classifier's sizes or form."""
    if not isinstance(targets, LabelMeasures):
        raise TypeError(f"`targets` should be LabelMeasures, got {type(targets).__name__}.")
    checks.check_shape("targets.means", targets.means, (num_classes, label_dim))
    if targets.centered != centered:
        raise ValueError(
            f"`targets.centered` should be {centered}, as `centered` is, got {targets.centered}."
        )
    if centered and covariance == "none":
        raise ValueError(
            "`covariance` should be 'diagonal' or 'full' where label measures are centred, got 'none': "
            "a point mass is as far from every one of them as from any other, wherever it lies."
        )


def check_invariance(
    weight: float, label_dim: int, covariance: Covariance, inputs: nn.Module | None
) -> None:
    """Raise where the invariance term could not be estimated."""
    if not weight:
        return
    checks.check_range(
        "label_dim",
        label_dim,
        1,
        STEIN_DIMENSIONS,
        hint="the invariance term is noise in more dimensions",
    )
    if covariance == "none":
        raise ValueError(
            "`covariance` should be 'diagonal' or 'full' for an invariance term, got 'none': point "
            "masses are no Gaussian."
        )
    # Modules of a user's own may make as many particles as they like.
    numbers = (1,) if inputs is None else getattr(inputs, "train_particles", (STEIN_PARTICLES,))
    if max(numbers) < STEIN_PARTICLES:
        raise ValueError(
            f"`inputs` should make at least {STEIN_PARTICLES} particles a row in some training steps "
            f"for an invariance term, got {max(numbers)} at most: pass "
            f"Perturbed(..., train_particles=(1, 2, 4, {STEIN_PARTICLES}))."
        )
