"""What a user would pick instead: softmax, dropout, ensembles, Gaussian likelihoods, heads, trees.

Every predictor is an ``nn.Module`` on any network (or a fitted tree ensemble) whose call returns a
distribution over y, one batch entry a row.
"""

from uncertain.baselines.batch_ensemble import BatchEnsemble
from uncertain.baselines.cosine import CosineHead
from uncertain.baselines.cost import Cost, cost
from uncertain.baselines.dropout import MonteCarloDropout
from uncertain.baselines.ensemble import DeepEnsemble
from uncertain.baselines.evidential import EvidentialClassification, EvidentialRegression
from uncertain.baselines.features import NetworkParts, OnFeatures, split_network
from uncertain.baselines.gaussian import GaussianRegression
from uncertain.baselines.gaussian_process_head import GaussianProcessHead
from uncertain.baselines.kronecker_laplace import KroneckerLaplace
from uncertain.baselines.last_layer_laplace import (
    LaplaceClassificationHead,
    LaplaceRegressionHead,
)
from uncertain.baselines.mahalanobis import MahalanobisHead
from uncertain.baselines.neighbours import KNNHead
from uncertain.baselines.networks import (
    MLP,
    Convolutional,
    ResNet,
    convolutional,
    mlp,
    resnet,
)
from uncertain.baselines.packed_ensemble import PackedEnsemble, PackedMLP, packed_mlp
from uncertain.baselines.point_network import PointNet, pointnet
from uncertain.baselines.prototypes import PrototypeHead
from uncertain.baselines.sngp import SNGP
from uncertain.baselines.softmax import Softmax
from uncertain.baselines.swag import SWAG, swag
from uncertain.baselines.trees import gradient_boosted_trees, random_forest

__all__ = [
    "MLP",
    "SNGP",
    "SWAG",
    "BatchEnsemble",
    "Convolutional",
    "CosineHead",
    "Cost",
    "DeepEnsemble",
    "EvidentialClassification",
    "EvidentialRegression",
    "GaussianProcessHead",
    "GaussianRegression",
    "KNNHead",
    "KroneckerLaplace",
    "LaplaceClassificationHead",
    "LaplaceRegressionHead",
    "MahalanobisHead",
    "MonteCarloDropout",
    "NetworkParts",
    "OnFeatures",
    "PackedEnsemble",
    "PackedMLP",
    "PointNet",
    "PrototypeHead",
    "ResNet",
    "Softmax",
    "convolutional",
    "cost",
    "gradient_boosted_trees",
    "mlp",
    "packed_mlp",
    "pointnet",
    "random_forest",
    "resnet",
    "split_network",
    "swag",
]
