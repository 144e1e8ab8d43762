"""
Compare methods under shift
===========================

On rows like those it was trained on, almost every method looks calibrated. The question is what happens
when the inputs drift: accuracy falls for all of them, but a method that knows what it does not know
becomes less sure at the same time. Here digits are rotated, from a little to far too much.
"""

# %%
# Three methods from the same networks
# ------------------------------------
# Five small networks that differ only in their seed, trained by the same loop for the same number of
# steps. The first alone is the plain softmax; the same one under fixed dropout masks is Monte Carlo
# dropout; all five averaged are a deep ensemble.

import matplotlib.pyplot as plt
import numpy as np

from uncertain import baselines, data, evaluation, fit, predictive
from uncertain.data.corruptions import corrupt
from uncertain.data.severities import SEVERITIES

mnist = data.load("mnist5k")
members = []
for seed in range(5):
    network = baselines.mlp(784, 10, hidden=(128, 128), dropout=0.2, seed=seed)
    member = baselines.Softmax(network)
    fit.fit(member, (mnist.train.x, mnist.train.y), steps=300, batch_size=64, seed=seed)
    members.append(member)

methods = {
    "softmax": members[0],
    "MC dropout": baselines.MonteCarloDropout(members[0].network, members=20, seed=0),
    "deep ensemble": baselines.DeepEnsemble(members),
}

# %%
# Judge them at every severity
# ----------------------------
# What happens to a row depends on its own identity and a seed, so every method sees the same damage,
# and a row's damage grows with the severity instead of being drawn anew.

test = mnist.test
cases = []
for severity in range(6):
    turned = corrupt(test.x, "rotation", severity, row_ids=test.row_ids)
    split = f"shift:rotation:{severity}" if severity else "test"
    for name, model in methods.items():
        predicted = predictive.predict(model, turned)
        cases.append(
            evaluation.from_distribution(
                predicted, test.y, row_ids=test.row_ids, source=name, split=split
            )
        )
judged = evaluation.evaluate(cases)

# %%
# What the shift does
# -------------------
# Accuracy falls alike, since nobody taught these networks about rotation. The negative log-likelihood
# charges each method for how sure it stays while being wrong, and there they part. Bands are 95 %
# intervals over test rows.

degrees = np.array([0.0, *SEVERITIES["rotation"]])
splits = ["test", *(f"shift:rotation:{severity}" for severity in range(1, 6))]
titles = {"accuracy": "accuracy", "nll": "NLL, nats", "ece_debiased": "calibration error"}

figure, panels = plt.subplots(1, 3, figsize=(8.4, 3.2))
for panel, (metric, title) in zip(panels, titles.items(), strict=True):
    for name in methods:
        rows = [
            judged.select(
                metric=metric,
                source=name,
                split=split,
                kind="estimate",
                variant=["", "equal_width,15,l1,top_label"],
            ).rows[0]
            for split in splits
        ]
        panel.plot(degrees, [row.value for row in rows], marker="o", markersize=3, label=name)
        panel.fill_between(
            degrees, [row.low for row in rows], [row.high for row in rows], alpha=0.2, linewidth=0
        )
    panel.set(
        title=title, xlabel="rotation, degrees", ylim=(0, 1 if metric == "accuracy" else None)
    )
panels[0].legend(loc="lower left")
plt.show()

# %%
# Is the ensemble better?
# -----------------------
# On the clean rows the methods are compared in pairs. ``rank_group`` condenses it: methods that share a
# letter are not told apart by these rows. This is one training each: what would vary with another
# training is a separate question, which ``uncertain benchmark`` answers with several seeds.

judged.select(metric=["accuracy", "nll"], split="test", kind="difference")
