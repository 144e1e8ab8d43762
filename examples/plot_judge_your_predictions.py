"""
Judge your own predictions
==========================

You have a trained classifier, from any library, and its probabilities on rows it has not seen. How far
can they be trusted? Here two scikit-learn models recognise handwritten digits; all that is handed over
is an array of probabilities and the labels.
"""

# %%
# Predictions from somewhere else
# -------------------------------
# Naive Bayes treats 784 pixels as independent pieces of evidence, though neighbours say the same thing;
# it counts its evidence many times over and should be too sure. A random forest averages trees that
# rarely agree to the last one, and should not be sure enough.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

from uncertain import data, evaluation
from uncertain.evaluation.reliability import reliability
from uncertain.families import ArrayDistribution

mnist = data.load("mnist5k")
train_x, train_y = mnist.train.x.flatten(1).double().numpy(), mnist.train.y.numpy()
test_x, test_y = mnist.test.x.flatten(1).double().numpy(), mnist.test.y.numpy()

models = {
    "naive Bayes": GaussianNB(var_smoothing=0.1),
    "random forest": RandomForestClassifier(random_state=0),
}
probabilities = {
    name: model.fit(train_x, train_y).predict_proba(test_x) for name, model in models.items()
}

# %%
# One judge
# ---------
# Every figure comes with an interval over the test rows. The two models predict the same rows, so they
# are also compared in pairs, which cancels the rows that are hard for both.

judged = evaluation.evaluate(
    evaluation.Predictions(ArrayDistribution("categorical", {"probs": p}), test_y, source=name)
    for name, p in probabilities.items()
)
calibration = judged.select(
    metric=["accuracy", "nll", "ece", "ece_null", "ece_debiased"],
    variant=["", "equal_width,15,l1,top_label"],
    kind=["estimate", "null"],
)
calibration

# %%
# The plug-in error ``ece`` of a perfectly calibrated model is not zero: ``ece_null`` says what it would
# be on these rows, and ``high`` is its 95 % point. Both models are far above theirs, so both are
# miscalibrated beyond what noise explains. The interval that belongs to a calibration error stands at
# ``ece_debiased``; at a calibrated model it would hold 0. The negative log-likelihood of both is
# infinite, and ``reason`` counts why: rows whose true digit was given probability exactly 0. Nothing is
# clamped to hide that; the Brier score below stays finite.
#
# Where it goes wrong
# -------------------
# A calibration error has no sign, so the two could be wrong alike. The diagram shows how often the predicted digit was right against how sure the model was. The shaded
# band is where a calibrated model's points would lie, given how many rows each bin holds: a point inside
# it is no evidence of anything. Naive Bayes lies below the line, the forest above it.

figure, panels = plt.subplots(1, 2, figsize=(7.0, 3.5), sharey=True)
for panel, (name, p) in zip(panels, probabilities.items(), strict=True):
    diagram = reliability(p, test_y, bins=10)
    seen = diagram.count > 0
    x = diagram.confidence[seen]
    panel.plot([0, 1], [0, 1], color="0.5", linewidth=1)
    panel.fill_between(
        x, diagram.null_low[seen], diagram.null_high[seen], color="0.5", alpha=0.25, linewidth=0
    )
    spread = np.abs([diagram.low[seen], diagram.high[seen]] - diagram.frequency[seen])
    panel.errorbar(x, diagram.frequency[seen], yerr=spread, fmt="o", markersize=4, linewidth=1)
    panel.set(title=name, xlabel="confidence", xlim=(0, 1.02), ylim=(0, 1.02))
panels[0].set_ylabel("share that was right")
plt.show()

# %%
# Which is better, and is it certain?
# -----------------------------------
# A difference has its own interval, narrower than the two intervals suggest, and its p-value is
# adjusted for the comparisons made together.

judged.select(metric=["accuracy", "nll", "brier"], kind="difference")

# %%
# The same from the command line, for predictions of any framework::
#
#     uncertain evaluate bayes.npz forest.npz --out report.html
