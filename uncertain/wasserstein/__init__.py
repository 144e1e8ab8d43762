"""Classes as Gaussian label measures: the nearer in Wasserstein distance, the likelier.

A reconstruction: the paper by Park, Shu and Kwon (2020) was read in its abstract, introduction and a
public review only. :doc:`The page </wasserstein>` says what is theirs and what is ours.

====================================  ==================================================================
part                                  where
====================================  ==================================================================
the predictor                         :class:`WassersteinClassifier`, :class:`DistanceParts`
an input as a measure                 :class:`Perturbed` (draws of a perturbation),
                                      :class:`PointCloud` (its own points)
a Gaussian on any features            :class:`GaussianHead`
label measures                        :class:`LabelMeasures`
the diffusion towards one             :func:`diffuse_gaussian`, :func:`diffuse_sample`,
                                      :func:`generator`, :func:`distance_bound`
====================================  ==================================================================

Axis letters: ``N`` rows, ``M`` particles of an input measure, ``D`` dimensions of the label space,
``C`` classes, ``F`` features.
"""

from uncertain.wasserstein.classifier import WassersteinClassifier
from uncertain.wasserstein.diffusion import (
    diffuse_gaussian,
    diffuse_sample,
    distance_bound,
    generator,
)
from uncertain.wasserstein.head import GaussianHead
from uncertain.wasserstein.inputs import Perturbed, PointCloud
from uncertain.wasserstein.parts import DistanceParts
from uncertain.wasserstein.targets import LabelMeasures

__all__ = [
    "DistanceParts",
    "GaussianHead",
    "LabelMeasures",
    "Perturbed",
    "PointCloud",
    "WassersteinClassifier",
    "diffuse_gaussian",
    "diffuse_sample",
    "distance_bound",
    "generator",
]
