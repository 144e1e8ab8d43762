"""Activations are clipped, pruned or scaled; the energy of the logits they then give is the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import (
    Scores,
    by_block,
    features_array,
    log_sum_exp,
    non_negative,
)

Float = NDArray[np.float64]
Variant = Literal["p", "b", "s"]

_ASH_PERCENTILES: dict[str, float] = {"p": 60.0, "b": 65.0, "s": 90.0}


@dataclass(frozen=True, eq=False)
class ReAct:
    r"""The energy after activations are clipped from above, :math:`-\log \sum \exp(W \min(h, c) + b)`.

    Attributes:
        weight: (C, D), W.
        bias: (C,), b.
        threshold: c, a percentile of all activations of the bank.

    References:
        Y. Sun, C. Guo and Y. Li, "ReAct: out-of-distribution detection with rectified activations",
        2021, eq. 1 and 2; the 90th percentile is theirs.

    Example:
        >>> h = np.arange(12.0).reshape(6, 2)
        >>> bank = Collected(h, h, np.eye(2), np.zeros(2))
        >>> round(ReAct.fit(bank).threshold, 6)
        9.9
    """

    weight: Float
    bias: Float
    threshold: float

    @classmethod
    def fit(cls, bank: Collected, *, percentile: float = 90.0) -> ReAct:
        """Find the threshold among the activations of training rows.

        Args:
            bank: Training rows; no labels are needed.
            percentile: Of all activations of all rows, in (0, 100].

        Raises:
            ValueError: The percentile is out of range.
        """
        checks.check_range("percentile", percentile, 0, 100, open_low=True)
        return cls(*_layer(bank), _percentile(bank.features, percentile))

    def __call__(self, features: Any, logits: Any = None) -> Scores:
        """Return the energy after clipping, (N,); logits are computed anew.

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN or another width than the bank's.
        """
        return by_block(
            lambda h: _energy(np.minimum(h, self.threshold), self.weight, self.bias),
            features_array(features, self.weight.shape[1]),
        )


@dataclass(frozen=True, eq=False)
class ASH:
    r"""The energy after most activations of a row are pruned: activation shaping.

    Of D activations the :math:`D - \mathrm{round}(D p / 100)` largest stay; :math:`s_1` is the sum
    before and :math:`s_2` after. Variant ``p`` only prunes, ``b`` sets what stays (and is not 0) to
    :math:`s_1` over their number, ``s`` multiplies it by :math:`\exp(s_1 / s_2)`.

    Activations at the threshold all stay, so that a row's order does not matter. Of a row with fewer
    activations than that above 0, those stay; the authors' code for ``b`` also sets zeros, those that
    its sort comes across first.

    Attributes:
        weight: (C, D).
        bias: (C,).
        variant: ``p``, ``b`` or ``s``.
        percentile: Share pruned, in percent.

    References:
        A. Djurisic, N. Bozanic, A. Ashok and R. Liu, "Extremely simple activation shaping for
        out-of-distribution detection", 2023, algorithms 1 to 3; 60, 65 and 90 % are theirs for
        ImageNet.

    Example:
        >>> h = np.random.default_rng(0).exponential(size=(6, 10))
        >>> bank = Collected(h, h, np.eye(10), np.zeros(10))
        >>> ASH.fit(bank, variant="p", percentile=0)(h).round(6).tolist() == (
        ...     -np.log(np.exp(h).sum(axis=1))).round(6).tolist()
        True
    """

    weight: Float
    bias: Float
    variant: Variant
    percentile: float

    @classmethod
    def fit(
        cls, bank: Collected, *, variant: Variant = "s", percentile: float | None = None
    ) -> ASH:
        """Take the last layer.

        Args:
            bank: Training rows, whose activations are not negative; only their last layer is used.
            variant: ``p``, ``b`` or ``s``.
            percentile: In [0, 100); by default the paper's of the variant.

        Raises:
            ValueError: An activation is negative, or an argument is out of range.
        """
        checks.check_choice("variant", variant, _ASH_PERCENTILES)
        pruned = _ASH_PERCENTILES[variant] if percentile is None else percentile
        checks.check_range("percentile", pruned, 0, 100, open_high=True)
        non_negative(bank.features, "ASH")
        return cls(*_layer(bank), variant, pruned)

    def __call__(self, features: Any, logits: Any = None) -> Scores:
        """Return the energy after shaping, (N,); logits are computed anew.

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN, a negative activation or another width than the bank's.
        """
        array = non_negative(features_array(features, self.weight.shape[1]), "ASH")
        return by_block(lambda h: _energy(self._shaped(h), self.weight, self.bias), array)

    def _shaped(self, h: Float) -> Float:
        stays, before, after = _largest(h, self.percentile)
        if self.variant == "p":
            return np.where(stays, h, 0.0)
        if self.variant == "b":
            number = np.maximum(stays.sum(axis=1), 1)
            return np.where(stays, (before / number)[:, None], 0.0)
        return np.where(stays, h * np.exp(_ratio(before, after))[:, None], 0.0)


@dataclass(frozen=True, eq=False)
class SCALE:
    r"""The energy after a row's activations are all multiplied by one number, :math:`\exp(s_1 / s_2)`.

    The sums are those of :class:`ASH`: of all activations of the row, and of the largest. Nothing is
    pruned.

    Attributes:
        weight: (C, D).
        bias: (C,).
        percentile: Share left out of :math:`s_2`, in percent.

    References:
        K. Xu, R. Chen, G. Franchi and A. Yao, "Scaling for training time and post-hoc
        out-of-distribution detection enhancement", 2024, eq. 5 to 7; 85 % is theirs for ImageNet.

    Example:
        >>> h = np.ones((1, 4))
        >>> bank = Collected(h, h, np.eye(4), np.zeros(4))
        >>> SCALE.fit(bank, percentile=50)(h).round(4)
        array([-4.1046])
    """

    weight: Float
    bias: Float
    percentile: float

    @classmethod
    def fit(cls, bank: Collected, *, percentile: float = 85.0) -> SCALE:
        """Take the last layer.

        Args:
            bank: Training rows, whose activations are not negative; only their last layer is used.
            percentile: In [0, 100).

        Raises:
            ValueError: An activation is negative, or the percentile is out of range.
        """
        checks.check_range("percentile", percentile, 0, 100, open_high=True)
        non_negative(bank.features, "SCALE")
        return cls(*_layer(bank), percentile)

    def __call__(self, features: Any, logits: Any = None) -> Scores:
        """Return the energy after scaling, (N,); logits are computed anew.

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN, a negative activation or another width than the bank's.
        """
        array = non_negative(features_array(features, self.weight.shape[1]), "SCALE")
        return by_block(lambda h: _energy(self._scaled(h), self.weight, self.bias), array)

    def _scaled(self, h: Float) -> Float:
        _, before, after = _largest(h, self.percentile)
        scaled: Float = h * np.exp(_ratio(before, after))[:, None]
        return scaled


def _layer(bank: Collected) -> tuple[Float, Float]:
    return bank.weight.astype(np.float64), bank.bias.astype(np.float64)


def _energy(h: Float, weight: Float, bias: Float) -> Float:
    return -log_sum_exp(h @ weight.T + bias)


def _percentile(features: NDArray[Any], percentile: float) -> float:
    """Return a percentile of all values, interpolated in float64, with one copy in float32."""
    flat = features.reshape(-1)
    flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
    place = percentile / 100 * (len(flat) - 1)
    below = int(np.floor(place))
    above = min(below + 1, len(flat) - 1)
    both = np.partition(flat, sorted({below, above}))[[below, above]].astype(np.float64)
    return float(both[0] + (place - below) * (both[1] - both[0]))


def _largest(h: Float, percentile: float) -> tuple[NDArray[np.bool_], Float, Float]:
    """Return which activations stay, and the sums of each row before and after."""
    width = h.shape[1]
    kept = max(1, width - round(width * percentile / 100))
    threshold = np.partition(h, width - kept, axis=1)[:, width - kept, None]
    stays = (h >= threshold) & (h > 0)
    return stays, h.sum(axis=1), np.where(stays, h, 0.0).sum(axis=1)


def _ratio(before: Float, after: Float) -> Float:
    # A row of zeros has nothing to scale.
    return np.where(after > 0, before / np.where(after > 0, after, 1.0), 0.0)
