"""Entropic optimal transport between samples, by POT where it is installed."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.samples import two_samples


def entropic_wasserstein2_squared(
    x: Float[Tensor, "*batch_x N D"],
    y: Float[Tensor, "*batch_y M D"],
    *,
    regularisation: float,
    iterations: int = 1000,
    tolerance: float = 1e-5,
) -> Float[Tensor, "*pairs"]:
    r"""Return the Sinkhorn divergence between two samples, the debiased entropic transport cost.

    .. math:: \mathrm{OT}_\varepsilon(x, y) - \tfrac12 \mathrm{OT}_\varepsilon(x, x)
              - \tfrac12 \mathrm{OT}_\varepsilon(y, y), \qquad
              \mathrm{OT}_\varepsilon = \min_P \langle P, \lVert x_i - y_j \rVert^2 \rangle
              + \varepsilon\, \mathrm{KL}(P \mid x \otimes y)

    At least 0 (up to what the iterations leave), zero for equal samples; the squared 2-Wasserstein
    distance as the regularisation goes to 0, the squared distance of the means as it grows. It is
    POT's batched Sinkhorn in logarithms; gradients come from the potentials, not through the
    iterations.

    Args:
        x: (..., N, D) points of weight 1/N.
        y: (..., M, D) points of weight 1/M; leading dimensions broadcast.
        regularisation: epsilon, above 0, in the unit of x squared.
        iterations: At most so many.
        tolerance: Of the marginals, at which to stop.

    Returns:
        The broadcast leading shape.

    Raises:
        ValueError: For shapes that do not fit, numbers that are not finite, or a regularisation not
            above 0.
        TypeError: For tensors that are not floating.
        ModuleNotFoundError: Where POT is not installed.

    References:
        M. Cuturi, "Sinkhorn distances", 2013; J. Feydy et al., "Interpolating between optimal
        transport and MMD using Sinkhorn divergences", 2019.

    Example:
        >>> x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double()
        >>> entropic_wasserstein2_squared(x, x + 2, regularisation=0.5).round(decimals=3)
        tensor(8., dtype=torch.float64)
    """
    checks.check_range("regularisation", regularisation, 0, open_low=True)
    checks.check_range("iterations", iterations, 1)
    checks.check_range("tolerance", tolerance, 0, open_low=True)
    x, y = two_samples(x, y)
    solver = checks.require("ot.batch", "transport")
    lead = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x = x.expand(*lead, *x.shape[-2:]).reshape(-1, *x.shape[-2:])
    y = y.expand(*lead, *y.shape[-2:]).reshape(-1, *y.shape[-2:])

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
        return value

    return (cost(x, y) - 0.5 * cost(x, x) - 0.5 * cost(y, y)).reshape(lead)
