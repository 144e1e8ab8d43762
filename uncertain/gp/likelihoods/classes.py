"""Classes: two by one latent function, more by one each."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from uncertain import checks
from uncertain.gp.likelihoods.base import Likelihood, Quadratic, Units
from uncertain.predictive.classes import categorical
from uncertain.predictive.nodes import normal_nodes


class Classification(Likelihood, ABC):
    """A likelihood of class indices.

    Attributes:
        classes: C.
    """

    classes: int

    def scaling(self, y: Any) -> tuple[Tensor, Tensor]:
        """Return 0 and 1: classes have no units."""
        labels = self.target(y, len(y), torch.zeros(1), torch.ones(1))
        met = labels.unique().tolist()
        if len(met) < 2:
            raise ValueError(
                f"`y` should have rows of at least two classes, got only {met}: there is nothing to "
                "tell apart."
            )
        return torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)

    def target(self, y: Any, count: int, loc: Tensor, scale: Tensor) -> Int[Tensor, " N"]:
        """Return class indices (N,)."""
        labels = checked_indices(y)
        checks.check_shape("y", labels, (count,), hint="one class index a row of x")
        checks.check_labels("y", labels, self.classes)
        return labels.long().to(loc.device)


def checked_indices(y: Any) -> Tensor:
    """Return class indices after checking that they are integers.

    Raises:
        TypeError: For anything else, with what makes class indices of it.
    """
    if not isinstance(y, Tensor):
        raise TypeError(
            f"`y` should be a tensor of class indices 0, 1, ..., got {type(y).__name__}: "
            "torch.as_tensor(y).long() where it holds such numbers, "
            "torch.as_tensor(numpy.unique(y, return_inverse=True)[1]) where it holds names or others."
        )
    if y.is_floating_point() or y.is_complex():
        raise TypeError(
            f"`y` should be a tensor of class indices 0, 1, ..., got {y.dtype}: y.long() where it holds "
            'such numbers; a likelihood of numbers ("gaussian") where it is measured.'
        )
    return y


class Bernoulli(Classification):
    r"""Two classes, 0 and 1, :math:`p(y = 1 \mid f) = 1 / (1 + e^{-f})`.

    The log likelihood is bounded from below by a quadratic that touches it at
    :math:`\pm c, c^2 = \mathrm E f^2`: what augmentation by Polya-Gamma variables gives, with their
    mean :math:`\tanh(c / 2) / 2 c` as the precision.

    References:
        T. Jaakkola and M. I. Jordan, "Bayesian parameter estimation via variational methods", 2000;
        F. Wenzel et al., "Efficient Gaussian process classification using Polya-Gamma data
        augmentation", 2019.

    Example:
        >>> y, f = torch.ones(1).long(), torch.tensor([[3.0]])
        >>> bound = Bernoulli().expected(y, f, 0 * f)  # exact where f is known
        >>> bool(bound.isclose(torch.nn.functional.logsigmoid(f[:, 0])))
        True
    """

    closed = True
    functions = 1
    classes = 2

    def expected(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        """Return the lower bound where it touches."""
        half = (mean.square() + variance).clamp(min=1e-20).sqrt()[:, 0]
        return (y - 0.5) * mean[:, 0] - _log_cosh(half)

    def quadratic(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Quadratic:
        """Return the quadratic that touches at the root of the second moment."""
        square = (mean.square() + variance).detach().clamp(min=1e-20)
        root = square.sqrt()
        precision = torch.tanh(root / 2) / (2 * root)
        constant = 0.5 * precision * square - _log_cosh(root)
        return Quadratic(constant[:, 0], (y - 0.5)[:, None].to(mean), precision)

    def predictive(
        self,
        mean: Float[Tensor, "N S F"],
        variance: Float[Tensor, "N S F"],
        nodes: Float[Tensor, "S F"],
        units: Units,
    ) -> Distribution:
        """Return members with f at its node, as two log-probabilities."""
        f = (mean + variance.sqrt() * nodes).to(units.dtype)
        logs = torch.nn.functional.logsigmoid(torch.cat([-f, f], -1))
        return categorical(logs)


class Softmax(Classification):
    r"""C classes, :math:`p(y = c \mid f) \propto e^{f_c}`, one latent function each.

    Expectations over f are averages over fixed quasi-random nodes, in pairs of opposite sign.

    Args:
        classes: C, at least 2.
        nodes: How many, even.
        seed: Of the nodes.

    Raises:
        ValueError: For numbers out of range.

    Example:
        >>> likelihood = Softmax(3)
        >>> even = likelihood.expected(torch.tensor([1]), torch.zeros(1, 3), torch.zeros(1, 3))
        >>> bool(even.isclose(torch.tensor(1 / 3).double().log()))
        True
    """

    def __init__(self, classes: int, *, nodes: int = 64, seed: int = 0) -> None:
        super().__init__()
        checks.check_range("classes", classes, 2)
        checks.check_range("nodes", nodes, 2)
        self.classes = self.functions = classes
        self.nodes, self.seed = nodes, seed
        half = normal_nodes((nodes + 1) // 2, classes, seed)
        self._nodes = torch.cat([half, -half])

    def expected(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        """Return the mean over nodes."""
        picked = mean.double().gather(1, y[:, None])[:, 0]
        return picked - self._at_nodes(mean, variance).logsumexp(2).mean(1)

    def quadratic(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Quadratic:
        """Return the quadratic of the same derivatives in the mean and the variance of f."""
        chances = self._at_nodes(mean, variance).softmax(2)
        precision = (chances * (1 - chances)).mean(1)
        hot = torch.nn.functional.one_hot(y, self.classes).to(precision)
        linear = hot - chances.mean(1) + precision * mean
        return Quadratic(self.expected(y, mean, variance), linear, precision)

    def predictive(
        self,
        mean: Float[Tensor, "N S F"],
        variance: Float[Tensor, "N S F"],
        nodes: Float[Tensor, "S F"],
        units: Units,
    ) -> Distribution:
        """Return members with f at its node."""
        logits = (mean + variance.sqrt() * nodes).to(units.dtype)
        return categorical(logits)

    def _at_nodes(self, mean: Tensor, variance: Tensor) -> Float[Tensor, "N K F"]:
        return mean[:, None] + variance.sqrt()[:, None] * self._nodes.to(mean.device)


def _log_cosh(root: Tensor) -> Tensor:
    r"""Return :math:`\log 2 \cosh(c / 2)` for c at least 0."""
    return torch.nn.functional.softplus(-root) + root / 2
