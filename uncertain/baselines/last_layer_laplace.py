"""A Gaussian posterior over the last layer's weights, around what training found.

``N`` rows, ``D`` features, ``C`` classes, ``T`` targets, ``S`` members.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MixtureSameFamily

from uncertain import checks
from uncertain.baselines.features import checked_features, row_weights, split_network, widened
from uncertain.baselines.gaussian import GaussianRegression
from uncertain.baselines.nodes import gaussian_logits
from uncertain.predictive import GaussianMarginal
from uncertain.predictive.nodes import normal_nodes

_CHUNK = 1024


class LaplaceClassificationHead(nn.Module):
    r"""Logits :math:`z = W \tilde h` with a Gaussian W: the last-layer Laplace approximation.

    .. math:: W \sim \mathcal N(\hat W, H^{-1}), \qquad
              H = \delta I + \sum_n (\mathrm{diag}\, p_n - p_n p_n^\top)
                  \otimes \tilde h_n \tilde h_n^\top

    with :math:`\tilde h = (h, 1)` and :math:`p_n` the softmax at the trained weights: the exact
    Hessian of the last layer's cross-entropy, and a normal prior of precision :math:`\delta`. The
    logits of a row are then exactly Gaussian; their softmax is averaged over S fixed nodes, which
    are the members that :func:`uncertain.predictive.decompose` splits.

    The features have no uncertainty: where the body maps strange inputs onto familiar features, this
    is as sure as the network was. H has ((D + 1) C)^2 numbers: hundreds of classes want the
    :class:`KroneckerLaplace`.

    Args:
        weight: (C, D) trained weights.
        bias: (C,) trained biases.
        covariance: (C (D + 1), C (D + 1)), of the weights class by class, a class's bias last.
        members: S, how many nodes.
        seed: Of the nodes.

    Raises:
        ValueError: For wrong shapes or numbers that are not finite.

    References:
        E. Daxberger et al., "Laplace redux: effortless Bayesian deep learning", 2021, section 2;
        A. Kristiadi, M. Hein and P. Hennig, "Being Bayesian, even just a bit, fixes overconfidence in
        ReLU networks", 2020.

    Example:
        >>> h, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> last = nn.Linear(1, 2)
        >>> head = LaplaceClassificationHead.from_data(last, h, y, prior_precision=1.0)
        >>> head(h).component_distribution.logits.shape
        torch.Size([2, 32, 2])
    """

    weight: Tensor
    bias: Tensor
    covariance: Tensor

    def __init__(
        self,
        weight: Float[Tensor, "C D"],
        bias: Float[Tensor, " C"],
        covariance: Float[Tensor, "P P"],
        *,
        members: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_shape("weight", weight, ("C", "D"))
        classes, width = weight.shape
        size = classes * (width + 1)
        checks.check_shape("bias", bias, (classes,))
        checks.check_shape("covariance", covariance, (size, size), hint="C (D + 1) weights")
        checks.check_range("members", members, 1)
        for name, value in (("weight", weight), ("bias", bias), ("covariance", covariance)):
            checks.check_finite(name, value)
            self.register_buffer(name, value.detach().clone())
        self.members, self.seed = members, seed
        self._nodes = normal_nodes(members, classes, seed)

    @classmethod
    def from_data(
        cls,
        last: nn.Linear,
        features: Float[Tensor, "N D"],
        y: Any = None,
        *,
        prior_precision: float = 1.0,
        weights: Any = None,
        members: int = 32,
        seed: int = 0,
    ) -> LaplaceClassificationHead:
        """Compute the Hessian at a trained last layer, in float64.

        Args:
            last: The trained layer; see :func:`split_network`.
            features: (N, D) training features.
            y: Not used: the curvature of a softmax does not depend on the labels.
            prior_precision: Of the weights, above 0.
            weights: (N,), at least 0; a weight of k counts as k copies.
            members: S, how many nodes.
            seed: Of the nodes.

        Raises:
            ValueError: Where shapes differ or a number is not finite.
        """
        checks.check_range("prior_precision", prior_precision, 0, open_low=True)
        h = checked_features(features)
        row = row_weights(weights, h)
        weight, bias = _parameters(last, h)
        hessian = _hessian(h, weight, bias, row)
        hessian.diagonal().add_(prior_precision)
        covariance = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        dtype = features.dtype
        return cls(
            weight.to(dtype), bias.to(dtype), covariance.to(dtype), members=members, seed=seed
        )

    def forward(self, features: Float[Tensor, "N D"]) -> MixtureSameFamily:
        """Return the mixture over the nodes for each row.

        Raises:
            TypeError: Where features are not floating.
        """
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.weight.shape[1]))
        h = _extended(features.to(dtype))
        mean = F.linear(features.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
        classes, width = self.weight.shape
        blocks = self.covariance.to(dtype).reshape(classes, width + 1, classes, width + 1)
        covariance = torch.einsum("ni,cidj,nj->ncd", h, blocks, h)
        return gaussian_logits(mean, covariance, self._nodes)


class LaplaceRegressionHead(nn.Module):
    r"""A Gaussian over the weights of the mean of a :class:`GaussianRegression`'s last layer.

    .. math:: w_t \sim \mathcal N(\hat w_t, H_t^{-1}), \qquad
              H_t = \delta I + \sum_n \frac{\tilde h_n \tilde h_n^\top}{s_t(h_n)^2}

    in standardised targets, with :math:`s_t(h)` the noise that the network predicts. The mean of y
    is then exactly Gaussian, and the prediction is a :class:`GaussianMarginal` that keeps noise and
    ignorance apart. The noise's own weights have no uncertainty.

    Args:
        weight: (2 T, D) trained weights, means first, as in ``GaussianRegression``.
        bias: (2 T,) trained biases.
        covariance: (T, D + 1, D + 1) of the weights of each mean, its bias last.
        loc: () or (T,), the targets' centre.
        scale: Of the same shape, the targets' spread.
        minimum_scale: The smallest noise, in units of ``scale``.

    Raises:
        ValueError: For wrong shapes or numbers that are not finite.

    References:
        E. Daxberger et al., "Laplace redux: effortless Bayesian deep learning", 2021, section 2.

    Example:
        >>> h, y = torch.linspace(-1, 1, 20)[:, None], torch.linspace(0, 5, 20)
        >>> model = GaussianRegression.from_data(nn.Sequential(nn.Linear(1, 2)), y)
        >>> head = LaplaceRegressionHead.from_data(model, h)
        >>> near, far = head(torch.tensor([[0.0], [9.0]])).latent_scale
        >>> bool(far > 5 * near)
        True
    """

    weight: Tensor
    bias: Tensor
    covariance: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        weight: Float[Tensor, "T2 D"],
        bias: Float[Tensor, " T2"],
        covariance: Float[Tensor, "T P P"],
        *,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        minimum_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        centre = torch.as_tensor(loc).to(weight)
        spread = torch.as_tensor(scale).to(weight)
        targets, width = centre.numel(), weight.shape[-1]
        checks.check_shape("weight", weight, (2 * targets, "D"), hint="means, then raw scales")
        checks.check_shape("bias", bias, (2 * targets,))
        checks.check_shape("scale", spread, tuple(centre.shape), hint="as `loc`")
        checks.check_shape("covariance", covariance, (targets, width + 1, width + 1))
        values = {"weight": weight, "bias": bias, "covariance": covariance}
        for name, value in {**values, "loc": centre, "scale": spread}.items():
            checks.check_finite(name, value)
            self.register_buffer(name, value.detach().clone())
        self.minimum_scale = minimum_scale

    @classmethod
    def from_data(
        cls,
        model: GaussianRegression,
        features: Float[Tensor, "N D"],
        y: Any = None,
        *,
        prior_precision: float = 1.0,
        weights: Any = None,
    ) -> LaplaceRegressionHead:
        """Compute the Hessian of the means at a trained last layer, in float64.

        Args:
            model: The trained predictor, whose network ends in a linear layer.
            features: (N, D) training features of its body.
            y: Not used: the expected curvature does not depend on the targets.
            prior_precision: Of the weights in standardised targets, above 0.
            weights: (N,), at least 0; a weight of k counts as k copies.

        Raises:
            ValueError: Where shapes differ or a number is not finite.
            TypeError: Where the network does not end in a linear layer.
        """
        checks.check_range("prior_precision", prior_precision, 0, open_low=True)
        h = checked_features(features)
        row = row_weights(weights, h)
        weight, bias = _parameters(split_network(model).last, h)
        targets = model.loc.numel()
        raw = F.linear(h, weight[targets:], bias[targets:])
        precision = row[:, None] / (F.softplus(raw) + model.minimum_scale).square()
        wide = _extended(h)
        hessian = torch.einsum("nt,ni,nj->tij", precision, wide, wide)
        hessian.diagonal(dim1=1, dim2=2).add_(prior_precision)
        covariance = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        dtype = features.dtype
        return cls(
            weight.to(dtype),
            bias.to(dtype),
            covariance.to(dtype),
            loc=model.loc.detach(),
            scale=model.scale.detach(),
            minimum_scale=model.minimum_scale,
        )

    def forward(self, features: Float[Tensor, "N D"]) -> Distribution:
        """Return a ``GaussianMarginal`` a row, or an ``Independent`` one over T targets.

        Raises:
            TypeError: Where features are not floating.
        """
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.weight.shape[1]))
        h = features.to(dtype)
        targets = self.loc.numel()
        output = F.linear(h, self.weight.to(dtype), self.bias.to(dtype))
        wide = _extended(h)
        variance = torch.einsum("ni,tij,nj->nt", wide, self.covariance.to(dtype), wide)
        spread = self.scale.to(dtype)
        loc = self.loc.to(dtype) + spread * output[:, :targets]
        noise = spread * (F.softplus(output[:, targets:]) + self.minimum_scale)
        latent = spread * variance.clamp(min=0).sqrt()
        if self.loc.ndim == 0:
            return GaussianMarginal(loc[:, 0], latent[:, 0], noise[:, 0])
        return Independent(GaussianMarginal(loc, latent, noise), 1)


def _parameters(last: nn.Linear, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias in the features' dtype; a bias of zero where there is none."""
    checks.check_shape("features", features, ("N", last.in_features), hint="of the layer's body")
    weight = last.weight.detach().to(features)
    bias = weight.new_zeros(len(weight)) if last.bias is None else last.bias.detach().to(features)
    return weight, bias


def _extended(features: Tensor) -> Tensor:
    """Return features with a one at the end, for the bias."""
    return torch.cat([features, features.new_ones(len(features), 1)], 1)


def _hessian(h: Tensor, weight: Tensor, bias: Tensor, row: Tensor) -> Tensor:
    """Return the sum over rows of (diag p - p p') times h h', class by class."""
    classes, width = len(weight), h.shape[1] + 1
    whole = h.new_zeros(classes, width, classes, width)
    for part, mass in zip(h.split(_CHUNK), row.split(_CHUNK), strict=True):
        p = F.linear(part, weight, bias).softmax(-1)
        wide = _extended(part)
        # Of the form A'A: sqrt(p_c) (e_c - p) for each class is a root of diag p - p p'.
        cross = (mass.sqrt()[:, None] * p)[:, :, None] * wide[:, None]
        flat = cross.flatten(1)
        whole -= (flat.T @ flat).reshape(whole.shape)
        for c in range(classes):
            scaled = (mass * p[:, c])[:, None] * wide
            whole[c, :, c] += scaled.T @ wide
    return whole.reshape(classes * width, classes * width)
