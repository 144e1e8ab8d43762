r"""Fitted processes in the form that BoTorch's acquisition functions ask for.

It needs BoTorch: ``pip install 'uncertain-torch[botorch]'``. ``Q`` points are looked at together, in
``b`` sets; ``S`` members, ``D`` inputs, ``T`` outputs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from uncertain import checks
from uncertain.predictive import import_quietly


def to_botorch(model: nn.Module, *, members: int | None = None) -> Any:
    """Return a BoTorch ``Model`` that asks a fitted process, to be given to acquisition functions.

    Its posterior over Q points is a ``GaussianMixturePosterior``: one joint normal for each joint draw
    of the hidden layers (or of the chain), the same draws at every call. Acquisition functions
    average over them, and gradients reach the points. What is predicted is f, in the units of y;
    ``observation_noise=True`` adds the noise.

    The model isn't refitted as points are added: fit anew, or ``condition``, and wrap again.

    Args:
        model: Any with a method ``joint_functions``: a ``ThinDeepGP`` of any depth and kernel with
            Gaussian noise, a ``SampledThinDeepGP`` or an ``ExactGP``.
        members: S, for a ``ThinDeepGP``; by default 64.

    Raises:
        ModuleNotFoundError: Without BoTorch; it names the extra.
        TypeError: For a model without joint predictions, such as one with another likelihood.
        ValueError: For ``members`` where the model has its own.

    References:
        M. Balandat et al., "BoTorch: a framework for efficient Monte-Carlo Bayesian optimization",
        2020.
    """
    if not callable(getattr(model, "joint_functions", None)):
        raise TypeError(
            "`model` should predict functions jointly (a ThinDeepGP with Gaussian noise, a "
            f"SampledThinDeepGP or an ExactGP), got {type(model).__name__}."
        )
    settings: dict[str, int] = {}
    if members is not None:
        checks.check_range("members", members, 1)
        if not hasattr(model, "hidden"):
            raise ValueError(
                f"`members` should be left out for a {type(model).__name__}, got {members}: it has its "
                "own."
            )
        settings = {"members": members}
    return _model_class()(model.eval(), settings)


@cache
def _model_class() -> Any:
    """Return the class, made on first use: BoTorch need not be there before."""
    checks.require("gpytorch", "botorch")
    # Quietly, but with the error of a missing extra.
    try:
        base = import_quietly("botorch.models.model").Model
    except ModuleNotFoundError:
        checks.require("botorch", "botorch")
        raise
    posteriors = import_quietly("botorch.posteriors.fully_bayesian")
    gpytorch = import_quietly("gpytorch")

    class ProcessModel(base):  # type: ignore[misc, valid-type]
        """A fitted process, asked by BoTorch."""

        _is_ensemble = True

        def __init__(self, process: nn.Module, settings: dict[str, int]) -> None:
            super().__init__()
            self.process, self._settings = process, settings
            probe = _probed(process, settings)
            self._members = probe.batch_shape[0]
            self._outputs = probe.batch_shape[1] if len(probe.batch_shape) > 1 else 1

        @property
        def num_outputs(self) -> int:
            return int(self._outputs)

        @property
        def batch_shape(self) -> torch.Size:
            return torch.Size([self._members])

        def posterior(
            self,
            X: Tensor,
            output_indices: list[int] | None = None,
            observation_noise: bool = False,
            posterior_transform: Any = None,
        ) -> Any:
            if isinstance(observation_noise, Tensor):
                raise TypeError("`observation_noise` should be True or False, got a tensor.")
            asked = X if X.ndim > 1 else X[None]
            found = self.process.joint_functions(asked, **self._settings)  # type: ignore[operator]
            loc, covariance = found.loc.to(X), found.covariance_matrix
            if observation_noise:
                noise = self.process.noise_variances()[..., None, None]  # type: ignore[operator]
                covariance = covariance + noise * torch.eye(X.shape[-2]).to(covariance)
            normal = gpytorch.distributions.MultivariateNormal(loc, covariance.to(X))
            if self._outputs > 1:
                kind = gpytorch.distributions.MultitaskMultivariateNormal
                normal = kind.from_batch_mvn(normal, task_dim=-1)
            elif loc.ndim > X.ndim:  # One output that has an axis.
                normal = gpytorch.distributions.MultivariateNormal(
                    loc[..., 0, :], covariance[..., 0, :, :].to(X)
                )
            if output_indices is not None and output_indices != list(range(self._outputs)):
                normal = normal[..., output_indices]
            posterior = posteriors.GaussianMixturePosterior(normal)
            return posterior if posterior_transform is None else posterior_transform(posterior)

    return ProcessModel


def _probed(process: nn.Module, settings: dict[str, int]) -> MultivariateNormal:
    """Return the functions at one point, where the data are, or say that they can't be had."""
    scaling = getattr(process, "scaling", process)
    place: Any = scaling.input_loc
    try:
        found: MultivariateNormal = process.joint_functions(place[None], **settings)  # type: ignore[operator]
    except TypeError as error:
        kind = type(process).__name__
        likelihood = getattr(process, "likelihood", None)
        of_what = f" with {type(likelihood).__name__}" if likelihood is not None else ""
        raise TypeError(
            "`to_botorch` should be given a model with Gaussian noise whose layers are Deformations, "
            f"got a {kind}{of_what}: acquisition functions ask for functions that are jointly normal."
        ) from error
    return found
