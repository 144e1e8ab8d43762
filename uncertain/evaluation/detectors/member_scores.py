"""Scores of class probabilities and of the members of an ensemble; nothing is fitted.

``S`` members. All take a torch distribution, an
:class:`~uncertain.families.ArrayDistribution`, or probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks, families
from uncertain.evaluation.detectors.arrays import Scores, row_blocks
from uncertain.families import ArrayDistribution


def entropy(predictions: Any) -> Scores:
    r"""Return the entropy of the predictive distribution, :math:`-\sum_c \bar p_c \log \bar p_c`.

    Args:
        predictions: A distribution over classes; probabilities (N, C), or (N, S, C) of S members of
            equal weight, whose mean :math:`\bar p` counts.

    Returns:
        (N,) in nats, in [0, log C].

    Raises:
        TypeError: For a distribution over something else.
        ValueError: For rows that are no probabilities.

    Example:
        >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(4)
        array([0.6931, 0.    ])
    """
    return _by_rows(families.entropy, _classes(predictions))


def mutual_information(predictions: Any) -> Scores:
    r"""Return what a row's class and the member tell of each other, the epistemic part.

    .. math:: I = H\Bigl(\sum_s w_s p_s\Bigr) - \sum_s w_s H(p_s)

    Args:
        predictions: A mixture of class distributions (or a ``DirichletCategorical``); or
            probabilities (N, S, C) of S members of equal weight.

    Returns:
        (N,) in nats, at least 0; 0 up to rounding where all members agree.

    Raises:
        TypeError: For a distribution without members: its parts are unknown, not 0.
        ValueError: For rows that are no probabilities.

    References:
        A. Kendall and Y. Gal, "What uncertainties do we need in Bayesian deep learning for computer
        vision?", 2017; L. Smith and Y. Gal, "Understanding measures of uncertainty for adversarial
        example detection", 2018.

    Example:
        >>> mutual_information(np.array([[[1.0, 0.0], [0.0, 1.0]]])).round(4)
        array([0.6931])
    """
    return _by_rows(lambda d: families.decompose(d)[2], _with_members(predictions))


def variation_ratio(predictions: Any) -> Scores:
    r"""Return the share of members that do not predict the class most of them predict.

    Args:
        predictions: A mixture of class distributions, or probabilities (N, S, C) of S members of
            equal weight.

    Returns:
        (N,), in [0, 1 - 1/C].

    Raises:
        TypeError: For a distribution without members.
        ValueError: For rows that are no probabilities.

    References:
        L. C. Freeman, "Elementary applied statistics", 1965; Y. Gal, "Uncertainty in deep
        learning", 2016, section 3.3.1.

    Example:
        >>> variation_ratio(np.array([[[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]]))
        array([0.25])
    """
    d = _with_members(predictions)
    if d.mixture_weights is None:
        raise TypeError(
            f"`predictions` should have members, got a single {d.family} distribution: one vote "
            "varies from nothing."
        )
    return _by_rows(_dissent, d)


def _dissent(d: ArrayDistribution) -> NDArray[np.float64]:
    weights = d.mixture_weights
    assert weights is not None
    if d.family == "bernoulli":
        table = next(iter(d.parameters.values()))
        votes = (table > (0 if "logits" in d.parameters else 0.5)).astype(np.intp)
    else:
        votes = next(iter(d.parameters.values())).argmax(axis=-1)
    here = np.arange(len(d))
    counts = np.zeros((len(d), int(votes.max()) + 1))
    for s in range(votes.shape[1]):
        counts[here, votes[:, s]] += weights[:, s]
    share: NDArray[np.float64] = 1 - counts.max(axis=1)
    return np.maximum(share, 0.0)


def _classes(predictions: Any) -> ArrayDistribution:
    d = _arrays(predictions)
    if families.FAMILIES[d.family].class_log_probs is None or d.event_ndim:
        raise TypeError(f"`predictions` should be over classes, got {d.family} predictions.")
    return d


def _with_members(predictions: Any) -> ArrayDistribution:
    d = _classes(predictions)
    if not isinstance(predictions, ArrayDistribution) and not hasattr(predictions, "batch_shape"):
        checks.check_shape(
            "predictions",
            next(iter(d.parameters.values())),
            ("N", "S", "C"),
            hint="probabilities of every member",
        )
    return d


def _arrays(predictions: Any) -> ArrayDistribution:
    if isinstance(predictions, ArrayDistribution):
        return predictions
    if hasattr(predictions, "batch_shape"):
        from uncertain import predictive

        return predictive.to_arrays(predictions)
    if hasattr(predictions, "detach"):
        predictions = predictions.detach().cpu()
    p = np.asarray(predictions)
    if p.dtype.kind not in "fiub":
        raise TypeError(f"`predictions` should hold probabilities, got dtype {p.dtype}.")
    if p.ndim not in (2, 3):
        checks.check_shape("predictions", p, ("N", "C"), hint="or (N, S, C) with S members")
    p = p.astype(np.float64)
    checks.check_probabilities("predictions", p.reshape(-1, p.shape[-1]))
    weights = np.full(p.shape[:2], 1 / p.shape[1]) if p.ndim == 3 else None
    return ArrayDistribution("categorical", {"probs": p}, weights)


def _by_rows(function: Callable[[ArrayDistribution], NDArray[Any]], d: ArrayDistribution) -> Scores:
    width = max(next(iter(d.parameters.values()))[:1].size, 1)
    scores = np.empty(len(d), dtype=np.float64)
    for part in row_blocks(len(d), width):
        scores[part] = function(families.select(d, part))
    return scores
