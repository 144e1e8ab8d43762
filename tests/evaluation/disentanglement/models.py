"""Predictors whose parts are known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from uncertain.predictive import GaussianMarginal

EDGES = torch.linspace(0, 1, 9, dtype=torch.float64)[1:-1]
"""Eight cells of the unit interval."""


class CellMeans:
    """y's mean and variance in each of eight cells: noise is the variance, ignorance that over n."""

    def __init__(self, x: Tensor, y: Tensor, *, ignorance: float = 1.0) -> None:
        cell = torch.bucketize(x[:, 0].contiguous(), EDGES)
        self.mean = torch.stack([y[cell == k].mean() for k in range(8)])
        self.noise = torch.stack([y[cell == k].var() for k in range(8)])
        self.rows = torch.stack([(cell == k).sum() for k in range(8)])
        self.ignorance = ignorance

    def __call__(self, x: Tensor) -> GaussianMarginal:
        cell = torch.bucketize(x[:, 0].contiguous(), EDGES)
        noise = self.noise[cell]
        latent = self.ignorance * noise / self.rows[cell]
        return GaussianMarginal(self.mean[cell], latent.sqrt(), noise.sqrt())


def rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs on the unit interval, targets of unit noise around a step."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, generator=generator, dtype=torch.float64)
    return x, (x[:, 0] > 0.5).double() + noise


def train(x: Tensor, y: Tensor, seed: int) -> CellMeans:
    """Fit the cells; the seed is not needed."""
    return CellMeans(x, y)
