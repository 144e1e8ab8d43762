"""Where the inducing points and the matrix start: a start that is already a sensible model.

``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``M`` inducing points.
"""

from __future__ import annotations

import math
import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.gp.deformation import Deformation
from uncertain.gp.kernels import Kernel
from uncertain.gp.plain_start import (
    SparseProcess,
    Target,
    deviate_little,
    plain_start,
    plain_target,
)

_CLUSTERED = 20_000
_POINTS, _WIDTH = 50, 8
_WITHIN, _SHARE = 0.05, 0.95
_JITTER = 1e-6
_INNER = 10.0
"""What a variance of an inner layer is taken to cost: what looks it up varies slowly."""


def start(
    x: Float[Tensor, "N D"],
    latent_dim: int | None,
    *,
    count: int | None,
    given: Float[Tensor, "M D"] | None,
    seed: int,
    bias: bool = False,
    plain: SparseProcess | None = None,
) -> tuple[Deformation, Float[Tensor, "M Q"]]:
    """Return a deformation to start from, and inducing points for the process on top of it.

    Args:
        x: (N, D), standardised.
        latent_dim: Q; by default D, at most 8.
        count: How many points the process on top gets; by default 50, or N where that is less. The
            deformation gets half of them.
        given: The points of the deformation, standardised, in place of k-means; bent, they are those
            of the process on top.
        seed: Of k-means.
        bias: Whether the matrix has a column for an input that is 1 everywhere.
        plain: See ``start_stack``.

    Raises:
        TypeError: Where ``count`` is no whole number.
        ValueError: For more points than rows, or both ``count`` and ``given``.
    """
    (layer,), points = start_stack(
        x,
        latent_dim,
        layers=1,
        count=count,
        given=given,
        seed=seed,
        bias=bias,
        plain=plain,
    )
    return layer, points


def start_stack(
    x: Float[Tensor, "N D"],
    latent_dim: int | None,
    *,
    layers: int,
    count: int | None,
    given: Float[Tensor, "M D"] | None,
    seed: int,
    bias: bool = False,
    kernel: Kernel = "squared_exponential",
    plain: SparseProcess | None = None,
) -> tuple[list[Deformation], Float[Tensor, "M Q"]]:
    """Return deformations on top of each other to start from, and inducing points of the process.

    Every layer starts near the same projection of the inputs. On the latent space of the layer
    below, whose spread is one, lengthscales start such that the distance of near inputs is not
    stretched.

    Args:
        x: As for ``start``.
        latent_dim: Q, of every layer.
        layers: How many.
        count: As for ``start``.
        given: As for ``start``; bent, they are the points of the layers above.
        seed: As for ``start``.
        bias: As for ``start``, for every layer.
        kernel: Of the matrices' entries.
        plain: Then the prior of every matrix has a trained mean, which starts, for the last, as the
            inverse lengthscales of this process, and the matrices deviate little from it.

    Raises:
        TypeError, ValueError: As for ``start``.
    """
    width = min(x.shape[1], _WIDTH) if latent_dim is None else latent_dim
    if width > x.shape[1]:
        warnings.warn(
            f"`latent_dim` is {width} for {x.shape[1]} inputs: the rows of W beyond start at zero.",
            stacklevel=4,
        )
    wanted = checked_count(count, given, len(x))
    matrix = projection(x, width)
    stretch = x.shape[1] * float(_sizes(matrix).sum())
    rows = _some(x, seed)
    at, points, stack = rows, given, list[Deformation]()
    for depth in range(layers):
        inner = cluster_centres(at, max(1, wanted // 2), seed) if points is None else points
        length = None if depth == 0 else max(1.0, stretch**0.5)
        target = Target(matrix, matrix.new_full((width,), _INNER), None)
        if plain is not None and depth == layers - 1:
            target = plain_target(plain, rows, width)
        layer = Deformation(
            inner,
            latent_dim=width,
            input_dim=x.shape[1],
            lengthscale=length,
            bias=bias,
            kernel=kernel,
            prior_mean=None if plain is None else _padded(target.matrix, bias),
        )
        if plain is None:
            start_at(layer, rows, matrix, at=at)
        else:
            deviate_little(layer, rows, target.curvature, at=at)
        stack.append(layer)
        with torch.no_grad():
            at = layer(rows, at)[0]
            points = None if given is None else layer(given, points)[0]
    if target.points is not None:
        return stack, target.points
    return stack, cluster_centres(at, wanted, seed) if points is None else points


def check_settings(
    *,
    hidden_layers: int,
    latent_dim: int | None,
    members: int,
    **switches: bool,
) -> None:
    """Raise, before any work is done, where a setting of ``from_data`` is not of its kind.

    Raises:
        TypeError: Where a count is no whole number, or a switch neither True nor False.
        ValueError: For a count below one.
    """
    checks.check_count("hidden_layers", hidden_layers)
    checks.check_count("members", members)
    if latent_dim is not None:
        checks.check_count("latent_dim", latent_dim)
    for name, value in switches.items():
        checks.check_switch(name, value)


def _padded(matrix: Tensor, bias: bool) -> Tensor:
    return torch.cat([matrix, matrix.new_zeros(len(matrix), int(bias))], 1)


def checked_count(count: int | None, given: Tensor | None, rows: int) -> int:
    """Return how many points there should be; see ``start``."""
    if count is not None and given is not None:
        raise ValueError(
            "`num_inducing` should be left out where `inducing_points` are given, got both."
        )
    wanted = min(_POINTS, rows) if count is None else count
    hint = f"there are {rows} rows: take no more points than that"
    checks.check_range("num_inducing", wanted, 1, rows, hint=hint)
    checks.check_count("num_inducing", wanted)
    return wanted


def _some(x: Tensor, seed: int) -> Tensor:
    """At most 20,000 rows, drawn without replacement."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[:_CLUSTERED].to(x.device)]


def cluster_centres(x: Float[Tensor, "N D"], count: int, seed: int) -> Float[Tensor, "M D"]:
    """Return k-means centres of at most 20,000 rows drawn without replacement.

    Where there are no more than ``count`` different rows, they are returned themselves.

    Raises:
        ModuleNotFoundError: Without scikit-learn.
    """
    rows: Tensor = _some(x.detach().to(torch.float64), seed).unique(dim=0)
    if len(rows) <= count:
        return rows
    cluster = checks.require("sklearn.cluster", "benchmark")
    found = cluster.KMeans(count, n_init=1, random_state=seed).fit(rows.cpu().numpy())
    return torch.from_numpy(found.cluster_centers_).to(rows)


def projection(x: Float[Tensor, "N D"], latent_dim: int) -> Float[Tensor, "Q D"]:
    """Return the matrix to start from: the identity, or the leading principal directions.

    Scaled so that two rows are about as far apart, after it, as the kernel's lengthscale times the
    root of two. Where Q is above D, the rows beyond are zero.

    Args:
        x: (N, D), standardised.
        latent_dim: Q.

    Example:
        >>> x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9.0])
        >>> projection(x, 1).abs().argmax().item()
        1
    """
    rows = x.detach().to(torch.float64)
    inputs = rows.shape[1]
    matrix = torch.zeros(latent_dim, inputs, dtype=torch.float64, device=rows.device)
    if latent_dim < inputs:
        directions = torch.linalg.eigh(rows.T.cov().reshape(inputs, inputs))[1].flip(1).T
        leading = directions[:latent_dim]
        # A direction has no sign: its largest entry is made positive, so that seeds agree.
        largest = leading.gather(1, leading.abs().argmax(1, keepdim=True))
        matrix = leading * largest.sign()
    else:
        matrix[:inputs] = torch.eye(inputs, dtype=torch.float64, device=rows.device)
    spread = (rows @ matrix.T).var(0, unbiased=False).sum()
    return matrix / spread.clamp(min=torch.finfo(torch.float64).tiny).sqrt()


@torch.no_grad()
def start_at(
    layer: Deformation,
    x: Float[Tensor, "N D"],
    matrix: Float[Tensor, "Q D"],
    *,
    at: Float[Tensor, "N P"] | None = None,
) -> None:
    """Set a layer so that its mean matrix is ``matrix`` at nearly every row.

    Between inducing points a posterior mean falls back to the prior's, which is zero, so setting the
    values at the points alone would not do. One set of whitened values whose response is 1 at the
    rows, found by least squares with the largest penalty that still brings 95 % of rows within 5 %,
    is scaled by each entry; where even no penalty does, lengthscales are widened by half and it is
    tried again. Each row's prior variance becomes its mean square, so that distances between near
    inputs grow by no more than the number of rows over that of inputs. The column of a bias starts
    at zero.

    Args:
        layer: Whose ``mean``, ``log_variance`` and ``log_lengthscale`` are set.
        x: (N, D), standardised; at most 20,000 of them are looked at.
        matrix: (Q, D), of the mean to start with.
        at: (N, P), where the layer's matrix is looked up; by default x.
    """
    rows = _some((x if at is None else at).to(layer.inducing_points), 0)
    size = _sizes(matrix)
    layer.log_variance.copy_(size.log())
    for _ in range(20):
        values, near = _values_of_one(layer.responses(rows)[0])
        if near:
            break
        layer.log_lengthscale.add_(math.log(1.5))
    scaled = matrix / size.sqrt()[:, None]
    layer.mean.zero_()
    layer.mean[..., : matrix.shape[1]] = values[None, :, None] * scaled[:, None, :]


def _sizes(matrix: Float[Tensor, "Q D"]) -> Float[Tensor, " Q"]:
    """Return the prior variance of each row: its mean square, or that of all where it is zero."""
    size = matrix.square().mean(1)
    return torch.where(size > 0, size, size.mean()).clamp(min=torch.finfo(torch.float64).tiny)


def _values_of_one(response: Float[Tensor, "M N"]) -> tuple[Float[Tensor, " M"], bool]:
    """Return whitened values whose response is 1 at nearly all rows, and whether it is."""
    gram, right = response @ response.T, response.sum(1)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for penalty in (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8):
        values = torch.linalg.solve(gram + penalty * response.shape[1] * eye, right)
        off = (response.T @ values - 1).abs()
        if bool((off <= _WITHIN).double().mean() >= _SHARE):
            return values, True
    return values, False


def plain_rows(
    x: Float[Tensor, "N D"],
    y: Float[Tensor, " N"] | None,
    *,
    count: int | None,
    given: Float[Tensor, "M D"] | None,
    seed: int,
) -> SparseProcess:
    """Return the sparse process that a model with a learned mean starts as.

    Args:
        x: (N, D), standardised.
        y: As for ``plain_start``.
        count: As for ``start``.
        given: As for ``start``.
        seed: Of k-means and of rows.

    Raises:
        ValueError: As for ``start``.
    """
    wanted = checked_count(count, given, len(x))
    points = cluster_centres(x, wanted, seed) if given is None else given
    return plain_start(x, y, points.to(x), jitter=_JITTER, seed=seed)
