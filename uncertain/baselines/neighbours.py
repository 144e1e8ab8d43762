"""Classes by the nearest training rows in feature space.

``N`` rows, ``M`` training rows, ``D`` features, ``C`` classes, ``k`` neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.baselines.features import feature_rows, squared_distances, widened

_ENTRIES = 2**24
"""Distances held at a time."""


class KNNHead(nn.Module):
    r"""The share of each class among the k nearest training rows, smoothed.

    .. math:: p(y = c \mid h) = \frac{n_c(h) + a}{k + a C}

    Nothing is trained. It keeps all training features, so its memory and its time grow with them;
    its probabilities take k + 1 values at most, so they tie. Rows at the same distance count in the
    order of the training data.

    Args:
        bank: (M, D) training features.
        labels: (M,) their classes.
        neighbours: k, at most M.
        classes: C; by default the largest label plus one.
        smoothing: a, rows of each class added to every neighbourhood; above 0, so that no class is
            ever impossible.
        normalise: Whether features are divided by their length first, as for detecting strange rows.

    Raises:
        ValueError: For wrong shapes, numbers that are not finite, or a k that is not there.
        TypeError: Where labels are not whole numbers.

    References:
        Y. Sun et al., "Out-of-distribution detection with deep nearest neighbors", 2022, for
        :meth:`score`; N. Papernot and P. McDaniel, "Deep k-nearest neighbors", 2018.

    Example:
        >>> bank, labels = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 0, 1])
        >>> head = KNNHead(bank, labels, neighbours=2, smoothing=0.5, normalise=False)
        >>> head(torch.tensor([[0.4]])).probs
        tensor([[0.8333, 0.1667]])
    """

    bank: Tensor
    labels: Tensor

    def __init__(
        self,
        bank: Float[Tensor, "M D"],
        labels: Int[Tensor, " M"],
        *,
        neighbours: int = 10,
        classes: int | None = None,
        smoothing: float = 0.5,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        checks.check_shape("bank", bank, ("M", "D"), hint="one training row a line")
        checks.check_not_empty("bank", bank)
        checks.check_finite("bank", bank)
        checks.check_shape("labels", labels, (len(bank),), hint="one class index a row")
        checks.check_range("neighbours", neighbours, 1, len(bank), hint="rows of the bank")
        checks.check_range("smoothing", smoothing, 0, open_low=True)
        count = int(labels.max()) + 1 if classes is None else classes
        checks.check_labels("labels", labels, count)
        self.neighbours, self.classes, self.smoothing = neighbours, count, smoothing
        self.normalise = normalise
        self.register_buffer("bank", bank.detach().clone())
        self.register_buffer("labels", labels.detach().long().clone())

    @classmethod
    def from_data(
        cls,
        features: Float[Tensor, "N D"],
        y: Any,
        *,
        neighbours: int = 10,
        classes: int | None = None,
        smoothing: float = 0.5,
        normalise: bool = True,
    ) -> KNNHead:
        """Keep training features; fewer neighbours are taken where there are fewer rows.

        Args:
            features: (N, D) training features.
            y: (N,) class indices.
            neighbours: As for the class; at most N are taken.
            classes: As for the class.
            smoothing: As for the class.
            normalise: As for the class.

        Raises:
            ValueError: Where shapes differ, a number is not finite, or a class has no row.
        """
        rows = feature_rows(features, y, classes=classes)
        return cls(
            features,
            rows.y,
            neighbours=min(neighbours, len(features)),
            classes=rows.classes,
            smoothing=smoothing,
            normalise=normalise,
        )

    def forward(self, features: Float[Tensor, "N D"]) -> Categorical:
        """Return the classes' distribution of each row.

        Raises:
            TypeError: Where features are not floating.
        """
        distances, index = self._nearest(features)
        votes = F.one_hot(self.labels[index], self.classes).sum(1).to(distances.dtype)
        whole = self.neighbours + self.smoothing * self.classes
        return Categorical(probs=(votes + self.smoothing) / whole)

    def score(self, features: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        """Return the distance to the k-th nearest training row: larger for less certain."""
        return self._nearest(features)[0][:, -1].sqrt()

    def _nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (N, k), ascending, and the rows of the bank."""
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.bank.shape[1]))
        h, bank = features.to(dtype), self.bank.to(dtype)
        if self.normalise:
            h, bank = F.normalize(h), F.normalize(bank)
        rows = max(1, _ENTRIES // len(bank))
        found = []
        for part in h.split(rows) if len(h) else (h,):
            found.append(_smallest(squared_distances(part, bank), self.neighbours))
        return torch.cat([d for d, _ in found]), torch.cat([i for _, i in found])


def _smallest(distances: Float[Tensor, "N M"], k: int) -> tuple[Tensor, Tensor]:
    """Return the k smallest of each row and their places; of equal ones the first."""
    values, index = distances.topk(min(k + 1, distances.shape[1]), largest=False)
    if values.shape[1] > k:
        # `topk` takes any of those that tie for the last place, whichever the batch.
        tied = values[:, k - 1] == values[:, k]
        if bool(tied.any()):
            order = distances[tied].sort(dim=1, stable=True)
            values[tied], index[tied] = order.values[:, : k + 1], order.indices[:, : k + 1]
    return values[:, :k], index[:, :k]
