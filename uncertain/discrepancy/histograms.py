"""Distances between histograms."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.samples import finite
from uncertain.discrepancy.spreads import check_leading, widened


def total_variation(p: Float[Tensor, "*batch_p K"], q: Float[Tensor, "*batch_q K"]) -> Tensor:
    r"""Return the total variation between two distributions on the same bins.

    .. math:: \mathrm{TV} = \tfrac12 \sum_k \lvert p_k - q_k \rvert = \max_A \lvert p(A) - q(A) \rvert

    Args:
        p: (..., K), at least 0, summing to one within 1e-5.
        q: (..., K); leading dimensions broadcast.

    Returns:
        The broadcast leading shape, in [0, 1]; the derivative where two bins are equal is 0.

    Raises:
        ValueError: For bins that differ in number, leading dimensions that do not broadcast, negative
            entries or sums away from one.
        TypeError: For tensors that are not floating.

    Example:
        >>> import torch
        >>> total_variation(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.25, 0.5]))
        tensor(0.5000)
    """
    p, q = widened(p=p, q=q)
    for name, values in {"p": p, "q": q}.items():
        if values.ndim < 1:
            checks.check_shape(name, values, ("K",))
        finite(**{name: values})
        rows = values.detach()
        off = (rows.sum(-1) - 1).abs() > checks.PROBABILITY_TOLERANCE
        if bool((rows < 0).any() | off.any()):
            checks.check_probabilities(name, rows.reshape(-1, rows.shape[-1]))
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"`p` and `q` should have as many bins as each other, got {p.shape[-1]} and {q.shape[-1]}."
        )
    check_leading(
        {"p": p.shape[:-1], "q": q.shape[:-1]},
        hint="`p[:, None]` gives every distribution with every other",
    )
    return 0.5 * (p - q).abs().sum(-1)
