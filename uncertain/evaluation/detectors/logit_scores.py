"""Scores of logits alone: nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.detectors.arrays import (
    Scores,
    by_block,
    features_array,
    log_sum_exp,
    logits_array,
    softmax,
)


def msp(logits: Any) -> Scores:
    r"""Return one minus the maximum softmax probability, :math:`1 - \max_c p_c`.

    Computed as the sum of the other probabilities, so that rows of probability almost 1 keep their
    order where ``1 - p`` would be 0.

    Args:
        logits: (N, C), raw or normalised.

    Returns:
        (N,), in [0, 1 - 1/C].

    Raises:
        TypeError: For a distribution.
        ValueError: For NaN or another shape.

    References:
        D. Hendrycks and K. Gimpel, "A baseline for detecting misclassified and out-of-distribution
        examples in neural networks", 2017.

    Example:
        >>> bool(msp(np.array([[60.0, 0.0]])) < msp(np.array([[50.0, 0.0]])))
        True
    """
    return by_block(_one_minus_largest, logits_array(logits))


def max_logit(logits: Any) -> Scores:
    r"""Return minus the largest logit, :math:`-\max_c z_c`.

    Args:
        logits: (N, C), raw.

    Returns:
        (N,).

    Raises:
        TypeError: For a distribution or log-probabilities.
        ValueError: For NaN or another shape.

    References:
        D. Hendrycks et al., "Scaling out-of-distribution detection for real-world settings", 2022.

    Example:
        >>> max_logit(np.array([[3.0, 1.0], [0.5, 0.0]]))
        array([-3. , -0.5])
    """
    return by_block(lambda z: -z.max(axis=1), logits_array(logits, raw=True))


def energy(logits: Any, *, temperature: float = 1.0) -> Scores:
    r"""Return the free energy :math:`-T \log \sum_c \exp(z_c / T)`.

    Args:
        logits: (N, C), raw.
        temperature: T, above 0; 1 in the paper's results.

    Returns:
        (N,).

    Raises:
        TypeError: For a distribution or log-probabilities, whose energy is 0 in every row.
        ValueError: For NaN, another shape, or a temperature that is not above 0.

    References:
        W. Liu, X. Wang, J. Owens and Y. Li, "Energy-based out-of-distribution detection", 2020,
        eq. 4.

    Example:
        >>> energy(np.array([[0.0, 0.0]])).round(4)
        array([-0.6931])
    """
    checks.check_range("temperature", temperature, 0, open_low=True)
    raw = logits_array(logits, raw=True)
    return by_block(lambda z: -temperature * log_sum_exp(z / temperature), raw)


def gen(logits: Any, *, gamma: float = 0.1, classes: int = 100) -> Scores:
    r"""Return the generalised entropy :math:`\sum_{c \le M} p_{(c)}^\gamma (1 - p_{(c)})^\gamma`.

    The sum goes over the M most probable classes. Computed from logarithms, so that nothing is lost
    where a probability is almost 1.

    Args:
        logits: (N, C), raw or normalised.
        gamma: In (0, 1); .1 in the paper.
        classes: M; 100 in the paper (for 1000 classes); all, where there are fewer.

    Returns:
        (N,), at least 0.

    Raises:
        TypeError: For a distribution.
        ValueError: For NaN, another shape, a gamma outside (0, 1) or no classes.

    References:
        X. Liu, Y. Lochman and C. Zach, "GEN: pushing the limits of softmax-based
        out-of-distribution detection", 2023, eq. 4.

    Example:
        >>> bool(gen(np.array([[9.0, 0.0]])) < gen(np.array([[1.0, 0.0]])))
        True
    """
    checks.check_range("gamma", gamma, 0, 1, open_low=True, open_high=True)
    checks.check_range("classes", classes, 1)

    def score(z: NDArray[np.float64]) -> NDArray[np.float64]:
        kept = min(classes, z.shape[1])
        top = -np.partition(-z, kept - 1, axis=1)[:, :kept] if kept < z.shape[1] else z
        log_p = top - log_sum_exp(z)[:, None]
        largest = top.argmax(axis=1)
        here = np.arange(len(z))
        with np.errstate(divide="ignore"):
            log_rest = np.log1p(-np.exp(np.minimum(log_p, 0.0)))
        log_rest[here, largest] = _log_one_minus_largest(z)
        value: NDArray[np.float64] = np.exp(gamma * (log_p + log_rest)).sum(axis=1)
        return value

    return by_block(score, logits_array(logits))


def grad_norm(features: Any, logits: Any, *, temperature: float = 1.0) -> Scores:
    r"""Return minus the L1 norm of a gradient with respect to the last layer's weight.

    The gradient is that of the divergence of the softmax from the uniform distribution; it is an
    outer product, so that its norm is

    .. math:: \frac{1}{C T} \sum_d |h_d| \; \sum_c |1 - C \, p_c|, \qquad p = \mathrm{softmax}(z / T)

    Args:
        features: (N, D).
        logits: (N, C), raw or normalised.
        temperature: T, above 0; 1 in the paper.

    Returns:
        (N,), at most 0.

    Raises:
        TypeError: For a distribution.
        ValueError: For NaN, other shapes or lengths, or a temperature that is not above 0.

    References:
        R. Huang, A. Geng and Y. Li, "On the importance of gradients for detecting distributional
        shifts in the wild", 2021, eq. 8.

    Example:
        >>> grad_norm(np.ones((1, 3)), np.zeros((1, 2)))
        array([-0.])
    """
    checks.check_range("temperature", temperature, 0, open_low=True)
    wide, z = features_array(features), logits_array(logits)
    classes = z.shape[1]

    def score(h: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        away = np.abs(1 - classes * softmax(z / temperature)).sum(axis=1)
        value: NDArray[np.float64] = -np.abs(h).sum(axis=1) * away / (classes * temperature)
        return value

    return by_block(score, wide, z)


def _one_minus_largest(z: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    total = weights.sum(axis=1)
    weights[np.arange(len(z)), z.argmax(axis=1)] = 0.0
    rest: NDArray[np.float64] = weights.sum(axis=1) / total
    return rest


def _log_one_minus_largest(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(1 - max p), finite however large the largest logit is."""
    if z.shape[1] == 1:
        return np.full(len(z), -np.inf)
    others = np.delete(np.sort(z, axis=1), -1, axis=1)
    return log_sum_exp(others) - log_sum_exp(z)
