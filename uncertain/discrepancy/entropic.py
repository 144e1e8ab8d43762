"""Entropic optimal transport between samples, by POT where it is installed."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.samples import check_whole, two_samples, without_overflow


class UnconvergedWarning(RuntimeWarning):
    """Iterations ended before the tolerance was reached: the value is not yet the one asked for."""


def entropic_wasserstein2_squared(
    x: Float[Tensor, "*batch_x N D"],
    y: Float[Tensor, "*batch_y M D"],
    *,
    regularisation: float,
    iterations: int = 10_000,
    tolerance: float = 1e-5,
) -> Float[Tensor, "*pairs"]:
    r"""Return the Sinkhorn divergence between two samples, the debiased entropic transport cost.

    .. math:: \mathrm{OT}_\varepsilon(x, y) - \tfrac12 \mathrm{OT}_\varepsilon(x, x)
              - \tfrac12 \mathrm{OT}_\varepsilon(y, y), \qquad
              \mathrm{OT}_\varepsilon = \min_P \langle P, \lVert x_i - y_j \rVert^2 \rangle
              + \varepsilon\, \mathrm{KL}(P \mid x \otimes y)

    At least 0 (up to what the iterations leave), zero for equal samples; the squared 2-Wasserstein
    distance as the regularisation goes to 0, the squared distance of the means as it grows. It is
    POT's batched Sinkhorn in logarithms; gradients are those at a fixed plan, not through the
    iterations.

    The smaller the regularisation beside the squared distances, the more iterations it takes: about
    thirty where both are alike, thousands at a hundredth of them, and more than is practical at a
    thousandth. Where they do not suffice the value can be far off, in either direction, and a warning
    says so.

    Args:
        x: (..., N, D) points of weight 1/N.
        y: (..., M, D) points of weight 1/M; leading dimensions broadcast.
        regularisation: epsilon, above 0, in the unit of x squared.
        iterations: At most so many; samples that are easier need fewer.
        tolerance: The Euclidean distance of the plan's marginal from 1/N at which to stop, for the
            worst pair.

    Returns:
        The broadcast leading shape.

    Raises:
        ValueError: For shapes that do not fit, numbers that are not finite or so large that their
            squares are not, or a regularisation that is not above 0 and finite.
        TypeError: For tensors that are not floating, or iterations that are no whole number.
        ModuleNotFoundError: Where POT is not installed.

    Warns:
        UnconvergedWarning: Where the tolerance was not reached.

    References:
        M. Cuturi, "Sinkhorn distances", 2013; J. Feydy et al., "Interpolating between optimal
        transport and MMD using Sinkhorn divergences", 2019.

    Example:
        >>> x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double()
        >>> entropic_wasserstein2_squared(x, x + 2, regularisation=0.5).round(decimals=3)
        tensor(8., dtype=torch.float64)
    """
    checks.check_range("regularisation", regularisation, 0, math.inf, open_low=True, open_high=True)
    check_whole("iterations", iterations, hint="at most so many are made")
    checks.check_range("tolerance", tolerance, 0, open_low=True)
    x, y = two_samples(x, y)
    solver = checks.require("ot.batch", "transport")
    lead = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x = x.expand(*lead, *x.shape[-2:]).reshape(-1, *x.shape[-2:])
    y = y.expand(*lead, *y.shape[-2:]).reshape(-1, *y.shape[-2:])

    errors = []

    def cost(a: Tensor, b: Tensor) -> Tensor:
        solved: Any = solver.solve_sample_batch(
            a,
            b,
            reg=regularisation,
            reg_type="kl",
            method="log_sinkhorn",
            grad="envelope",
            max_iter=iterations,
            tol=tolerance,
        )
        value: Tensor = solved.value
        # The last update makes the columns exact: what is left over is in the rows.
        rows = solved.plan.detach().sum(-1) - 1 / a.shape[-2]
        errors.append(rows.norm(dim=-1))
        return value

    value = without_overflow(
        cost(x, y) - 0.5 * cost(x, x) - 0.5 * cost(y, y),
        hint="rescale `x`, `y` and `regularisation`",
    )
    _warn_where_unconverged(torch.stack(errors), iterations, tolerance)
    return value.reshape(lead)


def _warn_where_unconverged(errors: Tensor, iterations: int, tolerance: float) -> None:
    """Warn where a plan's marginal is off by more than the tolerance; ``errors`` is (3, pairs)."""
    off = (errors > tolerance).any(0)
    if bool(off.any()):
        warnings.warn(
            f"After {iterations} iterations {int(off.sum())} of {off.numel()} plans have a marginal "
            f"that is off by up to {float(errors.max()):.2g}, above the tolerance of {tolerance:g}: "
            "the distance is not to be trusted; raise `regularisation` or `iterations`, or pass "
            "float64.",
            UnconvergedWarning,
            stacklevel=3,
        )
