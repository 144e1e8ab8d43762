"""Is the split into noise and ignorance real? Tests that a model's parts have to pass.

>>> from uncertain.evaluation.disentanglement import RED_CORRELATION
>>> RED_CORRELATION
0.8
"""

from uncertain.evaluation.disentanglement.battery import disentangle
from uncertain.evaluation.disentanglement.parts import Parts, parts_of
from uncertain.evaluation.disentanglement.ratings import rating_entropy
from uncertain.evaluation.disentanglement.retraining import Retraining, leading_third
from uncertain.evaluation.disentanglement.verdicts import (
    RED_CORRELATION,
    RED_SHARE,
    RED_SLOPE_RATIO,
)

__all__ = [
    "RED_CORRELATION",
    "RED_SHARE",
    "RED_SLOPE_RATIO",
    "Parts",
    "Retraining",
    "disentangle",
    "leading_third",
    "parts_of",
    "rating_entropy",
]
