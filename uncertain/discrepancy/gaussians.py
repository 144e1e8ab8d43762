r"""The squared 2-Wasserstein distance between Gaussians, for training: batched, finite gradients.

The distance itself has no gradient where both sides are equal; its square does. Here the
non-commutative part is :math:`\operatorname{tr} (L_b^\top S_a L_b)^{1/2}` with a Cholesky factor
:math:`S_b = L_b L_b^\top`, the sum of roots of eigenvalues, whose gradient needs no difference of
eigenvalues and stays finite where they coincide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.derivatives import diagonal_gaps, roots, rounded_plane, squared_gaps
from uncertain.discrepancy.factors import (
    eigenvalue_roots,
    factored,
    one_factored,
    singular_values,
)
from uncertain.discrepancy.spreads import (
    Spread,
    check_pairs,
    check_positive,
    spread,
    widened,
)


class Wasserstein2Parts(NamedTuple):
    """The two summands of a squared distance between Gaussians.

    Attributes:
        location: The squared distance of the means.
        shape: The squared Bures distance of the covariances.
    """

    location: Tensor
    shape: Tensor

    def total(self) -> Tensor:
        """Return their sum, the squared distance."""
        return self.location + self.shape


def gaussian_wasserstein2_squared(
    mean_a: Float[Tensor, "*batch_a D"],
    cov_a: Float[Tensor, "*form_a"],
    mean_b: Float[Tensor, "*batch_b D"],
    cov_b: Float[Tensor, "*form_b"],
    *,
    cholesky: bool = False,
) -> Float[Tensor, "*pairs"]:
    r"""Return the squared 2-Wasserstein distance between Gaussians.

    .. math:: W_2^2 = \lVert m_a - m_b \rVert^2 + \operatorname{tr} S_a + \operatorname{tr} S_b
              - 2 \operatorname{tr} (S_b^{1/2} S_a S_b^{1/2})^{1/2}

    Leading dimensions broadcast: ``mean_a[:, None]`` with ``mean_b`` gives rows by classes. A
    covariance has as many leading dimensions as its mean and comes in three forms, which may differ
    between the sides: (..., D, D) matrices, (..., D) variances, (..., 1) one variance for all
    dimensions. The fewer numbers, the faster: between matrices an eigendecomposition a *pair*,
    between a matrix and one variance an eigendecomposition a *row*, else none.

    Gradients by covariances are finite, not bounded: like the slope of a root they grow with one over
    the smallest deviation, up to one over the root of the smallest number of the dtype at a covariance
    matrix of exactly zero (about 1e19 in float32); at a variance of exactly zero that slope is taken
    as 0. Where a covariance is near singular they are inexact in its null directions, as its own
    rounding is. Give factors where you have them (``cholesky=True``): their gradient is exact and no
    larger than twice both deviations, and near-singular pairs go through singular values.

    Args:
        mean_a: (..., D).
        cov_a: Beside ``mean_a``: variances and covariances, in the unit of the mean squared.
        mean_b: (..., D).
        cov_b: Beside ``mean_b``.
        cholesky: The covariances are given by lower-triangular factors :math:`L`,
            :math:`S = L L^\top`, or by standard deviations.

    Returns:
        The broadcast leading shape; at least 0.

    Raises:
        ValueError: For shapes that do not fit, numbers that are not finite, matrices that are not
            symmetric or not positive semi-definite, negative variances, factors that are not lower
            triangular.
        TypeError: For tensors that are not floating.

    References:
        D. Dowson and B. Landau, "The Fréchet distance between multivariate normal distributions",
        1982; R. Bhatia, T. Jain and Y. Lim, "On the Bures-Wasserstein distance between positive
        definite matrices", 2019.

    Example:
        >>> mean, zero = torch.tensor([3.0, 4.0]), torch.zeros(2)
        >>> gaussian_wasserstein2_squared(mean, torch.tensor([1.0, 4.0]), zero, torch.eye(2))
        tensor(26.)
    """
    return _total(*_sides(mean_a, cov_a, mean_b, cov_b, cholesky))


def gaussian_wasserstein2_parts(
    mean_a: Float[Tensor, "*batch_a D"],
    cov_a: Float[Tensor, "*form_a"],
    mean_b: Float[Tensor, "*batch_b D"],
    cov_b: Float[Tensor, "*form_b"],
    *,
    cholesky: bool = False,
) -> Wasserstein2Parts:
    """Return the summands of :func:`gaussian_wasserstein2_squared`, which takes the same arguments.

    Example:
        >>> parts = gaussian_wasserstein2_parts(
        ...     torch.ones(2), torch.ones(2), torch.zeros(2), 4 * torch.ones(2)
        ... )
        >>> parts.location, parts.shape
        (tensor(2.), tensor(2.))
    """
    return _parts(*_sides(mean_a, cov_a, mean_b, cov_b, cholesky))


@dataclass(frozen=True)
class FixedGaussians:
    """Gaussians to which many distances are asked: what depends on them alone is computed once.

    Made by :meth:`from_covariances`; no gradient reaches them.

    Attributes:
        mean: (C, D).
        spread: Their covariances, as Cholesky factors or standard deviations.

    Example:
        >>> targets = FixedGaussians.from_covariances(torch.eye(2), torch.eye(2).repeat(2, 1, 1))
        >>> targets.wasserstein2_squared(torch.zeros(3, 2), torch.eye(2).repeat(3, 1, 1)).shape
        torch.Size([3, 2])
    """

    mean: Tensor
    spread: Spread

    @classmethod
    def from_covariances(
        cls, mean: Float[Tensor, "C D"], cov: Float[Tensor, "C ..."]
    ) -> FixedGaussians:
        """Check and factor the targets.

        Args:
            mean: (C, D).
            cov: (C, D, D), (C, D) or (C, 1).

        Raises:
            ValueError: As :func:`gaussian_wasserstein2_squared`.
        """
        mean, cov = (tensor.detach() for tensor in widened(mean=mean, cov=cov))
        checks.check_shape("mean", mean, ("C", "D"))
        checks.check_finite("mean", mean)
        checks.check_finite("cov", cov)
        given = spread("", mean, cov, factored=False)
        if given.form == "matrix":
            return cls(mean, factored(given))
        checks.check_range("cov", cov, 0, hint="variances are not negative")
        return cls(mean, Spread(given.form, given.scales(), True, given.name))

    def wasserstein2_squared(
        self,
        mean: Float[Tensor, "*batch D"],
        cov: Float[Tensor, "*form"],
        *,
        cholesky: bool = False,
    ) -> Float[Tensor, "*batch C"]:
        """Return the squared distance of every Gaussian to every target.

        Args:
            mean: (..., D).
            cov: (..., D, D), (..., D) or (..., 1).
            cholesky: They are lower-triangular factors or standard deviations.

        Raises:
            ValueError: As :func:`gaussian_wasserstein2_squared`.
        """
        mean, cov = widened(mean=mean, cov=cov)
        given = spread("", mean, cov, factored=cholesky)
        dimensions = self.mean.shape[-1]
        if mean.shape[-1] != dimensions:
            checks.check_shape("mean", mean, (*mean.shape[:-1], dimensions), hint="as the targets")
        inner = -3 if given.form == "matrix" else -2
        a = given._replace(value=given.value.unsqueeze(inner))
        return _total(mean.unsqueeze(-2), a, self.mean, self.spread)


def _sides(
    mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor, cholesky: bool
) -> tuple[Tensor, Spread, Tensor, Spread]:
    """Return both sides checked, in one dtype, one of two matrices factored."""
    mean_a, cov_a, mean_b, cov_b = widened(mean_a=mean_a, cov_a=cov_a, mean_b=mean_b, cov_b=cov_b)
    a = spread("_a", mean_a, cov_a, factored=cholesky)
    b = spread("_b", mean_b, cov_b, factored=cholesky)
    check_pairs(mean_a, mean_b)
    if a.form == "matrix" and b.form == "matrix" and not cholesky:
        a, b = one_factored(a, b)
    return mean_a, a, mean_b, b


def _total(mean_a: Tensor, a: Spread, mean_b: Tensor, b: Spread) -> Tensor:
    """Return the squared distance; without matrices both parts are one Euclidean distance."""
    if a.form == b.form == "diagonal":
        crossed = mean_a.ndim >= 2 and mean_a.shape[-2] == 1 and mean_b.ndim == 2
        alike = a.value.shape == mean_a.shape and b.value.shape == mean_b.shape
        if crossed and alike and not (a.factored or b.factored):
            value = diagonal_gaps(mean_a, a.value, mean_b, b.value)
        else:
            value = squared_gaps(_joined(mean_a, a.scales()), _joined(mean_b, b.scales()))
    elif (a.form, b.form) == ("matrix", "isotropic"):
        extra, left, right = _rounded(a, b)
        value = squared_gaps(_joined(mean_a, left), _joined(mean_b, right)) + extra
    else:
        return _parts(mean_a, a, mean_b, b).total()
    return _finite(value, mean_a, a, mean_b, b)


def _parts(mean_a: Tensor, a: Spread, mean_b: Tensor, b: Spread) -> Wasserstein2Parts:
    location = squared_gaps(mean_a, mean_b)
    shape = _bures(a, b, mean_a.shape[-1])
    _finite(location + shape, mean_a, a, mean_b, b)
    return Wasserstein2Parts(location, shape)


def _joined(mean: Tensor, scales: Tensor) -> Tensor:
    if scales.shape[:-1] != mean.shape[:-1]:
        lead = torch.broadcast_shapes(mean.shape[:-1], scales.shape[:-1])
        mean = mean.expand(*lead, mean.shape[-1])
        scales = scales.expand(*lead, scales.shape[-1])
    return torch.cat([mean, scales], -1)


def _finite(value: Tensor, mean_a: Tensor, a: Spread, mean_b: Tensor, b: Spread) -> Tensor:
    """Return a value that is finite; what is not in the inputs is not here, and this is smaller."""
    whole = value.detach()
    if math.isfinite(float(whole.sum())) or bool(whole.isfinite().all()):
        return value
    # Targets that stay were checked when they were made, so `mean` and `cov` are the user's.
    names = ("mean", "mean") if a.name == "cov" else ("mean_a", "mean_b")
    given = [(names[0], mean_a), (a.name, a.value), (names[1], mean_b), (b.name, b.value)]
    for name, tensor in given:
        checks.check_finite(name, tensor)
    for side in (a, b):
        if side.form != "matrix":
            checks.check_range(side.name, side.value, 0, hint="variances are not negative")
    raise ValueError(
        "The squared distance should be finite, got an overflow: rescale means and covariances."
    )


def _bures(a: Spread, b: Spread, dimensions: int) -> Tensor:
    """Return the squared Bures distance, the cheapest way that the two forms allow."""
    if a.form != "matrix" and b.form == "matrix":
        a, b = b, a
    if a.form != "matrix":
        gap = (a.scales() - b.scales()).square()
        return gap.sum(-1) * (dimensions if gap.shape[-1] < dimensions else 1)
    if b.form == "isotropic":
        extra, left, right = _rounded(a, b)
        return squared_gaps(left, right) + extra
    factor = b if b.factored else Spread(b.form, b.scales(), True)
    plane = dimensions == 2 and b.form == "matrix"
    shared = _plane_root(a, factor) if plane else _roots(a, factor).sum(-1)
    value = a.trace(dimensions) + b.trace(dimensions) - 2 * shared
    # Rounding may leave less than zero; the gradient is the distance's all the same.
    return value + (value.clamp(min=0) - value).detach()


def _rounded(a: Spread, b: Spread) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return what a matrix is off being round, and the sides of what remains.

    With roots r_i of the eigenvalues of one side and the other's deviation s,
    sum_i (r_i - s)^2 = sum_i (r_i - mean r)^2 + (sqrt(d) mean r - sqrt(d) s)^2.
    """
    if not a.factored and a.value.shape[-1] == 2 and (plane := _rounded_plane(a.value)):
        return *plane, 2**0.5 * b.scales()
    found = _roots(a, None)
    mean = found.mean(-1, keepdim=True)
    root_d = found.shape[-1] ** 0.5
    return (found - mean).square().sum(-1), root_d * mean, root_d * b.scales()


def _rounded_plane(cov: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the like of matrices (..., 2, 2) without a decomposition, where all are regular."""
    extra, half, determinants = rounded_plane(cov)
    first, second = cov.detach().diagonal(dim1=-2, dim2=-1).unbind(-1)
    # A negative definite matrix has a positive determinant too, but not such an entry.
    least = torch.finfo(cov.dtype).eps * first * second
    if not bool(((determinants > least) & (first > 0)).all()):
        return None
    return extra, half.unsqueeze(-1)


def _roots(a: Spread, b: Spread | None) -> Tensor:
    """Return the roots of the eigenvalues of L_b' S_a L_b, or of S_a alone, ascending."""
    if a.factored:
        return singular_values(a.value if b is None else _times(a.value.mT, b))
    if b is None:
        return eigenvalue_roots(a.value, a)
    right = _times(a.value, b)
    both = b.value.mT @ right if b.form == "matrix" else b.value.unsqueeze(-1) * right
    return eigenvalue_roots(both, a)


def _plane_root(a: Spread, b: Spread) -> Tensor:
    r"""Return the sum of both roots in the plane, whose square is trace plus twice the root of det.

    So it takes no decomposition a pair. ``b`` is a Cholesky factor.
    """
    cov_a = a.value @ a.value.mT if a.factored else a.value
    trace = (cov_a * (b.value @ b.value.mT)).sum((-2, -1))
    root_b = b.value.diagonal(dim1=-2, dim2=-1).prod(-1)
    if a.factored:
        root_a = a.value.diagonal(dim1=-2, dim2=-1).prod(-1)
        return roots(trace + 2 * (root_a * root_b).abs(), torch.finfo(trace.dtype).tiny)
    first, left, right, second = cov_a.flatten(-2).unbind(-1)
    product = first * second
    det, limits = product - left * right, torch.finfo(trace.dtype)
    # A negative definite matrix has such a determinant too, but not such an entry.
    regular = (det.detach() > limits.eps * product.detach()) & (first.detach() > 0)
    if bool(regular.all()):
        return (trace + 2 * det.sqrt() * root_b).sqrt()
    check_positive(a.name, a.value)
    floor = (limits.eps * product.detach().abs()).clamp(min=limits.tiny)
    # Beside a covariance of about zero the determinant has underflowed, and both slopes together
    # would leave the dtype's range: what is lost has no digit in the trace of either side.
    lost = (product.detach().abs() < limits.tiny) & (
        trace.detach() < limits.tiny**0.5 * root_b.detach().abs()
    )
    floor = torch.where(lost, 1, floor)
    return roots(trace + 2 * roots(det, floor) * root_b, limits.tiny)


def _times(left: Tensor, b: Spread) -> Tensor:
    return left @ b.value if b.form == "matrix" else left * b.value.unsqueeze(-2)
