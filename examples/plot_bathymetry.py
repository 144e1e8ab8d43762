"""
Read a map of heights
=====================

Around Vancouver Island the land rises from the fjords in a few kilometres, and the floor of the strait is
flat for dozens. A stationary Gaussian process has to settle for one lengthscale a direction; a thin-and-deep
one takes another at every place, and can be asked which.
"""

# %%
# Eight hundred heights
# ---------------------
# The map ships with matplotlib. Inputs are kilometres, heights are kilometres above the sea. Both models
# see the same 800 of its 10,920 heights, and are judged on 2,000 others.

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook

from uncertain import evaluation, gp, predictive
from uncertain.gp import plots

with np.load(cbook.get_sample_data("topobathy.npz", asfileobj=False)) as held:
    east, north = np.meshgrid(held["longitude"], held["latitude"])
    heights = torch.from_numpy(held["topo"].ravel() / 1000.0).double()
degrees = np.stack([east.ravel() - east.mean(), north.ravel() - north.mean()], 1).astype(float)
places = torch.from_numpy(111.3 * degrees * [np.cos(np.deg2rad(north.mean())), 1.0])
order = np.random.default_rng(0).permutation(len(places))
x, y = places[order[:800]], heights[order[:800]]
test_x, test_y = places[order[1000:3000]], heights[order[1000:3000]]

AXES = {"names": ("km east", "km north")}
figure, panel = plt.subplots(figsize=(6.4, 4.4))
grid = heights.reshape(east.shape)
extent = [float(end) for column in places.T for end in column.aminmax()]
shown = panel.imshow(grid, origin="lower", extent=extent, cmap="viridis")
panel.contour(grid, [0.0], extent=extent, colors="white", linewidths=0.6)
panel.plot(*x.T, ".", color="white", ms=2, mew=0, alpha=0.8)
panel.set(xlabel="km east", ylabel="km north")
panel.grid(False)
figure.colorbar(shown, label="height above the sea / km").outline.set_visible(False)
plt.show()

# %%
# Two processes, two calls
# ------------------------
# The stationary one is exact, with a Matern kernel and a lengthscale for each direction. The other has 80
# inducing points. Its noise is held at a twentieth of the variance until space has bent: else the
# first thing that training learns is to call the fjords noise.

stationary = gp.ExactGP.from_data(x, y, kernel="matern_5_2")
gp.fit(stationary, (x, y))
bent = gp.ThinDeepGP.from_data(x, y, num_inducing=80)
held_noise = gp.Phase(100, rate=0.03, noise=(0.05, 0.05), falling=False)
gp.fit(bent, (x, y), plan=[held_noise, gp.Phase(180, rate=0.03)])

models = {"stationary": stationary, "thin and deep": bent}
for name, model in models.items():
    predicted = predictive.predict(model, test_x)
    nll, crps = evaluation.nll(predicted, test_y).mean(), evaluation.crps(predicted, test_y).mean()
    print(f"{name:<14} NLL {nll:+.3f} nats, CRPS {1000 * crps:.0f} m")

# %%
# What they say
# -------------
# Above is the stationary process, below the other. The standard deviations are of the surface, noise
# apart: what more heights nearby would tell. Where lengthscales are the same everywhere, ignorance is a map of
# the gaps between the 800 heights; where they aren't, it gathers where the ground is rough. Noise has one
# size in both models and is most of what they don't know: a likelihood
# whose noise varies would be the next thing to try.

figure, panels = plt.subplots(2, 2, figsize=(8.6, 6.0), sharex=True, sharey=True)
for row, (name, model) in zip(panels, models.items(), strict=True):
    height = {"axes": row[0], "limits": (-1.4, 2.0), "target": "predicted height / km"}
    doubt = {"axes": row[1], "limits": (0.0, 0.2), "target": "standard deviation / km"}
    plots.prediction_map(model, places, side=60, **height, **AXES)
    plots.uncertainty_map(model, places, part="epistemic", side=60, **doubt, **AXES)
    for panel in row:
        panel.set_title(name)
plt.show()

# %%
# How far it looks, and which way
# -------------------------------
# The local metric as ellipses: every one reaches 0.15 lengthscales, so long ones stand where heights change
# slowly, along the direction in which they do; they are cut where they leave their cell. On the left is what
# the stationary process has for all places, on the right what the other has found. Colours are the geometric
# mean of the two lengthscales, in kilometres.


class Everywhere:
    """The metric of a stationary process: one over its lengthscales squared."""

    def __init__(self, lengthscales):
        self.lengthscales = lengthscales

    def local_metric(self, x):
        return self.lengthscales.pow(-2).diag().expand(len(x), 2, 2)


own = stationary.covariance.base_kernel.lengthscale.detach()[0] * stationary.scaling.input_scale
figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.4), sharex=True, sharey=True)
metrics = {"stationary": Everywhere(own), "thin and deep": bent}
for panel, (name, model) in zip(panels, metrics.items(), strict=True):
    plots.metric_map(model, places, axes=panel, limits=(15.0, 150.0), reach=0.15, **AXES)
    panel.set_title(name)
    panel.contour(grid, [0.0], extent=extent, colors="grey", linewidths=0.6)
plt.show()

# %%
# How sure is the map itself?
# ---------------------------
# The matrix has a posterior, too. ``departure`` says where the metric field :math:`W^\top W` and the
# local metric disagree: there, read the latter.

field = bent.metric_field(x)
ratio = field.quantiles[:, 2, 0] / field.quantiles[:, 0, 0]
print(f"largest eigenvalue, 95 % over 5 % quantile: median {ratio.median():.2f}")
print(f"rows whose departure is above a half: {(field.departure > 0.5).double().mean():.0%}")
