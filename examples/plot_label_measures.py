"""
See label measures, and inputs that leave them
==============================================

A classifier whose classes are Gaussians in two dimensions can be looked at. Where do inputs go as they
are turned, further than any that it has seen, and does their distance say that they are leaving?
"""

# %%
# Three digits in a plane
# -----------------------
# The network sends an image to a Gaussian in the plane, and each class is a Gaussian there. In training
# images are turned by up to 20 degrees, a few views of each at a time. The pull towards the true class's
# measure is three times the default: what is drawn here is the distance, not the probabilities.

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Ellipse

from uncertain import baselines, data, fit
from uncertain.data import transforms
from uncertain.wasserstein import Perturbed, WassersteinClassifier

classes = (2, 4, 7)
digits = data.load("digits")


def images(split) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of the three digits as images, numbered anew."""
    x, y = split.x[:].reshape(-1, 1, 8, 8), split.y
    kept = torch.isin(y, torch.tensor(classes))
    return x[kept], torch.searchsorted(torch.tensor(classes), y[kept])


def turned(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn each image by its own angle, up to 20 degrees either way."""
    return transforms.rotate(x, 40 * torch.rand(len(x), generator=generator) - 20)


x, y = images(digits.train)
body, last = baselines.split_network(baselines.mlp(64, 3, hidden=(64, 64), seed=0))
model = WassersteinClassifier(
    body,
    last.in_features,
    num_classes=3,
    label_dim=2,
    inputs=Perturbed(turned, train_particles=(1, 2, 4)),
    pull=0.1,
)
fit.fit(
    model,
    (x, y),
    steps=400,
    batch_size=64,
    seed=0,
    optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
)
model.eval()

# %%
# Inputs that drift
# -----------------
# Ellipses are the label measures, at one and two deviations. Each line is one test image that is turned
# from 0 to 90 degrees; its dot is where the upright image lies.

test_x, test_y = images(digits.test)
angles = torch.linspace(0, 90, 19)
figure, plane = plt.subplots(figsize=(6.0, 4.4))
means = model.targets.means.detach()
deviations = model.targets.deviations().detach()
with torch.no_grad():
    for k, digit in enumerate(classes):
        colour = f"C{k}"
        for size in (1, 2):
            width, height = 2 * size * deviations[k]
            plane.add_patch(
                Ellipse(means[k], width, height, facecolor=colour, alpha=0.15, edgecolor=colour)
            )
        for row in test_x[test_y == k][:5]:
            views = transforms.rotate(row.expand(len(angles), 1, 8, 8), angles)
            path = model.measures(views).mean[:, 0]
            plane.plot(*path.T, color=colour, linewidth=1)
            plane.plot(*path[0], "o", color=colour, markersize=4)
        plane.text(*means[k], str(digit), ha="center", va="center", fontweight="bold")
plane.set(title="the label space", xlabel="first dimension", ylabel="second dimension")
plane.set_aspect("equal", adjustable="datalim")
plt.show()

# %%
# What the distance says
# ----------------------
# Beyond the angles of training accuracy falls, and the mean distance to the nearest label measure rises:
# nobody told the model that the images are turned. Far beyond, it falls again: what has drifted all the
# way into another class's measure is near, and wrong.

accuracy, distance = [], []
with torch.no_grad():
    for angle in angles:
        views = transforms.rotate(test_x, angle.expand(len(test_x)))
        parts = model.distance_parts(views)
        accuracy.append(float((parts.nearest == test_y).float().mean()))
        distance.append(float((parts.location + parts.shape).mean()))
figure, curve = plt.subplots(figsize=(6.0, 3.4))
curve.plot(angles, 100 * np.array(accuracy), label="accuracy, %")
curve.set(xlabel="turned by, degrees", ylabel="accuracy, %", ylim=(0, 102))
other = curve.twinx()
other.plot(angles, distance, color="C1", linestyle="--", label="mean squared distance")
other.set(ylabel="mean squared distance", ylim=(0, None))
other.grid(False)
lines = [*curve.get_lines(), *other.get_lines()]
curve.legend(lines, [line.get_label() for line in lines], loc="lower right")
curve.axvline(20, color="0.5", linewidth=1, linestyle=":")
curve.annotate("seen in training", (19, 50), ha="right", fontsize=8)
plt.show()
