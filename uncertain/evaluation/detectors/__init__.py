"""Detectors of out-of-distribution rows, on what :func:`uncertain.evaluation.collect` records.

Scores are (N,) in float64, *larger is more out-of-distribution*. Where there is nothing to fit, a
detector is a function; the others are fitted to a bank of training rows, ``KNN.fit(bank)``, and are
then called with features and logits. Settings are those of the papers, and nothing is tuned: no
function here sees a strange row before it scores it.

==============================================  ====================================================
needs                                           detector
==============================================  ====================================================
logits                                          :func:`msp`, :func:`max_logit`, :func:`energy`,
                                                :func:`gen`
features and logits                             :func:`grad_norm`
features, logits, the last layer's weight       :class:`ReAct`, :class:`ASH`, :class:`SCALE`,
                                                :class:`FDBD`, :class:`ViM`
a bank's features                               :class:`KNN`, :class:`NNGuide`
a bank's features and labels                    :class:`Mahalanobis`, :class:`RelativeMahalanobis`,
                                                :class:`SHE`
the network                                     :func:`odin`
class probabilities, of members or not          :func:`entropy`, :func:`mutual_information`,
                                                :func:`variation_ratio`
all that apply                                  :func:`fit_detectors`, :func:`detector_scores`
==============================================  ====================================================

>>> import numpy as np
>>> energy(np.array([[5.0, 0.0], [1.0, 0.0]])).round(2)
array([-5.01, -1.31])
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uncertain.evaluation.detectors.arrays import Detector as Detector
    from uncertain.evaluation.detectors.battery import DETECTORS as DETECTORS
    from uncertain.evaluation.detectors.battery import Battery as Battery
    from uncertain.evaluation.detectors.battery import detector_scores as detector_scores
    from uncertain.evaluation.detectors.battery import fit_detectors as fit_detectors
    from uncertain.evaluation.detectors.boundaries import FDBD as FDBD
    from uncertain.evaluation.detectors.logit_scores import energy as energy
    from uncertain.evaluation.detectors.logit_scores import gen as gen
    from uncertain.evaluation.detectors.logit_scores import grad_norm as grad_norm
    from uncertain.evaluation.detectors.logit_scores import max_logit as max_logit
    from uncertain.evaluation.detectors.logit_scores import msp as msp
    from uncertain.evaluation.detectors.mahalanobis import Mahalanobis as Mahalanobis
    from uncertain.evaluation.detectors.mahalanobis import (
        RelativeMahalanobis as RelativeMahalanobis,
    )
    from uncertain.evaluation.detectors.member_scores import entropy as entropy
    from uncertain.evaluation.detectors.member_scores import (
        mutual_information as mutual_information,
    )
    from uncertain.evaluation.detectors.member_scores import variation_ratio as variation_ratio
    from uncertain.evaluation.detectors.neighbours import KNN as KNN
    from uncertain.evaluation.detectors.neighbours import NNGuide as NNGuide
    from uncertain.evaluation.detectors.patterns import SHE as SHE
    from uncertain.evaluation.detectors.perturbation import odin as odin
    from uncertain.evaluation.detectors.shaping import ASH as ASH
    from uncertain.evaluation.detectors.shaping import SCALE as SCALE
    from uncertain.evaluation.detectors.shaping import ReAct as ReAct
    from uncertain.evaluation.detectors.virtual_logit import ViM as ViM

_HOMES = {
    "ASH": "shaping",
    "Battery": "battery",
    "DETECTORS": "battery",
    "Detector": "arrays",
    "FDBD": "boundaries",
    "KNN": "neighbours",
    "Mahalanobis": "mahalanobis",
    "NNGuide": "neighbours",
    "ReAct": "shaping",
    "RelativeMahalanobis": "mahalanobis",
    "SCALE": "shaping",
    "SHE": "patterns",
    "ViM": "virtual_logit",
    "detector_scores": "battery",
    "energy": "logit_scores",
    "entropy": "member_scores",
    "fit_detectors": "battery",
    "gen": "logit_scores",
    "grad_norm": "logit_scores",
    "max_logit": "logit_scores",
    "msp": "logit_scores",
    "mutual_information": "member_scores",
    "odin": "perturbation",
    "variation_ratio": "member_scores",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        value = getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
