r"""Functions drawn from a fitted model: the same function wherever, and whenever, it is asked.

A process with inducing variables is drawn as a function of the prior, by random features, and an
update that takes it to its inducing variables' draw:

.. math:: w(\cdot) + k(\cdot, Z) L^{-\top} \bigl(v - L^{-1} w(Z)\bigr), \qquad v \sim q(v)

``K`` draws, ``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``F`` latent functions, ``M`` inducing
points, ``J`` features.

References:
    J. T. Wilson et al., "Efficiently sampling functions from Gaussian process posteriors", 2020; A.
    Rahimi and B. Recht, "Random features for large-scale kernel machines", 2007.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad

from uncertain import checks
from uncertain.gp.deformation import Deformation
from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import DEGREES, Kernel, base_kernel
from uncertain.gp.sites import Posteriors, Processes

_NUMBERS = 2**22


class Features(NamedTuple):
    r"""Random cosines whose products average to a base kernel.

    Attributes:
        frequencies: (..., J, P).
        phases: (..., J).
    """

    frequencies: Float[Tensor, "*b J P"]
    phases: Float[Tensor, "*b J"]

    def at(self, points: Float[Tensor, "*any N P"]) -> Float[Tensor, "*all N J"]:
        """Return the cosines, scaled."""
        angles = points @ self.frequencies.mT + self.phases[..., None, :]
        return math.sqrt(2 / angles.shape[-1]) * angles.cos()


class LayerDraw(NamedTuple):
    """Draws of a deformation: K matrices that vary over their places.

    Attributes:
        features: Of every row of the matrix, (K, Q, J, ...).
        weights: (K, Q, J, C), of the features, for each of C columns.
        update: (K, Q, M, C), of the inducing points' kernels.
        points: (Q, M, P), over the lengthscales.
        scale: (Q, 1, P), one over the lengthscales.
        size: (Q,), standard deviations.
        kernel: The base kernel.
        prior_mean: (Q, C), of the matrix.
    """

    features: Features
    weights: Float[Tensor, "K Q J C"]
    update: Float[Tensor, "K Q M C"]
    points: Float[Tensor, "Q M P"]
    scale: Float[Tensor, "Q 1 P"]
    size: Float[Tensor, " Q"]
    kernel: Kernel
    prior_mean: Float[Tensor, "Q C"]

    def __call__(
        self, x: Float[Tensor, "N C"], at: Float[Tensor, "#K N P"]
    ) -> Float[Tensor, "K N Q"]:
        """Return h at rows x, the matrix looked up at the places of each draw."""
        places = at[:, None] * self.scale
        matrix = self.features.at(places) @ self.weights
        matrix = matrix + base_kernel(places, self.points, self.kernel) @ self.update
        return ((matrix * x).sum(-1) * self.size[:, None] + self.prior_mean @ x.mT).mT


class OutputDraw(NamedTuple):
    """Draws of the latent functions.

    Attributes:
        features: (K, F, J, ...).
        weights: (K, F, J, 1).
        update: (K, F, M, 1).
        processes: The processes.
    """

    features: Features
    weights: Float[Tensor, "K F J 1"]
    update: Float[Tensor, "K F M 1"]
    processes: Processes

    def __call__(self, h: Float[Tensor, "K N Q"]) -> Float[Tensor, "K N F"]:
        """Return f at the latent inputs of each draw."""
        points, _, amplitude, kernel = self.processes
        offset, places = points.mean(0), h[:, None]
        f = self.features.at(places) @ self.weights
        f = f + base_kernel(places - offset, points - offset, kernel) @ self.update
        return (f[..., 0] * amplitude.sqrt()[:, None]).mT


class FunctionDraws:
    """K functions drawn from a posterior, to be called at any rows.

    Args:
        layers: Draws of the hidden layers, from the inputs up.
        output: Draws of the latent functions on top.
        prepare: From rows (N, D) to standardised rows (N, D) and what the matrices multiply, (N, C).
        finish: From latent functions (K, N, F) and rows to what is returned.
    """

    def __init__(
        self,
        layers: Sequence[LayerDraw],
        output: OutputDraw,
        *,
        prepare: Callable[[Tensor], tuple[Tensor, Tensor]],
        finish: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        self.layers, self.output = layers, output
        self._prepare, self._finish = prepare, finish

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "K N *T"]:
        """Return the functions' values, without noise, in the units of the target."""
        found = self.output(self.latent(x))
        return self._finish(found, x)

    @torch.no_grad()
    def latent(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "K N Q"]:
        """Return the last h of each draw, in float64."""
        places, wide = self._prepare(x)
        count, rows, features = self.layers[0].weights.shape[:3]
        size = max(1, _NUMBERS // (count * rows * features))
        parts = []
        for place, row in zip(places.split(size), wide.split(size), strict=True):
            at = place[None]
            for layer in self.layers:
                at = layer(row, at)
            parts.append(at)
        return torch.cat(parts, 1)

    @torch.no_grad()
    def local_metric(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "K N D D"]:
        r"""Return each draw's own :math:`J^\top J`, J the derivative of its last h, in float64.

        Their quantiles over draws say how sure the model is of a metric, between inducing points, too.
        """
        _load_forward_mode()
        rows = x.to(torch.float64)
        columns = []
        for direction in torch.eye(rows.shape[1]).to(rows):
            with forward_ad.dual_level():
                moved = forward_ad.make_dual(rows, direction.expand_as(rows).clone())
                columns.append(forward_ad.unpack_dual(self.latent(moved)).tangent)
        jacobian = torch.stack(columns, -1)
        return jacobian.mT @ jacobian


@cache
def _load_forward_mode() -> None:
    """Have torch load what forward mode needs, without the warnings that its own code sets off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def layer_draw(
    layer: Deformation, count: int, features: int, generator: torch.Generator
) -> LayerDraw:
    """Return draws of a deformation's matrix as functions.

    Args:
        layer: The deformation.
        count: K.
        features: J.
        generator: Of everything that is drawn.
    """
    scale = (-layer.log_lengthscale.detach()).exp()[:, None]
    points = layer.inducing_points.detach() * scale
    rows, points_count, columns = layer.mean.shape
    shape = (count, rows, points_count, columns)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64, device=points.device)
    values = layer.mean.detach() + layer.covariance_root().detach() @ noise
    cosines = _features((count, rows, features, points.shape[2]), layer.kernel, generator, points)
    weights = _normal((count, rows, features, columns), generator, points)
    eye = torch.eye(points_count).to(points)
    factor = cholesky(
        base_kernel(points, points, layer.kernel) + layer.jitter * eye,
        name="K_ZZ of W",
        remedy=f"raise `jitter` above {layer.jitter:g}",
    )
    update = _update(factor, values, cosines.at(points.expand(count, -1, -1, -1)) @ weights)
    size = (0.5 * layer.log_variance.detach()).exp()
    constant = layer.constant()
    centre = points.new_zeros(rows, columns) if constant is None else constant.detach()
    return LayerDraw(cosines, weights, update, points, scale, size, layer.kernel, centre)


def output_draw(
    processes: Processes,
    posterior: Posteriors,
    count: int,
    features: int,
    generator: torch.Generator,
) -> OutputDraw:
    """Return draws of the latent functions.

    Args:
        processes: The processes.
        posterior: Of their whitened inducing variables.
        count: K.
        features: J.
        generator: Of everything that is drawn.
    """
    points, factor = processes.points.detach(), processes.factor.detach()
    functions, size = posterior.mean.shape
    noise = _normal((count, functions, size, 1), generator, points)
    back = torch.linalg.solve_triangular(posterior.factor.detach().mT, noise, upper=True)
    values = posterior.mean.detach()[..., None] + back
    shape = (count, functions, features, points.shape[1])
    cosines = _features(shape, processes.kernel, generator, points)
    weights = _normal((count, functions, features, 1), generator, points)
    at = cosines.at(points.expand(count, functions, -1, -1)) @ weights
    update = _update(factor, values, at)
    fixed = Processes(points, factor, processes.amplitude.detach(), processes.kernel)
    return OutputDraw(cosines, weights, update, fixed)


def joint_layer(
    layer: Deformation,
    x: Float[Tensor, "*#b N C"],
    at: Float[Tensor, "*#b N P"],
    noise: Float[Tensor, "*#b Q N"],
) -> Float[Tensor, "*b N Q"]:
    r"""Return exact joint draws of :math:`h = W(a)\,x` over all rows.

    Given the places the rows of h are Gaussian, with covariance
    :math:`\langle x, x' \rangle\, b_q(a, a')`.

    Args:
        layer: The deformation.
        x: (..., N, C), what the matrix multiplies; leading axes are sets of rows, and draws.
        at: (..., N, P), the places.
        noise: (..., Q, N), standard normal.
    """
    shape = at.shape[:-1]
    flat = at.flatten(0, -2)
    scaled = at[..., None, :, :] * (-layer.log_lengthscale).exp()[:, None]
    response = layer.responses(flat).unflatten(2, shape).movedim((0, 1), (-3, -2))
    spread = layer.covariance_root().mT @ response
    each = base_kernel(scaled, scaled, layer.kernel)
    each = each - response.mT @ response + spread.mT @ spread
    each = layer.log_variance.exp()[:, None, None] * each * (x @ x.mT)[..., None, :, :]
    columns = layer.columns(flat)[0].unflatten(0, shape)
    mean = torch.einsum("...nqc,...nc->...qn", columns, x)
    root = _root(each, name="covariance of h")
    return (mean + (root @ noise[..., None])[..., 0]).mT


def joint_functions(
    processes: Processes, posterior: Posteriors, h: Float[Tensor, "*b N Q"]
) -> tuple[Float[Tensor, "*b F N"], Float[Tensor, "*b F N N"]]:
    """Return means and covariances of the latent functions over rows at known h."""
    points, _, amplitude, kernel = processes
    response = processes.responses(h.flatten(0, -2)).unflatten(1, h.shape[:-1]).movedim(0, -2)
    offset, response = points.mean(0), response[..., None, :, :]
    spread = torch.linalg.solve_triangular(posterior.factor, response, upper=False)
    each = base_kernel(h - offset, h - offset, kernel)[..., None, :, :]
    each = each - response.mT @ response + spread.mT @ spread
    mean = amplitude.sqrt()[:, None] * (posterior.mean[:, None] @ response)[..., 0, :]
    return mean, amplitude[:, None, None] * (each + each.mT) / 2


def checked_generator(count: int, seed: int, like: Tensor) -> torch.Generator:
    """Return a generator on the device of a tensor after checking how many draws are wanted."""
    checks.check_range("count", count, 1)
    return torch.Generator(like.device).manual_seed(seed)


def _root(covariance: Tensor, *, name: str) -> Tensor:
    """A factor of a covariance that rounding, or rows alike, have made singular."""
    eye = torch.eye(covariance.shape[-1]).to(covariance)
    size = covariance.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
    jittered = (covariance + covariance.mT) / 2 + 1e-8 * size[..., None, None] * eye
    return cholesky(jittered.contiguous(), name=name, remedy="ask for fewer rows at a time")


def _update(factor: Tensor, values: Tensor, at: Tensor) -> Tensor:
    known = torch.linalg.solve_triangular(factor, at, upper=False)
    update: Tensor = torch.linalg.solve_triangular(factor.mT, values - known, upper=True)
    return update


def _features(
    shape: tuple[int, ...], kernel: Kernel, generator: torch.Generator, like: Tensor
) -> Features:
    """Frequencies from the kernel's spectral density: normal, or Student-t for a Matern kernel."""
    frequencies = _normal(shape, generator, like)
    if kernel in DEGREES:
        squares = _normal((*shape[:-1], DEGREES[kernel]), generator, like).square()
        frequencies = frequencies / squares.mean(-1, keepdim=True).sqrt()
    uniform = torch.rand(shape[:-1], generator=generator, dtype=like.dtype, device=like.device)
    return Features(frequencies, 2 * math.pi * uniform)


def _normal(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
