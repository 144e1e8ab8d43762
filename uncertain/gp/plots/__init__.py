"""Pictures of what a Gaussian process has found, for one input and for two.

Every function draws on one matplotlib ``Axes``, of its own making where none is given, and returns
it. Rows ``x`` say where to look: pictures span them. ``N`` rows, ``D`` inputs, ``P`` points.
"""

from uncertain.gp.plots.latents import latent_scatter, relevance_bars, used_rows
from uncertain.gp.plots.lines import bands, latent_curves, local_lengthscale
from uncertain.gp.plots.maps import metric_map, prediction_map, uncertainty_map

__all__ = [
    "bands",
    "latent_curves",
    "latent_scatter",
    "local_lengthscale",
    "metric_map",
    "prediction_map",
    "relevance_bars",
    "uncertainty_map",
    "used_rows",
]
