"""
Decide when to abstain
======================

A model that may say "I don't know" makes fewer mistakes on what it does answer. How many fewer, at what
price, and does it also fall silent when it should: on inputs that belong to no class it knows?
"""

# %%
# A model that does not know every digit
# --------------------------------------
# Three of the ten digits are kept from training altogether; their test rows are the strange inputs.
# They come from the same writers and the same scanner, so nothing but their shape gives them away.

import matplotlib.pyplot as plt
import numpy as np
import torch

from uncertain import baselines, data, evaluation, fit, predictive
from uncertain.evaluation.ranking import rank_curve, risk_coverage_points

known = data.held_out_classes(data.load("mnist5k"), split=0)
strange = known.ood["held_out"]
members = []
for seed in range(5):
    network = baselines.mlp(784, len(known.card.classes), hidden=(64,), dropout=0.2, seed=seed)
    member = baselines.Softmax(network)
    fit.fit(member, (known.train.x, known.train.y), steps=200, batch_size=64, seed=seed)
    members.append(member)
ensemble = baselines.DeepEnsemble(members)
known.card.problems[-1]

# %%
# How uncertain is each row?
# --------------------------
# The entropy of an ensemble's mean is all of its uncertainty. The part that its members disagree about,
# the mutual information, is the ignorance that more data could remove.

parts = {
    name: predictive.decompose(predictive.predict(ensemble, split.x))
    for name, split in {"known digits": known.test, "unknown digits": strange}.items()
}
figure, panels = plt.subplots(1, 2, figsize=(7.0, 3.0), sharey=True)
titles = {"total": "entropy", "epistemic": "mutual information"}
for panel, (part, title) in zip(panels, titles.items(), strict=True):
    for name, split in parts.items():
        panel.ecdf(getattr(split, part).numpy(), label=name)
    panel.set(title=title, xlabel="at most so many nats", xscale="log", xlim=(1e-4, None))
panels[0].set_ylabel("share of rows")
panels[0].legend(loc="upper left")
plt.show()

# %%
# What abstaining buys
# --------------------
# Rows are answered from the most certain on. The curve shows the share of wrong answers among those
# given. A score that ranked at random would give the dotted line; one that knew every mistake would
# stay at zero until only mistakes are left.


def mistakes(predicted: torch.distributions.Distribution, y: torch.Tensor) -> np.ndarray:
    """Return which rows the most likely class gets wrong."""
    return (predictive.class_probs(predicted).argmax(-1) != y).numpy()


figure, panel = plt.subplots(figsize=(6.0, 3.4))
for name, model in {"one network": members[0], "ensemble": ensemble}.items():
    predicted = predictive.predict(model, known.test.x)
    curve = rank_curve(predictive.entropy(predicted).numpy(), mistakes(predicted, known.test.y))
    coverage, risk, _ = risk_coverage_points(curve)
    (line,) = panel.plot(100 * coverage, 100 * risk, label=name)
    panel.axhline(100 * risk[-1], color=line.get_color(), linewidth=1, linestyle=":")
panel.set(xlabel="answered, %", ylabel="wrong among the answered, %", xlim=(0, 100), ylim=(0, None))
panel.legend(loc="center left")
plt.show()

# %%
# Choose the threshold on validation rows
# ---------------------------------------
# The threshold that keeps mistakes below one per cent is chosen where it costs nothing to look, on
# validation rows, and then met by rows it has not seen.

checked = predictive.predict(ensemble, known.validation.x)
curve = rank_curve(predictive.entropy(checked).numpy(), mistakes(checked, known.validation.y))
coverage, risk, entropy = risk_coverage_points(curve)
threshold = entropy[np.flatnonzero(risk <= 0.01)[-1]]

predicted = predictive.predict(ensemble, known.test.x)
answered = predictive.entropy(predicted).numpy() <= threshold
silent = predictive.entropy(predictive.predict(ensemble, strange.x)).numpy() > threshold
print(f"answered: {answered.mean():.0%} of the known digits")
print(f"wrong among them: {mistakes(predicted, known.test.y)[answered].mean():.1%}")
print(f"silent on: {silent.mean():.0%} of the unknown digits")

# %%
# The figures behind it
# ---------------------
# The threshold was never told about unknown digits. How well each score tells them apart, whatever the
# threshold, is in the table: ``aurc`` for abstaining on mistakes, ``auroc`` of variant ``ood:...`` for
# strange inputs.

judged = evaluation.evaluate(
    [
        evaluation.from_distribution(predicted, known.test.y, source="ensemble"),
        evaluation.from_distribution(
            predictive.predict(ensemble, strange.x), source="ensemble", split="ood:unknown digits"
        ),
    ]
)
judged.select(metric=["auroc", "aurc", "fpr95_ood_positive"])
