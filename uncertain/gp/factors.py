"""Cholesky factors whose failure says which matrix it was, how bad it is, and what to try."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class NotPositiveDefiniteError(ArithmeticError):
    """A matrix that has no Cholesky factor.

    Attributes:
        name: Which matrix.
        size: Its number of rows.
        smallest, largest: Its eigenvalues' ends; NaN where an entry is not finite.

    Example:
        >>> cholesky(-torch.eye(2), name="K_ZZ", remedy="raise `jitter`")
        Traceback (most recent call last):
        uncertain.gp.factors.NotPositiveDefiniteError: `K_ZZ` should be positive definite, got a 2 x 2 matrix with eigenvalues from -1 to -1: raise `jitter`.
    """

    def __init__(self, name: str, size: int, smallest: float, largest: float, text: str) -> None:
        self.name, self.size, self.smallest, self.largest = name, size, smallest, largest
        super().__init__(text)


def cholesky(
    matrix: Float[Tensor, "*batch M M"], *, name: str, remedy: str
) -> Float[Tensor, "*batch M M"]:
    """Return lower Cholesky factors, without adding anything to the matrix.

    Args:
        matrix: (..., M, M), symmetric.
        name: What an error calls it.
        remedy: What an error advises.

    Returns:
        (..., M, M) lower triangular.

    Raises:
        NotPositiveDefiniteError: Where there is none; for the first such matrix of a batch.
    """
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(matrix)
    if bool((info != 0).any()) or not bool(factor.isfinite().all()):
        raise _explained(matrix.detach(), info, name, remedy)
    return factor


def _explained(matrix: Tensor, info: Tensor, name: str, remedy: str) -> NotPositiveDefiniteError:
    size = matrix.shape[-1]
    flat = matrix.reshape(-1, size, size)
    finite = flat.isfinite().flatten(1).all(1)
    bad = int(((info.reshape(-1) != 0) | ~finite).nonzero()[0, 0])
    label = f"{name}[{bad}]" if len(flat) > 1 else name
    start = f"`{label}` should be positive definite, got a {size} x {size} matrix"
    if not finite[bad]:
        count = int((~flat[bad].isfinite()).sum())
        text = f"{start} with {count} entries that are not finite: an input or a parameter is not."
        return NotPositiveDefiniteError(label, size, torch.nan, torch.nan, text)
    ends = torch.linalg.eigvalsh(flat[bad].double())[[0, -1]].tolist()
    text = f"{start} with eigenvalues from {ends[0]:.3g} to {ends[1]:.3g}: {remedy}."
    return NotPositiveDefiniteError(label, size, ends[0], ends[1], text)
