"""The predictor: nearest label measure, probabilities from distances, the distance as its doubt."""

from __future__ import annotations

import math
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
from uncertain.wasserstein.inputs import Perturbed, particles_of
from uncertain.wasserstein.parts import DistanceParts, at_labels, averaged, particle_spread
from uncertain.wasserstein.settings import (
    STEIN_PARTICLES,
    LearnFrom,
    Logit,
    Pooling,
    check_invariance,
    check_targets,
)
from uncertain.wasserstein.targets import LabelMeasures

_SOFTENED = 1e-2
"""Added to a squared distance before its root: one more dimension, in which all classes are as far."""


class WassersteinClassifier(nn.Module):
    r"""Classify by the distance of a Gaussian in the label space to a label measure a class.

    A row is a measure (``inputs``), M particles; the backbone and a Gaussian head send each particle
    to a Gaussian, and the squared distance of the row to class k is their mean,

    .. math:: D_k(x) = \frac1M \sum_j W_2^2\bigl(N(m_j, S_j), \gamma_k\bigr), \qquad
              p(y = k \mid x) = \frac{\exp(-d_k^p / T)}{\sum_l \exp(-d_l^p / T)}

    :math:`D_k` is linear in the measure: unbiased at every M, so M may differ between training and use.
    Here :math:`d_k = \sqrt{D_k}`. With p = 1 (``logit="distance"``) no odds are larger than the label
    measures are apart, however far a row lies: :math:`\lvert d_k - d_l \rvert \le W_2(\gamma_k,
    \gamma_l)`, by the triangle inequality. With p = 2 they grow with the distance without end, as those
    of a linear layer. The objective is

    .. math:: -\log p(y \mid x) + \text{pull} \cdot (\text{location}_y + w\, \text{shape}_y)
              + \lambda\, \mathrm{KSD}^2(\text{particles}, \gamma_y)

    averaged over rows by weight, the first term also over the views of a row, each on its own. Location
    and shape are the two summands of :math:`D_y`. The last term, off by default, asks that the particles
    of a row, one draw from each of their Gaussians, be distributed as the label measure of its class,
    that is, invariant under its diffusion.

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
        logit: What is divided by T: the ``distance``, p = 1, or ``squared``, p = 2.
        learn_from: What the cross-entropy is of: every one of the ``particles``, or the ``measure``
            that they make up, where hard views hide behind easy ones. By default of particles where
            inputs are ``Perturbed``, else of the measure: one point of a cloud has no class.
        pooling: How M particles make up a row's probabilities: by their mean ``distance``, or by their
            mean ``likelihood``, :math:`p(y = k \mid x) \propto \sum_j \exp(-d_{kj}^p / T)`, where a view
            that is far from every class has no say.
        temperature: Where T starts, above 0; by default D for p = 2, a quarter of its root for p = 1.
            It is learnt.
        seed: Of the head, the label measures and the draws of the last term in evaluation.

    Raises:
        TypeError: For sizes that are not whole numbers, targets that are no label measures, or inputs
            that are no module.
        ValueError: For fewer than two classes, other sizes below one, weights below 0 or infinite, label
            measures that do not fit, a point mass beside centred ones, or an invariance term that can
            not be estimated.

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
        pull: float = 0.03,
        shape_weight: float = 1.0,
        invariance_weight: float = 0.0,
        logit: Logit = "distance",
        learn_from: LearnFrom | None = None,
        pooling: Pooling = "distance",
        temperature: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_count("num_classes", num_classes, 2)
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
        check_targets(targets, num_classes, label_dim, centered, covariance)
        check_invariance(invariance_weight, label_dim, covariance, inputs)
        checks.check_choice("logit", logit, ("distance", "squared"))
        if learn_from is None:
            learn_from = "particles" if isinstance(inputs, Perturbed) else "measure"
        checks.check_choice("learn_from", learn_from, ("particles", "measure"))
        checks.check_choice("pooling", pooling, ("distance", "likelihood"))
        usual = float(label_dim) if logit == "squared" else label_dim**0.5 / 4
        start = usual if temperature is None else temperature
        checks.check_range("temperature", start, 0, open_low=True, open_high=True)
        self.num_features, self.num_classes, self.label_dim = num_features, num_classes, label_dim
        self.covariance, self.centered, self.temperature = covariance, centered, temperature
        self.pull, self.shape_weight, self.seed = pull, shape_weight, seed
        self.invariance_weight = invariance_weight
        self.logit: Logit = logit
        self.learn_from: LearnFrom = learn_from
        self.pooling: Pooling = pooling
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
            TypeError: Where x is no tensor, or not of the dtype of the backbone's weights.
            ValueError: Where the backbone refuses the shape of x, or one of them is not finite.
        """
        logits = self._row_logits(self._read(x)[1])
        # torch's own check can not take no rows; numbers are finite by now.
        return Categorical(logits=logits, validate_args=None if len(logits) else False)

    def measures(self, x: Any) -> HeadOutput:
        """Return the Gaussians of each row's particles: means (N, M, D) and factors.

        Raises:
            TypeError: Where x is no tensor, or not of the dtype of the backbone's weights, or the
                backbone returns no floating tensor.
            ValueError: Where it refuses the shape of x, or its features do not have shape (N M, F).
        """
        return self._measured(x)[1]

    def _measured(self, x: Any) -> tuple[Tensor, HeadOutput]:
        """Return the features (N M, F) beside the Gaussians."""
        particles = particles_of(x, self.inputs)
        rows, number = particles.shape[:2]
        features = run_backbone(self.backbone, particles.flatten(0, 1), x)
        if not isinstance(features, Tensor) or not features.is_floating_point():
            what = features.dtype if isinstance(features, Tensor) else type(features).__name__
            raise TypeError(f"`backbone` should return floating features (N, F), got {what}.")
        checks.check_shape("backbone(x)", features, (rows * number, self.num_features))
        mean, factor = self.head(features)
        return features, HeadOutput(
            mean.unflatten(0, (rows, number)), factor.unflatten(0, (rows, number))
        )

    def _read(self, x: Any) -> tuple[HeadOutput, Wasserstein2Parts]:
        """Return the Gaussians of a row's particles and their distances (N, M, C), which are finite."""
        features, measures = self._measured(x)
        if self.covariance == "full":  # Between matrices a distance has a check of its own.
            squares = [part.detach().square().flatten(2).sum(2) for part in measures]
            check_distances(x, features, squares[0] + squares[1])
        parts = self._distances(measures)
        check_distances(x, features, parts.total().sum(1))
        return measures, parts

    def class_distances(self, x: Any) -> Float[Tensor, "N C"]:
        """Return the squared distance of each row to each class.

        Raises:
            ValueError: Where x or what the backbone makes of it is not finite.
        """
        return self._total(averaged(self._read(x)[1]))

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
        measures, each = self._read(x)
        parts = averaged(each)
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
            TypeError: For labels that are not of an integer dtype.
        """
        y = self._checked(batch.y)
        measures, each = self._read(batch.x)
        checks.check_same_length(x=measures.mean, y=y)
        parts = averaged(each)
        values = self._cross_entropy(each, y)
        if self.pull:
            pulled = parts.location + self.shape_weight * parts.shape
            values = values + self.pull * at_labels(pulled, y)
        if self.invariance_weight and measures.mean.shape[1] >= STEIN_PARTICLES:
            values = values + self.invariance_weight * at_labels(self._invariance(measures), y)
        return batch.mean(values)

    def _distances(self, measures: HeadOutput) -> Wasserstein2Parts:
        """Return location and shape (N, M, C)."""
        deviations = self.targets.deviations()
        means = self.targets.means.to(deviations)
        mean, factor = measures
        if self.covariance == "full":
            return gaussian_wasserstein2_parts(
                mean.unsqueeze(-2), factor.unsqueeze(-3), means, deviations, cholesky=True
            )
        # Diagonal covariances, or none: both parts are Euclidean, and a step is short.
        location = squared_gaps(mean.unsqueeze(-2), means)
        if self.covariance == "none":
            return Wasserstein2Parts(location, deviations.square().sum(-1).expand_as(location))
        return Wasserstein2Parts(location, squared_gaps(factor.unsqueeze(-2), deviations))

    def _total(self, parts: Wasserstein2Parts) -> Tensor:
        return parts.shape if self.centered else parts.total()

    def _logits(self, parts: Wasserstein2Parts) -> Tensor:
        total = self._total(parts)
        if self.logit == "distance":
            total = (total + _SOFTENED).sqrt()
        return -total / self.log_temperature.to(total).exp()

    def _row_logits(self, each: Wasserstein2Parts) -> Tensor:
        """Return the logits of a row (N, C) from the distances of its particles (N, M, C)."""
        if self.pooling == "distance":
            return self._logits(averaged(each))
        logits = self._logits(each)
        return logits.logsumexp(1) - math.log(logits.shape[1])

    def _cross_entropy(self, each: Wasserstein2Parts, y: Tensor) -> Tensor:
        """Return that of each row (N,): of its particles, one by one, or of their measure."""
        if self.learn_from == "measure":
            return F.cross_entropy(self._row_logits(each), y, reduction="none")
        logits = self._logits(each)
        rows, particles = logits.shape[:2]
        labels = y.repeat_interleave(particles, dim=0)
        values = F.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
        of_rows: Tensor = values.reshape(rows, particles).mean(1)
        return of_rows

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
        checks.check_indices("y", labels)
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
