"""
Find the one dimension behind two inputs
========================================

A surface over two inputs may hang on a single number made from them, by a rule that changes from place to
place. A stationary process can't say so: it has one lengthscale an input, everywhere. A thin-and-deep
process bends the inputs by a matrix that varies smoothly, so what it has found can be looked at: which
latent dimensions it uses, where the rows lie in them, and which way the surface varies at every point.
"""

# %%
# A surface with a secret
# -----------------------
# The height depends on the inputs through one number, :math:`z = W(x)\,x`, whose recipe turns with the first
# input. Nothing of that is told to the model. It sees 175 points, without noise.

import matplotlib.pyplot as plt
import numpy as np
import torch

from uncertain import gp
from uncertain.gp import plots


def secret(x):
    angle = 3.1414 * x[:, 0]
    return 2 * x[:, 0] * torch.sin(angle) * x[:, 0] + 2 * torch.cos(angle) * x[:, 1]


def surface(x):
    return torch.sinc(secret(x)) - secret(x).square()


x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (350, 2)))
train, test = x[:175], x[175:]
y = surface(train)

# %%
# One call
# --------
# Inputs and target are standardised inside; inducing points, the start of the matrix and the restarts
# are chosen for you. Restarts are compared by the bound on the evidence, which sees the training rows
# alone.

model = gp.ThinDeepGP.from_data(train, y, seed=0)
fitted = gp.fit(model, (train, y), seed=0)
with torch.no_grad():
    predicted = model(test)
    error = (predicted.mean - surface(test)).square().mean().sqrt() / y.std()
print(f"root mean squared error on new points: {error:.4f} of the surface's standard deviation")
print("relevance of the two latent rows:", [f"{v:.1e}" for v in model.relevance(train)])

# %%
# What it predicts
# ----------------

figure, panels = plt.subplots(1, 2, figsize=(7.4, 3.2))
plots.prediction_map(model, train, axes=panels[0], names=("$x_1$", "$x_2$"), target="height")
panels[0].plot(*train.T, ".", color="white", ms=3, mew=0)
plots.uncertainty_map(
    model, train, axes=panels[1], show=train, names=("$x_1$", "$x_2$"), target="standard deviation"
)
plt.show()

# %%
# One row is left
# ---------------
# The matrix started with two rows; training has pruned one (left). Over the other the heights lie on a
# curve (middle): the surface *is* one-dimensional. And the curve's abscissa is the secret number itself,
# up to its sign and scale, which no data could tell (right).

figure, panels = plt.subplots(1, 3, figsize=(7.8, 2.8))
plots.relevance_bars(model, train, axes=panels[0])
plots.latent_scatter(model, train, y, axes=panels[1], target="height")
used = plots.used_rows(model, train)[0]
latent = model.latent(test).mean[:, used].detach()
panels[2].plot(secret(test), latent, ".", color="#0072b2", ms=4)
panels[2].set(xlabel="the secret number", ylabel="latent h")
plt.show()

# %%
# Which way the surface varies
# ----------------------------
# The metric at a point says how far the latent moves when the input does. Along the short axis of an
# ellipse the height changes; along the long one, which is cut where it leaves its cell, it doesn't. On
# the right are the true directions, from the derivative of the secret.

here = torch.cartesian_prod(*[torch.linspace(-0.93, 0.93, 14, dtype=torch.float64)] * 2)
here.requires_grad_()
(slope,) = torch.autograd.grad(secret(here).sum(), here)
slope, here = slope / slope.norm(dim=1, keepdim=True), here.detach()
figure, panels = plt.subplots(1, 2, figsize=(7.4, 3.2), sharex=True, sharey=True)
plots.metric_map(model, train, axes=panels[0], names=("$x_1$", "$x_2$"), colour="shortest")
strokes = {"headwidth": 0, "headlength": 0, "headaxislength": 0, "pivot": "mid", "scale": 18}
panels[1].quiver(*here.T, -slope[:, 1], slope[:, 0], color="#d55e00", **strokes)
panels[1].set(title="no change along these", xlabel="$x_1$")
panels[1].grid(False)
plt.show()
