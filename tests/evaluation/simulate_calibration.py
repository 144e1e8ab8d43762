"""Confidences with a known calibration error, for the tests and ``benchmarks/interval_coverage.py``.

Axis letters: ``N`` rows, ``B`` bins.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

GAPS = (0.0, 0.01, 0.03, 0.1)
SIZES = (500, 5000)
BINS = 15

Confidences = Literal["uniform", "high", "saturated"]
Shape = Literal["over", "wave", "one"]
Norm = Literal["l1", "l2"]


@dataclass(frozen=True)
class World:
    """A distribution of confidence and outcome.

    Attributes:
        confidences: ``"uniform"`` on [.5, 1]; ``"high"``, most above .95; ``"saturated"``, six of
            ten within 1e-4 of one.
        shape: Where the gap is: everywhere (``"over"``: over-confident), of alternating sign from
            bin to bin (``"wave"``), or in one bin only (``"one"``).
        gap: Its size.
        cluster: Rows of a group. They share one confidence in two.
        correlation: Of the outcomes of a group's rows.
    """

    confidences: Confidences = "uniform"
    shape: Shape = "over"
    gap: float = 0.0
    cluster: int = 1
    correlation: float = 0.0

    def sample(
        self, rng: np.random.Generator, n: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
        """Return confidences, outcomes and groups, (N,) each."""
        groups = np.arange(n) // self.cluster
        first = groups * self.cluster
        p = _draw(self.confidences, rng, n)
        if self.cluster > 1:
            p = np.where(rng.random(n) < 0.5, p[first], p)
        own = rng.random(n)
        shared = np.where(rng.random(n) < self.correlation**0.5, own[first], own)
        # `own[first]` itself belongs to the group, so the first row always shares it.
        return p, shared < self.frequency(p), groups

    def frequency(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of the outcome at confidence ``p``."""
        number = np.minimum((p * BINS).astype(int), BINS - 1)
        if self.shape == "over":
            return np.clip(p - self.gap, 0, 1)
        if self.shape == "wave":
            return np.clip(p - np.where(number % 2 == 0, self.gap, -self.gap), 0, 1)
        return np.clip(p - np.where(number == 12, self.gap, 0.0), 0, 1)

    def truth(self, norm: Norm, *, rows: int = 2_000_000) -> float:
        """Return the binned calibration error, from the expected gap of many confidences."""
        if self.gap == 0:
            return 0.0
        # Whether rows come in groups does not matter to what is expected of each.
        gap, share = _gaps_and_shares(replace(self, cluster=1, correlation=0.0), rows)
        if norm == "l1":
            return float(np.abs(gap).sum())
        return float(np.sqrt((gap[share > 0] ** 2 / share[share > 0]).sum()))


@functools.cache
def _gaps_and_shares(world: World, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each bin's gap and share of the rows, (B,) both."""
    p = _draw(world.confidences, np.random.default_rng(99), rows)
    number = np.minimum((p * BINS).astype(int), BINS - 1)
    gap = np.bincount(number, p - world.frequency(p), BINS) / rows
    return gap, np.bincount(number, minlength=BINS) / rows


def two_classes(
    p: NDArray[np.float64], outcome: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return probabilities (N, 2) whose top label has confidence ``p``, and the labels."""
    return np.stack([p, 1 - p], axis=1), np.where(outcome, 0, 1)


def _draw(kind: Confidences, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    u = rng.random(n)
    if kind == "uniform":
        return 0.5 + 0.5 * u
    if kind == "high":
        return 1 - 0.15 * u**2
    return np.where(rng.random(n) < 0.6, 1 - 1e-4 * u, 0.5 + 0.5 * u)
