"""The predictor: nearest label measure, probabilities from distances, the distance as its doubt."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.discrepancy import Wasserstein2Parts, gaussian_wasserstein2_parts, stein_squared
from uncertain.discrepancy.derivatives import squared_gaps
from uncertain.fit import Batch
from uncertain.wasserstein.arguments import run_backbone
from uncertain.wasserstein.finite import check_distances
from uncertain.wasserstein.head import Covariance, GaussianHead, HeadOutput
from uncertain.wasserstein.parts import DistanceParts, particle_spread
from uncertain.wasserstein.targets import LabelMeasures

STEIN_PARTICLES, STEIN_DIMENSIONS = 8, 8
"""Fewer particles, or more dimensions, and the particles' kernel discrepancy is noise."""


class WassersteinClassifier(nn.Module):
    r"""Classify by the distance of a Gaussian in the label space to a label measure a class.

    A row is a measure (``inputs``), M particles; the backbone and a Gaussian head send each particle
    to a Gaussian, and the squared distance of the row to class k is their mean,

    .. math:: D_k(x) = \frac1M \sum_j W_2^2\bigl(N(m_j, S_j), \gamma_k\bigr), \qquad
              p(y = k \mid x) = \frac{\exp(-D_k / T)}{\sum_l \exp(-D_l / T)}

    It is linear in the measure: unbiased at every M, so M may differ between training and use. The
    objective is

    .. math:: -\log p(y \mid x) + \text{pull} \cdot (\text{location}_y + w\, \text{shape}_y)
              + \lambda\, \mathrm{KSD}^2(\text{particles}, \gamma_y)

    averaged over rows by weight: location and shape are the two summands of :math:`D_y`, and the last
    term, off by default, asks that the particles of a row, one draw from each of their Gaussians, be
    distributed as the label measure of its class, that is, invariant under its diffusion.

    With diagonal covariances :math:`W_2` is the Euclidean distance of (means, deviations): a class
    is then a prototype in 2 D dimensions, and what measures add over a plain prototype is the second
    half of them. With ``centered`` the means say nothing of the class, and location is left out of the
    distance.

    Args:
        backbone: From particles (N M, ...) to features (N M, F).
        num_features: F.
        num_classes: C.
        label_dim: D of the label space.
        covariance: Of the head: ``diagonal``, ``full`` or ``none``, a point mass.
        centered: All label measures have mean 0: the paper's form.
        targets: The label measures, where the default ones (random means and unit covariances, learnt;
            centred: a fixed code book) are not what is wanted.
        inputs: Makes a row a measure: ``Perturbed``, ``PointCloud`` or any module from (N, ...) to
            (N, M, ...). By default a row is one particle.
        pull: Weight of the distance to the true class.
        shape_weight: w, of the shape in that distance.
        invariance_weight: lambda; the term takes part in steps with at least 8 particles (a quarter of
            those of ``Perturbed`` as it comes), and asks for at most 8 dimensions and a covariance.
        temperature: Where T starts, above 0; D by default. It is learnt.
        seed: Of the head, the label measures and the draws of the last term in evaluation.

    Raises:
        TypeError: For sizes that are not whole numbers, targets that are no label measures, or inputs
            that are no module.
        ValueError: For sizes below one, weights below 0 or infinite, label measures that do not fit, a point mass
            beside centred label measures, or an invariance term that can not be estimated.

    References:
        S. W. Park, D. W. Shu and J. Kwon, "Diffusion-invariant Wasserstein distributional
        classification", 2020. This is a reconstruction, not their code.

    Example:
        >>> network = nn.Sequential(nn.Linear(5, 16), nn.ReLU())
        >>> model = WassersteinClassifier(network, 16, 3, label_dim=4)
        >>> x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
        >>> model(x).probs.shape, model.distance(x).shape
        (torch.Size([6, 3]), torch.Size([6]))
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        *,
        label_dim: int = 8,
        covariance: Covariance = "diagonal",
        centered: bool = False,
        targets: LabelMeasures | None = None,
        inputs: nn.Module | None = None,
        pull: float = 0.01,
        shape_weight: float = 1.0,
        invariance_weight: float = 0.0,
        temperature: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_count("num_classes", num_classes)
        checks.check_count("label_dim", label_dim)
        if not isinstance(inputs, nn.Module | None):
            raise TypeError(f"`inputs` should be a module, got {type(inputs).__name__}.")
        for name, weight in {
            "pull": pull,
            "shape_weight": shape_weight,
            "invariance_weight": invariance_weight,
        }.items():
            checks.check_range(name, weight, 0, open_high=True)
        if targets is None:
            make = LabelMeasures.code_book if centered else LabelMeasures.random
            targets = make(num_classes, label_dim, seed=seed)
        _check_targets(targets, num_classes, label_dim, centered, covariance)
        _check_invariance(invariance_weight, label_dim, covariance, inputs)
        start = float(label_dim) if temperature is None else temperature
        checks.check_range("temperature", start, 0, open_low=True, open_high=True)
        self.num_features, self.num_classes, self.label_dim = num_features, num_classes, label_dim
        self.covariance, self.centered, self.temperature = covariance, centered, temperature
        self.pull, self.shape_weight, self.seed = pull, shape_weight, seed
        self.invariance_weight = invariance_weight
        self.backbone = backbone
        self.inputs = inputs
        self.targets = targets
        self.head = GaussianHead(num_features, label_dim, covariance=covariance, seed=seed)
        self.log_temperature = nn.Parameter(torch.tensor(start).log())

    @property
    def forward_passes(self) -> int:
        """How often the backbone sees a row in evaluation."""
        return int(getattr(self.inputs, "particles", None) or 1)

    def forward(self, x: Any) -> Categorical:
        """Return the classes' distribution of each row.

        Raises:
            TypeError: Where x does not have the dtype of the backbone's weights.
            ValueError: Where x or what the backbone makes of it is not finite.
        """
        logits = self._logits(self._read(x)[1])
        # torch's own check can not take no rows; numbers are finite by now.
        return Categorical(logits=logits, validate_args=None if len(logits) else False)

    def measures(self, x: Any) -> HeadOutput:
        """Return the Gaussians of each row's particles: means (N, M, D) and factors.

        Raises:
            TypeError: Where x does not have the dtype of the backbone's weights, or the backbone
                returns no floating tensor.
            ValueError: Where its features do not have shape (N M, F).
        """
        return self._measured(x)[1]

    def _measured(self, x: Any) -> tuple[Tensor, HeadOutput]:
        """Return the features (N M, F) beside the Gaussians."""
        particles = x.unsqueeze(1) if self.inputs is None else self.inputs(x)
        rows, number = particles.shape[:2]
        features = run_backbone(self.backbone, particles.flatten(0, 1))
        if not isinstance(features, Tensor) or not features.is_floating_point():
            what = features.dtype if isinstance(features, Tensor) else type(features).__name__
            raise TypeError(f"`backbone` should return floating features (N, F), got {what}.")
        checks.check_shape("backbone(x)", features, (rows * number, self.num_features))
        mean, factor = self.head(features)
        return features, HeadOutput(
            mean.unflatten(0, (rows, number)), factor.unflatten(0, (rows, number))
        )

    def _read(self, x: Any) -> tuple[HeadOutput, Wasserstein2Parts]:
        """Return the Gaussians of a row and its distances, which are finite."""
        features, measures = self._measured(x)
        if self.covariance == "full":  # Between matrices a distance has a check of its own.
            squares = [part.detach().square().flatten(2).sum(2) for part in measures]
            check_distances(x, features, squares[0] + squares[1])
        parts = self._distances(measures)
        check_distances(x, features, parts.total())
        return measures, parts

    def class_distances(self, x: Any) -> Float[Tensor, "N C"]:
        """Return the squared distance of each row to each class.

        Raises:
            ValueError: Where x or what the backbone makes of it is not finite.
        """
        return self._total(self._read(x)[1])

    def distance(self, x: Any) -> Float[Tensor, " N"]:
        """Return the squared distance to the nearest class: larger for less certain.

        In training mode ``Perturbed`` inputs, like dropout, draw anew in every call: call ``eval()``
        first.
        """
        return self.class_distances(x).amin(-1)

    def score(self, x: Any) -> Float[Tensor, " N"]:
        """Return :meth:`distance`, under the name that a predictor's own score has.

        In training mode it may differ from call to call: call ``eval()`` first.
        """
        return self.distance(x)

    def distance_parts(self, x: Any) -> DistanceParts:
        """Return what each row's distance to its nearest class is made of.

        In training mode it may differ from call to call: call ``eval()`` first. ``between`` is NaN
        where a row is one particle.
        """
        measures, parts = self._read(x)
        nearest = self._total(parts).argmin(-1)
        location, shape = (part.gather(1, nearest[:, None])[:, 0] for part in parts)
        return DistanceParts(nearest, location, shape, *particle_spread(*measures))

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean objective of a batch; y may be labels or label distributions.

        Args:
            batch: y of class indices (N,), or of probabilities (N, C), several raters' say.

        Raises:
            ValueError: For classes that there are not, rows of y that do not sum to one, another number
                of rows than x has, or where x or what the backbone makes of it is not finite (in ``fit``
                a ``NonFiniteError``, which names the step).
            TypeError: For labels that are not whole numbers.
        """
        y = self._checked(batch.y)
        measures, parts = self._read(batch.x)
        checks.check_same_length(x=measures.mean, y=y)
        values = F.cross_entropy(self._logits(parts), y, reduction="none")
        if self.pull:
            pulled = parts.location + self.shape_weight * parts.shape
            values = values + self.pull * _at(pulled, y)
        if self.invariance_weight and measures.mean.shape[1] >= STEIN_PARTICLES:
            values = values + self.invariance_weight * _at(self._invariance(measures), y)
        return batch.mean(values)

    def _distances(self, measures: HeadOutput) -> Wasserstein2Parts:
        """Return location and shape (N, C), means over particles."""
        deviations = self.targets.deviations()
        means = self.targets.means.to(deviations)
        mean, factor = measures
        if self.covariance == "full":
            parts = gaussian_wasserstein2_parts(
                mean.unsqueeze(-2), factor.unsqueeze(-3), means, deviations, cholesky=True
            )
            return Wasserstein2Parts(parts.location.mean(1), parts.shape.mean(1))
        # Diagonal covariances, or none: both parts are Euclidean, and a step is short.
        location = squared_gaps(mean.unsqueeze(-2), means).mean(1)
        if self.covariance == "none":
            return Wasserstein2Parts(location, deviations.square().sum(-1).expand_as(location))
        return Wasserstein2Parts(location, squared_gaps(factor.unsqueeze(-2), deviations).mean(1))

    def _total(self, parts: Wasserstein2Parts) -> Tensor:
        return parts.shape if self.centered else parts.total()

    def _logits(self, parts: Wasserstein2Parts) -> Tensor:
        total = self._total(parts)
        return -total / self.log_temperature.to(total).exp()

    def _checked(self, y: Any) -> Tensor:
        """Return labels (N,) as int64, or the share of each class (N, C)."""
        labels = torch.as_tensor(y)
        if labels.ndim == 2 and labels.shape[1] == 1 < self.num_classes:
            raise ValueError(
                f"`y` should have shape (N,) for labels, or (N, {self.num_classes}) for a share a class, "
                f"got {tuple(labels.shape)}: `y.squeeze(1)` makes labels of it."
            )
        if labels.ndim == 2:
            checks.check_shape("y", labels, ("N", self.num_classes), hint="a share a class")
            checks.check_probabilities("y", labels)
            return labels.to(torch.promote_types(self.log_temperature.dtype, torch.float32))
        checks.check_labels("y", labels, self.num_classes)
        return labels.long()

    def _invariance(self, measures: HeadOutput) -> Tensor:
        """Return the kernel discrepancy of each row's particles from each class, (N, C)."""
        shape = measures.mean.shape
        if self.training:
            noise = torch.randn_like(measures.mean)
        else:  # The same draws for every row: what a row gives does not depend on the batch.
            generator = torch.Generator().manual_seed(self.seed)
            noise = torch.randn(shape[1:], generator=generator).to(measures.mean)
        if self.covariance == "full":
            drawn = measures.mean + (measures.factor @ noise.unsqueeze(-1)).squeeze(-1)
        else:
            drawn = measures.mean + measures.factor * noise
        deviations = self.targets.deviations()
        means = self.targets.means.to(deviations)
        # Whitened by each class, so that the kernel's width fits all of them.
        points = (drawn.unsqueeze(1) - means[:, None]) / deviations[:, None]
        return stein_squared(points, -points)


def _at(values: Tensor, y: Tensor) -> Tensor:
    """Return each row's value at its label, or the mean by its shares."""
    return values.gather(1, y[:, None])[:, 0] if y.ndim == 1 else (values * y).sum(-1)


def _check_targets(
    targets: LabelMeasures, num_classes: int, label_dim: int, centered: bool, covariance: Covariance
) -> None:
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


def _check_invariance(
    weight: float, label_dim: int, covariance: Covariance, inputs: nn.Module | None
) -> None:
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
