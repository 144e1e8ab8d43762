"""Covariances in the forms in which they come: one variance, one a dimension, or a matrix.

Checked once, at the border; what follows may trust them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.derivatives import roots

Form = Literal["isotropic", "diagonal", "matrix"]


class Spread(NamedTuple):
    """A covariance, or its factor, and in which form.

    Attributes:
        form: What the last dimensions of ``value`` are: ``isotropic`` (1,), ``diagonal`` (d,),
            ``matrix`` (d, d).
        value: Variances or a covariance; standard deviations or a Cholesky factor where factored.
        factored: Whether it is the factor.
        name: What the user calls it.
    """

    form: Form
    value: Tensor
    factored: bool
    name: str = "cov"

    def scales(self) -> Tensor:
        """Return standard deviations, of a form that is no matrix."""
        return self.value if self.factored else roots(self.value, 0.0)

    def trace(self, dimensions: int) -> Tensor:
        """Return the trace of the covariance."""
        if self.form == "matrix":
            if self.factored:
                return self.value.square().sum((-2, -1))
            return self.value.diagonal(dim1=-2, dim2=-1).sum(-1)
        variances = self.value.square() if self.factored else self.value
        return variances.sum(-1) * (dimensions if self.form == "isotropic" else 1)


def widened(**tensors: Tensor) -> list[Tensor]:
    """Return the named tensors in the widest of their dtypes, at least float32.

    Raises:
        TypeError: For what is no floating tensor.
    """
    dtype = torch.float32
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"`{name}` should be a floating tensor, got {type(tensor).__name__}: "
                "`torch.as_tensor` makes one."
            )
        if not tensor.is_floating_point():
            raise TypeError(
                f"`{name}` should be a floating tensor, got {tensor.dtype}: convert it, "
                f"`{name}.float()`."
            )
        if tensor.dtype != dtype:
            dtype = torch.promote_types(dtype, tensor.dtype)
    return [each if each.dtype == dtype else each.to(dtype) for each in tensors.values()]


def spread(side: str, mean: Tensor, cov: Tensor, *, factored: bool) -> Spread:
    """Tell the form of a covariance from its shape beside the mean's, and check it.

    ``side`` is what the argument's names end in: ``_a``, ``_b`` or nothing.

    Raises:
        ValueError: For shapes that do not belong together, negative variances, asymmetric matrices,
            or factors that are not lower triangular.
    """
    name = f"cov{side}"
    if not factored and mean.ndim and cov.shape == mean.shape:  # The commonest, and quick to tell.
        return Spread("diagonal", cov, False, name)
    dimensions = mean.shape[-1] if mean.ndim else 0
    matrix = cov.ndim == mean.ndim + 1 and cov.shape[-2:] == (dimensions, dimensions)
    vector = cov.ndim == mean.ndim and mean.ndim > 0 and cov.shape[-1] in (1, dimensions)
    lead = cov.shape[: mean.ndim - 1] if matrix or vector else ()
    if matrix and broadcast(lead, mean.shape[:-1]):
        _check_matrix(name, cov, factored)
        return Spread("matrix", cov, factored, name)
    if vector and broadcast(lead, mean.shape[:-1]):
        if factored and bool((cov < 0).any()):  # A negative variance shows: it has no root.
            checks.check_range(name, cov, 0, hint="standard deviations are not negative")
        form: Form = "diagonal" if cov.shape[-1] == dimensions else "isotropic"
        return Spread(form, cov, factored, name)
    rows = "".join(f"{size}, " for size in mean.shape[:-1])
    raise ValueError(
        f"`{name}` should have shape ({rows}{dimensions}) for variances, ({rows}1) for one variance "
        f"or ({rows}{dimensions}, {dimensions}) for matrices to match `mean{side}` of shape "
        f"{tuple(mean.shape)}, got {tuple(cov.shape)}: leading dimensions of 1 are broadcast."
    )


def check_pairs(mean_a: Tensor, mean_b: Tensor) -> None:
    """Raise where two sets of means do not have one dimension, or do not broadcast.

    Raises:
        ValueError: In both cases.
    """
    if mean_a.shape[-1] != mean_b.shape[-1]:
        raise ValueError(
            "`mean_a` and `mean_b` should have as many dimensions as each other, "
            f"got {mean_a.shape[-1]} and {mean_b.shape[-1]}."
        )
    one, other = mean_a.shape[:-1], mean_b.shape[:-1]
    if not broadcast(one, other):
        check_leading(
            {"mean_a": one, "mean_b": other},
            hint="`mean_a[:, None]` (and its covariance alike) gives every row with every target",
        )


def check_leading(leading: dict[str, tuple[int, ...]], *, hint: str) -> None:
    """Raise where the leading dimensions of two named arguments do not broadcast.

    Raises:
        ValueError: There.
    """
    (one, first), (other, second) = leading.items()
    if not broadcast(first, second):
        raise ValueError(
            f"`{one}` and `{other}` should have leading dimensions that broadcast, got "
            f"{tuple(first)} and {tuple(second)}: {hint}."
        )


def check_positive(name: str, cov: Tensor) -> None:
    """Raise where a symmetric matrix has an eigenvalue below zero by more than rounding."""
    if not bool(cov.detach().isfinite().all()):
        checks.check_finite(name, cov)  # LAPACK would raise in words of its own.
    values = torch.linalg.eigvalsh(cov.detach())
    floor = -100 * cov.shape[-1] * torch.finfo(cov.dtype).eps * values.abs().amax(-1)
    bad = values[..., 0] < floor
    if bool(bad.any()):
        raise ValueError(
            f"`{name}` should be positive semi-definite, got an eigenvalue of "
            f"{float(values[..., 0][bad][0]):.3g} ({int(bad.sum())} of {bad.numel()} matrices): "
            "an estimate of less than full rank can be shrunk towards its diagonal."
        )


def _check_matrix(name: str, cov: Tensor, factored: bool) -> None:
    if factored:
        if bool(cov.triu(1).any()):
            checks.check_finite(name, cov)
            raise ValueError(
                f"`{name}` should be lower triangular where `cholesky=True`, got entries above the "
                "diagonal: pass covariances without it, or `torch.linalg.cholesky` of them."
            )
        return
    check_symmetric(name, cov, "if these are Cholesky factors, pass `cholesky=True`")


def check_symmetric(name: str, cov: Tensor, hint: str) -> None:
    """Raise where a matrix differs from its mirror image by more than rounding."""
    cov = cov.detach()
    if torch.equal(cov, cov.mT):
        return
    gap = (cov - cov.mT).abs().amax((-2, -1))
    bad = gap > torch.finfo(cov.dtype).eps ** 0.5 * cov.abs().amax((-2, -1))
    if bool(bad.any()):
        raise ValueError(
            f"`{name}` should be symmetric, got entries that differ from their mirror image by "
            f"{float(gap.max()):.3g} ({int(bad.sum())} of {bad.numel()} matrices): {hint}."
        )


def broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast."""
    return all(a == b or 1 in (a, b) for a, b in zip(one[::-1], other[::-1], strict=False))
