"""What a user would pick instead: softmax, MC dropout, deep ensembles, Gaussian likelihoods, trees.

Every predictor is an ``nn.Module`` on any network (or a fitted tree ensemble) whose call returns a
distribution over y, one batch entry a row.
"""

from uncertain.baselines.cost import Cost, cost
from uncertain.baselines.dropout import MonteCarloDropout
from uncertain.baselines.ensemble import DeepEnsemble
from uncertain.baselines.gaussian import GaussianRegression
from uncertain.baselines.networks import (
    MLP,
    Convolutional,
    ResNet,
    convolutional,
    mlp,
    resnet,
)
from uncertain.baselines.softmax import Softmax
from uncertain.baselines.trees import gradient_boosted_trees, random_forest

__all__ = [
    "MLP",
    "Convolutional",
    "Cost",
    "DeepEnsemble",
    "GaussianRegression",
    "MonteCarloDropout",
    "ResNet",
    "Softmax",
    "convolutional",
    "cost",
    "gradient_boosted_trees",
    "mlp",
    "random_forest",
    "resnet",
]
