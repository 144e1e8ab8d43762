"""A Gaussian posterior over all weights, with a Kronecker-factored curvature a layer.

``N`` rows, ``O`` outputs (classes, or means of targets), ``U`` units and ``I`` inputs of a layer.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from uncertain import checks
from uncertain.baselines.features import row_weights
from uncertain.baselines.gaussian import GaussianRegression
from uncertain.baselines.nodes import gaussian_logits
from uncertain.baselines.recording import Record, record, recorded_layers
from uncertain.baselines.softmax import Softmax
from uncertain.predictive import GaussianMarginal
from uncertain.predictive.nodes import normal_nodes

_ENTRIES = 2**24
"""Derivatives held at a time."""


class KroneckerLaplace(nn.Module):
    r"""The linearised Laplace approximation of a trained network, one Kronecker product a layer.

    .. math:: f(x) \approx f_{\hat\theta}(x) + J(x) (\theta - \hat\theta), \qquad
              H_l = A_l \otimes B_l + \delta I, \qquad
              \mathrm{Cov} f(x) = \sum_l J_l(x) H_l^{-1} J_l(x)^\top

    with A the sum over rows (and places of a convolution) of :math:`a a^\top` of a layer's inputs,
    and B the mean of :math:`g g^\top` of the derivatives of the loss by its outputs, under the
    model's own labels: the generalised Gauss-Newton matrix up to what the factorisation leaves out.
    It is exact for a single row, or where inputs and derivatives are uncorrelated. Layers do not
    covary; parameters that are not weights of linear and 2d convolutional layers stay as they are.

    For classes the Gaussian logits go through the softmax at S fixed nodes, the members of the
    prediction. For real targets the means are Gaussian and the prediction is a
    :class:`~uncertain.predictive.GaussianMarginal`. A row takes one forward and O backward passes.

    Args:
        predictor: A trained ``Softmax`` or ``GaussianRegression``.
        prior_precision: :math:`\delta`, above 0.
        members: S, how many nodes.
        seed: Of the nodes.

    Raises:
        TypeError: For another predictor, or a convolution with groups.
        ValueError: For numbers out of range, or no layer.

    References:
        H. Ritter, A. Botev and D. Barber, "A scalable Laplace approximation for neural networks",
        2018; A. Immer, M. Korzepa and M. Bauer, "Improving predictions of Bayesian neural nets via
        local linearization", 2021, equations 8 to 10; R. Grosse and J. Martens, "A
        Kronecker-factored approximate Fisher matrix for convolution layers", 2016, equation 34.

    Example:
        >>> predictor = Softmax(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)))
        >>> x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
        >>> model = KroneckerLaplace.from_data(predictor, x, prior_precision=1.0)
        >>> model(x[:5]).component_distribution.batch_shape
        torch.Size([5, 32])
    """

    def __init__(
        self,
        predictor: nn.Module,
        *,
        prior_precision: float = 1.0,
        members: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(predictor, (Softmax, GaussianRegression)):
            raise TypeError(
                "`predictor` should be a Softmax or a GaussianRegression, got "
                f"{type(predictor).__name__}: wrap the trained network in one."
            )
        checks.check_range("prior_precision", prior_precision, 0, open_low=True)
        checks.check_range("members", members, 1)
        self.predictor = predictor
        self.prior_precision, self.members, self.seed = prior_precision, members, seed
        self._names = recorded_layers(predictor.network)
        for i, name in enumerate(self._names):
            layer: Any = predictor.network.get_submodule(name)
            units = layer.weight.shape[0]
            inputs = layer.weight[0].numel() + (layer.bias is not None)
            for side, size in (("inputs", inputs), ("units", units)):
                self.register_buffer(f"{side}_vectors{i}", torch.eye(size).to(layer.weight))
                self.register_buffer(f"{side}_values{i}", layer.weight.new_zeros(size))

    @classmethod
    def from_data(
        cls,
        predictor: nn.Module,
        x: Any,
        y: Any = None,
        *,
        prior_precision: float = 1.0,
        weights: Any = None,
        members: int = 32,
        seed: int = 0,
        batch_size: int = 256,
    ) -> KroneckerLaplace:
        """Compute the factors at a trained predictor, summed in float64.

        Args:
            predictor: A trained ``Softmax`` or ``GaussianRegression``.
            x: Training inputs: a tensor, or what gives rows by slices.
            y: Not used: the curvature does not depend on the targets.
            prior_precision: Above 0.
            weights: (N,), at least 0; a weight of k counts as k copies.
            members: S, how many nodes.
            seed: Of the nodes.
            batch_size: Rows at a time.

        Raises:
            TypeError: For another predictor.
            ValueError: For no rows, or weights that do not fit.
        """
        checks.check_not_empty("x", x)
        model = cls(predictor, prior_precision=prior_precision, members=members, seed=seed)
        model.train(predictor.training)
        model._fit(x, weights, batch_size)
        return model

    def forward(self, x: Any) -> Distribution:
        """Return the prediction of each row; no gradient passes through it."""
        output, covariance = self._linearised(x)
        if isinstance(self.predictor, Softmax):
            nodes = normal_nodes(self.members, output.shape[1], self.seed)
            return gaussian_logits(output, covariance, nodes)
        model: Any = self.predictor
        targets, spread = model.loc.numel(), model.scale.to(output)
        loc = model.loc.to(output) + spread * output[:, :targets]
        noise = spread * (F.softplus(output[:, targets:]) + model.minimum_scale)
        variance = covariance.diagonal(dim1=1, dim2=2)
        latent = spread * variance.clamp(min=0).sqrt()
        if model.loc.ndim == 0:
            return GaussianMarginal(loc[:, 0], latent[:, 0], noise[:, 0])
        return Independent(GaussianMarginal(loc, latent, noise), 1)

    @property
    def passes(self) -> int:
        """One forward pass and a backward pass an output."""
        last: Any = self.predictor.network.get_submodule(self._names[-1])  # type: ignore[union-attr]
        outputs = int(last.weight.shape[0])
        return 1 + (outputs if isinstance(self.predictor, Softmax) else outputs // 2)

    def _linearised(self, x: Any) -> tuple[Tensor, Tensor]:
        """Return outputs (N, O) and the covariance (N, O, O) of the logits or means."""
        network: Any = self.predictor.network
        output, records = record(network, x, self._names, self._unit_directions)
        dtype = torch.promote_types(output.dtype, torch.float32)
        outputs = len(records[0].gradients)
        covariance = output.new_zeros(len(output), outputs, outputs, dtype=dtype)
        for i, one in enumerate(records):
            covariance += self._covariance(i, one, dtype)
        return output.to(dtype), covariance

    def _unit_directions(self, output: Tensor) -> Tensor:
        """Return one weighting a logit, or a mean: (O, N, outputs)."""
        count = output.shape[1]
        if isinstance(self.predictor, GaussianRegression):
            count //= 2
        eye = torch.eye(output.shape[1], dtype=output.dtype, device=output.device)[:count]
        return eye[:, None].expand(-1, len(output), -1)

    def _covariance(self, i: int, one: Record, dtype: torch.dtype) -> Tensor:
        turn_in = self.get_buffer(f"inputs_vectors{i}").to(dtype)
        turn_out = self.get_buffer(f"units_vectors{i}").to(dtype)
        curvature = self.get_buffer(f"units_values{i}").to(dtype)[:, None] * self.get_buffer(
            f"inputs_values{i}"
        ).to(dtype)
        inverse = 1 / (curvature + self.prior_precision)  # (U, I)
        a = torch.einsum("ij,nip->njp", turn_in, one.inputs.to(dtype))
        g = torch.einsum("uv,onup->onvp", turn_out, one.gradients.to(dtype))
        if a.shape[2] == 1:
            mass = a[..., 0].square() @ inverse.T  # (N, U)
            return torch.einsum("onu,qnu,nu->noq", g[..., 0], g[..., 0], mass)
        rows = max(1, _ENTRIES // (g.shape[0] * inverse.numel()))
        parts = []
        for some, inputs in zip(g.split(rows, dim=1), a.split(rows), strict=True):
            jacobian = torch.einsum("onup,nip->onui", some, inputs)
            parts.append(torch.einsum("onui,qnui,ui->noq", jacobian, jacobian, inverse))
        return torch.cat(parts)

    @torch.no_grad()
    def _fit(self, x: Any, weights: Any, batch_size: int) -> None:
        network: Any = self.predictor.network
        row = row_weights(weights, torch.zeros(len(x), 1, dtype=torch.float64))
        sums: list[tuple[Tensor, Tensor]] = []
        for first in range(0, len(x), batch_size):
            part = x[first : first + batch_size]
            _, records = record(network, part, self._names, self._root_directions)
            mass = row[first : first + batch_size].to(records[0].inputs.device)
            new = [_factors(one, mass) for one in records]
            sums = (
                new
                if not sums
                else [(a + c, b + d) for (a, b), (c, d) in zip(sums, new, strict=True)]
            )
        for i, (inputs, units) in enumerate(sums):
            # A is a sum over rows, B a mean: their product is the sum's curvature.
            for side, factor in (("inputs", inputs), ("units", units / row.sum().to(units))):
                values, vectors = torch.linalg.eigh(factor)
                self.get_buffer(f"{side}_values{i}").copy_(values.clamp(min=0))
                self.get_buffer(f"{side}_vectors{i}").copy_(vectors)

    def _root_directions(self, output: Tensor) -> Tensor:
        """Return weightings whose outer products sum to the curvature of the loss by the outputs."""
        if isinstance(self.predictor, Softmax):
            p = output.softmax(-1)
            eye = torch.eye(p.shape[1], dtype=p.dtype, device=p.device)
            return p.T.sqrt()[:, :, None] * (eye[:, None] - p)
        targets = output.shape[1] // 2
        scale = F.softplus(output[:, targets:]) + float(self.predictor.minimum_scale)  # type: ignore[arg-type]
        return self._unit_directions(output) / scale.T[:, :, None]


def _factors(one: Record, mass: Float[Tensor, " N"]) -> tuple[Tensor, Tensor]:
    """Return the weighted sums over rows of a a' (summed over places) and g g' (averaged)."""
    a, g = one.inputs.double(), one.gradients.double()
    inputs = torch.einsum("n,nip,njp->ij", mass, a, a)
    units = torch.einsum("n,gnup,gnvp->uv", mass, g, g) / g.shape[-1]
    return inputs, units
