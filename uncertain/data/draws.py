"""Random numbers that belong to a row: the same bits in any batch, order and process.

A counter-based generator: value j of a row is a hash (SplitMix64) of the row's id, the seed, the
stream and j. There is no state, so there is nothing that the order of calls could change.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def hashed(
    keys: Int[Tensor, " N"], count: int, *, seed: int, stream: int
) -> Int[Tensor, "N count"]:
    """Return ``count`` hashes a row, uniform over the 64-bit integers.

    Args:
        keys: (N,) int64 row ids.
        count: Values a row.
        seed: Another seed gives other values.
        stream: Names what the values are used for, so that two uses never share them.

    Returns:
        (N, count) int64 on the device of ``keys``.

    Example:
        >>> ids = torch.arange(6)
        >>> both = hashed(ids, 4, seed=0, stream=0)
        >>> bool((hashed(ids[3:], 4, seed=0, stream=0) == both[3:]).all())
        True
    """
    start = _mix(_mix(_wrap(seed * _GOLDEN + stream)) ^ keys.to(torch.int64))
    counter = torch.arange(1, count + 1, device=keys.device) * _wrap(_GOLDEN)
    return _mix(start[:, None] + counter)


def uniform(
    keys: Int[Tensor, " N"], count: int, *, seed: int, stream: int
) -> Float[Tensor, "N count"]:
    """Return ``count`` values a row, uniform on the midpoints of 2^24 cells of (0, 1).

    Args:
        keys: (N,) int64 row ids.
        count: Values a row.
        seed: Another seed gives other values.
        stream: Names what the values are used for.

    Returns:
        (N, count) float64: exact multiples of 2^-25, never 0 or 1.

    Example:
        >>> u = uniform(torch.arange(100), 1000, seed=0, stream=0)
        >>> abs(u.mean().item() - 0.5) < 0.005
        True
    """
    # An arithmetic shift keeps the sign, hence the mask; 24 bits are as many as float32 resolves.
    bits = (hashed(keys, count, seed=seed, stream=stream) >> 40) & (2**24 - 1)
    return (bits.to(torch.float64) + 0.5) * 2.0**-24


def normal(
    keys: Int[Tensor, " N"], count: int, *, seed: int, stream: int
) -> Float[Tensor, "N count"]:
    """Return ``count`` standard normal values a row.

    Args:
        keys: (N,) int64 row ids.
        count: Values a row.
        seed: Another seed gives other values.
        stream: Names what the values are used for.

    Returns:
        (N, count) float64, within 5.5 of 0.

    Example:
        >>> z = normal(torch.arange(100), 1000, seed=0, stream=0)
        >>> abs(z.std().item() - 1) < 0.01
        True
    """
    draws: Tensor = torch.special.ndtri(uniform(keys, count, seed=seed, stream=stream))
    return draws


def poisson(
    rate: Float[Tensor, "N count"], keys: Int[Tensor, " N"], *, seed: int, stream: int
) -> Float[Tensor, "N count"]:
    """Return a Poisson count for each rate: the quantile at a uniform draw, so it grows with the rate.

    Args:
        rate: (N, count) means, at least 0; steps taken grow with the largest.
        keys: (N,) int64 row ids.
        seed: Another seed gives other values.
        stream: Names what the values are used for.

    Returns:
        (N, count) whole numbers in float64.

    Example:
        >>> counts = poisson(torch.full((100, 1000), 3.0), torch.arange(100), seed=0, stream=0)
        >>> abs(counts.mean().item() - 3) < 0.02, abs(counts.var().item() - 3) < 0.05
        (True, True)
    """
    rate = rate.to(torch.float64)
    chance = (-rate).exp()
    left = uniform(keys, rate.shape[1], seed=seed, stream=stream) - chance
    counts = torch.zeros_like(rate)
    steps = 0
    # A draw is at most 1 - 2^-25, so the largest rate's sum of chances passes it: this ends.
    while bool((left > 0).any()):
        steps += 1
        counts += left > 0
        chance = chance * rate / steps
        left -= chance
    return counts


def _wrap(value: int | Tensor) -> int:
    """Return an integer as the signed one with the same low 64 bits."""
    value = int(value) & (2**64 - 1)
    return value - 2**64 if value >= 2**63 else value


def _mix(value: Tensor | int) -> Tensor:
    """Apply SplitMix64's finaliser; int64 products wrap, which is what it asks for."""
    mixed: Tensor = torch.as_tensor(value)
    for shift, factor in _FACTORS:
        mixed = (mixed ^ _shifted(mixed, shift)) * _wrap(factor)
    result: Tensor = mixed ^ _shifted(mixed, 31)
    return result


def _shifted(value: Tensor, by: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift repeats the sign."""
    kept: int = 2 ** (64 - by) - 1
    result: Tensor = (value >> by) & kept
    return result
