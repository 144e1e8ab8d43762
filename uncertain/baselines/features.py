"""A network in two parts: the body that makes features, and the last layer that reads them.

Much of what is asked of a trained network needs its features only. They are computed once, kept, and
every head is fitted to the same ones in seconds; put back on the body, a head predicts from inputs
like any other predictor.

``N`` rows, ``D`` features, ``C`` classes, ``T`` targets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain import checks
from uncertain.fit import Batch
from uncertain.predictive import log_prob


class NetworkParts(NamedTuple):
    """What :func:`split_network` returns.

    Attributes:
        body: From inputs to features (N, D).
        last: From features to outputs.
    """

    body: nn.Sequential
    last: nn.Linear


def split_network(network: nn.Module) -> NetworkParts:
    """Split a network before its last linear layer; both parts share its parameters.

    Args:
        network: An ``nn.Sequential`` that ends in an ``nn.Linear``, as all networks of this package
            do, or a predictor that holds one as ``network`` (``Softmax``, ``GaussianRegression``).

    Returns:
        The body and the last layer: ``last(body(x))`` is ``network(x)``.

    Raises:
        TypeError: Where the network is no such sequence: put the two parts together yourself.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> body, last = split_network(network)
        >>> x = torch.ones(5, 3)
        >>> body(x).shape, bool((last(body(x)) == network(x)).all())
        (torch.Size([5, 8]), True)
    """
    inner: Any = getattr(network, "network", network)
    plain = isinstance(inner, nn.Sequential) and type(inner).forward is nn.Sequential.forward
    if not plain or len(inner) < 1 or not isinstance(inner[-1], nn.Linear):
        raise TypeError(
            "`network` should be an nn.Sequential that ends in an nn.Linear, or a predictor on one, "
            f"got {type(inner).__name__}: pass its body and a head to `OnFeatures` yourself."
        )
    return NetworkParts(nn.Sequential(*list(inner)[:-1]), inner[-1])


class OnFeatures(nn.Module):
    r"""A body and a head as one predictor: :math:`p(y \mid x) = \mathrm{head}(\mathrm{body}(x))`.

    Args:
        body: From inputs to features (N, D).
        head: A predictor on features: its forward returns a distribution a row. Where it has a
            ``score``, this predictor has one.

    Example:
        >>> from uncertain.baselines import PrototypeHead, mlp
        >>> network = mlp(3, 2, hidden=(8,), seed=0).eval()
        >>> body, _ = split_network(network)
        >>> x, y = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
        >>> head = PrototypeHead.from_data(body(x).detach(), y)
        >>> bool((OnFeatures(body, head)(x).logits == head(body(x)).logits).all())
        True
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Any) -> Distribution:
        """Return the head's distribution for each row."""
        dist: Distribution = self.head(self.body(x))
        return dist

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the head's own objective on the body's features, or its likelihood."""
        inner = batch._replace(x=self.body(batch.x))
        own = getattr(self.head, "objective", None)
        if callable(own):
            value: Tensor = own(inner)
            return value
        return batch.mean(-log_prob(self.head(inner.x), batch.y))

    def score(self, x: Any) -> Float[Tensor, " N"]:
        """Return the head's own score, larger for less certain.

        Raises:
            AttributeError: Where the head has none.
        """
        value: Tensor = self.head.score(self.body(x))  # type: ignore[operator]
        return value


class FeatureRows(NamedTuple):
    """Checked training rows of a head, in float64.

    Attributes:
        features: (N, D).
        y: (N,) class indices.
        weight: (N,), averaging one.
        classes: C.
    """

    features: Float[Tensor, "N D"]
    y: Int[Tensor, " N"]
    weight: Float[Tensor, " N"]
    classes: int


def feature_rows(features: Any, y: Any, *, classes: int | None, weights: Any = None) -> FeatureRows:
    """Check what a head is fitted to.

    Args:
        features: (N, D), floating.
        y: (N,) class indices.
        classes: C; by default the largest label plus one.
        weights: (N,), at least 0; a weight of k counts as k copies of its row.

    Raises:
        ValueError: Where shapes differ, a number is not finite, or a class has no row.
        TypeError: Where labels are not whole numbers.
    """
    h = checked_features(features)
    labels = torch.as_tensor(y).detach()
    checks.check_shape("y", labels, (len(h),), hint="one class index a row")
    count = int(labels.max()) + 1 if classes is None else classes
    checks.check_labels("y", labels, count)
    weight = row_weights(weights, h)
    mass = torch.zeros(count, dtype=torch.float64, device=h.device)
    mass.index_add_(0, labels.long(), weight)
    if bool((mass == 0).any()):
        missing = int((mass == 0).nonzero()[0, 0])
        raise ValueError(
            f"`y` should have a row of each of {count} classes, got none of class {missing}: pass "
            "the number of classes that there are, or leave its head out."
        )
    return FeatureRows(h, labels.long(), weight, count)


def checked_features(features: Any) -> Float[Tensor, "N D"]:
    """Return features in float64 after checking shape and numbers."""
    tensor = torch.as_tensor(features).detach()
    checks.check_shape("features", tensor, ("N", "D"), hint="flatten what is not a vector a row")
    checks.check_not_empty("features", tensor)
    if not tensor.is_floating_point():
        raise TypeError(f"`features` should be floating point, got {tensor.dtype}.")
    checks.check_finite("features", tensor)
    return tensor.to(torch.float64)


def row_weights(weights: Any, features: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
    """Return weights in float64, as given; ones where there are none."""
    if weights is None:
        return features.new_ones(len(features))
    tensor = torch.as_tensor(weights).detach().to(features)
    checks.check_shape("weights", tensor, (len(features),), hint="one weight a row")
    checks.check_finite("weights", tensor)
    checks.check_range("weights", tensor, 0)
    if not bool((tensor > 0).any()):
        raise ValueError("`weights` should have an entry above 0, got none.")
    return tensor


def class_means(rows: FeatureRows) -> Float[Tensor, "C D"]:
    """Return the weighted mean of each class, in float64."""
    shape = (rows.classes, rows.features.shape[1])
    total = rows.features.new_zeros(shape).index_add_(
        0, rows.y, rows.weight[:, None] * rows.features
    )
    mass = rows.features.new_zeros(rows.classes).index_add_(0, rows.y, rows.weight)
    return total / mass[:, None]


def widened(head: nn.Module, features: Tensor) -> torch.dtype:
    """Return the dtype in which a head works: at least float32.

    Raises:
        TypeError: Where features are not floating.
    """
    if not isinstance(features, Tensor) or not features.is_floating_point():
        what = features.dtype if isinstance(features, Tensor) else type(features).__name__
        raise TypeError(
            f"`features` should be a floating tensor (N, D) for {type(head).__name__}, got {what}."
        )
    return torch.promote_types(features.dtype, torch.float32)


def squared_distances(
    features: Float[Tensor, "N D"], points: Float[Tensor, "M D"]
) -> Float[Tensor, "N M"]:
    r"""Return :math:`\lVert h_n - m_j \rVert^2`, at least 0, without an (N, M, D) array.

    Both are centred first, so that a common offset costs no digits.
    """
    centre = points.detach().mean(0)
    h, m = features - centre, points - centre
    cross = h @ m.T
    value = h.square().sum(-1, keepdim=True) - 2 * cross + m.square().sum(-1)
    return value.clamp(min=0)
