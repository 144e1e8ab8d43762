"""How far apart two distributions are, given as Gaussians, as samples or as histograms.

====================================  ==================================================================
between                               function
====================================  ==================================================================
Gaussians                             :func:`gaussian_wasserstein2_squared`; its two parts:
                                      :func:`gaussian_wasserstein2_parts`; to targets that stay:
                                      :class:`FixedGaussians`
a Gaussian and a Gaussian target      :func:`gaussian_stein_squared` (closed form)
samples of numbers                    :func:`sample_wasserstein2_squared`
samples of vectors                    :func:`sliced_wasserstein2_squared`, :func:`mmd_squared`,
                                      :func:`entropic_wasserstein2_squared` (needs POT)
a sample and a density's score        :func:`stein_squared`
histograms                            :func:`total_variation`
====================================  ==================================================================

All but the last are *squared*: their gradients exist where the two sides are equal, and those of
their square roots do not. Everything is differentiable, batched over leading dimensions, and works in
the dtype and on the device of its inputs (half precision is widened to float32).

Axis letters: ``N`` and ``M`` points of a sample, ``D`` dimensions, ``K`` bins.
"""

from uncertain.discrepancy.entropic import UnconvergedWarning, entropic_wasserstein2_squared
from uncertain.discrepancy.gaussians import (
    FixedGaussians,
    Wasserstein2Parts,
    gaussian_wasserstein2_parts,
    gaussian_wasserstein2_squared,
)
from uncertain.discrepancy.histograms import total_variation
from uncertain.discrepancy.kernels import median_distance, mmd_squared
from uncertain.discrepancy.sliced import sample_wasserstein2_squared, sliced_wasserstein2_squared
from uncertain.discrepancy.stein import gaussian_stein_squared, stein_squared

__all__ = [
    "FixedGaussians",
    "UnconvergedWarning",
    "Wasserstein2Parts",
    "entropic_wasserstein2_squared",
    "gaussian_stein_squared",
    "gaussian_wasserstein2_parts",
    "gaussian_wasserstein2_squared",
    "median_distance",
    "mmd_squared",
    "sample_wasserstein2_squared",
    "sliced_wasserstein2_squared",
    "stein_squared",
    "total_variation",
]
