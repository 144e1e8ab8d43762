r"""What lies between the latent functions and the target.

``N`` rows, ``F`` latent functions, ``T`` outputs, ``S`` members of a prediction.

A likelihood enters a bound through :math:`\mathrm E \log p(y_n \mid f)` with Gaussian :math:`f`, and
the posterior of f through the quadratic

.. math:: c_n + \sum_k \bigl( l_{nk} f_k - \tfrac12 p_{nk} f_k^2 \bigr)

that stands for :math:`\log p(y_n \mid f)`: linear parts and precisions, summed over rows, are the
natural parameters of the posterior.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from uncertain import checks
from uncertain.predictive.standardisation import standardisation

SMALLEST_NOISE = 1e-6
"""Least variance of the noise, in units of the target's: what the factorisations can bear."""


class Quadratic(NamedTuple):
    """A quadratic in f for every row.

    Attributes:
        constant: (N,).
        linear: (N, F).
        precision: (N, F), at least 0.
    """

    constant: Float[Tensor, " N"]
    linear: Float[Tensor, "N F"]
    precision: Float[Tensor, "N F"]


class Units(NamedTuple):
    """What predictions are given in.

    Attributes:
        loc: (T,), centre of the targets.
        scale: (T,), spread of the targets.
        dtype: Of the prediction.
    """

    loc: Float[Tensor, " T"]
    scale: Float[Tensor, " T"]
    dtype: torch.dtype


class Likelihood(nn.Module, ABC):
    """What a target is, given the latent functions; a module, since it may have parameters.

    Attributes:
        closed: Whether :meth:`quadratic` bounds the log likelihood from below for every f, so that
            the expectations of f and its square are all that a bound needs.
        functions: F.
    """

    closed: ClassVar[bool] = False
    functions: int

    @abstractmethod
    def scaling(self, y: Any) -> tuple[Tensor, Tensor]:
        """Return centre and spread (T,) of training targets: what :meth:`target` divides by."""

    @abstractmethod
    def target(self, y: Any, count: int, loc: Tensor, scale: Tensor) -> Tensor:
        """Return checked targets in the form that the other methods take, (N,) or (N, T).

        Raises:
            TypeError, ValueError: For targets that do not fit.
        """

    @abstractmethod
    def expected(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        r"""Return :math:`\mathrm E \log p(y \mid f)`, or a lower bound, for Gaussian f, in nats."""

    @abstractmethod
    def quadratic(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Quadratic:
        """Return the quadratic that touches the log likelihood where f has these moments."""

    @abstractmethod
    def predictive(
        self,
        mean: Float[Tensor, "N S F"],
        variance: Float[Tensor, "N S F"],
        nodes: Float[Tensor, "S F"],
        units: Units,
    ) -> Distribution:
        """Return the members (N, S) of the prediction of y.

        Args:
            mean: (N, S, F), of f.
            variance: (N, S, F), of f.
            nodes: (S, F), standard normal: where f is put, if it can't be integrated out.
            units: Of the target.
        """


class Regression(Likelihood, ABC):
    """A likelihood of real targets, one latent mean an output.

    Args:
        outputs: T; None for targets (N,) instead of (N, T).
    """

    def __init__(self, outputs: int | None = None) -> None:
        super().__init__()
        if outputs is not None:
            checks.check_range("outputs", outputs, 1)
        self.outputs = outputs
        self.functions = self.width

    @property
    def width(self) -> int:
        """T, or 1."""
        return self.outputs or 1

    def scaling(self, y: Any) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of targets, (T,)."""
        loc, scale = standardisation(self._checked(y, len(y)).detach().double())
        return loc, scale

    def target(self, y: Any, count: int, loc: Tensor, scale: Tensor) -> Float[Tensor, "N T"]:
        """Return standardised targets (N, T)."""
        return (self._checked(y, count).to(loc) - loc) / scale

    @abstractmethod
    def noise_variance(
        self, mean: Float[Tensor, "*N F"], variance: Float[Tensor, "*N F"]
    ) -> Float[Tensor, "*N T"]:
        """Return the expected variance of the noise, in units of the target's variance."""

    def _checked(self, y: Any, count: int) -> Float[Tensor, "N T"]:
        if not isinstance(y, Tensor) or not y.is_floating_point():
            what = y.dtype if isinstance(y, Tensor) else type(y).__name__
            raise TypeError(f"`y` should be a floating tensor, got {what}: y.float().")
        shape = (count,) if self.outputs is None else (count, self.outputs)
        checks.check_shape("y", y, shape, hint="one target a row of x")
        return y if y.ndim == 2 else y[:, None]

    def of_outputs(self, dist: Callable[..., Distribution], *parameters: Tensor) -> Distribution:
        """Return a distribution of the outputs from parameters (..., T)."""
        if self.outputs is None:
            return dist(*(p[..., 0] for p in parameters))
        return Independent(dist(*parameters), 1)
