"""Numbers that are not finite, found on their way from a row to its distances and named."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from uncertain.fit.failures import SpoiltError


def check_views(x: Tensor, views: Tensor) -> None:
    """Raise where a perturbation (N, M, ...) made something that is not finite of a finite row.

    Raises:
        SpoiltError: A ``ValueError`` that names the first such row.
    """
    if not views.is_floating_point() or bool(views.detach().isfinite().all()):
        return
    bad = bad_rows(views) & ~bad_rows(x)
    if bool(bad.any()):
        _fail("perturb(x, generator)", bad, "the rows themselves are finite")


def check_distances(x: Any, features: Tensor, distances: Tensor) -> None:
    """Raise where a distance (N, C) is not finite, and say whether x, the features or it is to blame.

    Features have (N M) rows. The distances are small beside them, and nothing spoilt is lost on the way:
    the head is linear.

    Raises:
        SpoiltError: A ``ValueError`` that names the first row.
    """
    if bool(distances.detach().isfinite().all()):
        return
    rows = len(distances)
    if isinstance(x, Tensor) and bool((bad := bad_rows(x)).any()):
        _fail("x", bad, "drop such rows, or fill what is missing")
    spoilt = bad_rows(features).unflatten(0, (rows, -1)).any(1)
    if bool(spoilt.any()):
        _fail("backbone(x)", spoilt, "its training has diverged, or the input is far too large")
    _fail(
        "distance",
        bad_rows(distances),
        f"features of up to {float(features.detach().abs().max()):.3g} are too large to be squared",
    )


def bad_rows(values: Tensor) -> Tensor:
    """Return which rows hold NaN or infinity, (N,)."""
    return ~values.detach().isfinite().flatten(1).all(1) if values.ndim > 1 else ~values.isfinite()


def _fail(name: str, bad: Tensor, hint: str) -> None:
    first = int(torch.nonzero(bad)[0])
    raise SpoiltError(
        f"`{name}` should be finite, got NaN or infinity at row {first} ({int(bad.sum())} of "
        f"{len(bad)} rows): {hint}.",
        term=name,
    )
