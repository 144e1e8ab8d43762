"""Forests and boosted trees: the baselines to beat on tables.

scikit-learn is imported when one is fitted; it comes with the ``benchmark`` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Normal

from uncertain import checks
from uncertain.predictive import from_sklearn
from uncertain.predictive.estimators import ESTIMATED

Settings = Mapping[str, float | int]
"""Arguments of the scikit-learn estimator by name; it refuses names it does not know."""

_DEFAULTS: Settings = MappingProxyType({})
_FOLDS = 5
_ROWS = 5_000
"""Rows on which the forest's noise is estimated."""


def random_forest(
    x: Any,
    y: Any,
    *,
    seed: int = 0,
    trees: int = 200,
    weights: Any = None,
    classes: int | None = None,
    settings: Settings = _DEFAULTS,
) -> Callable[[Any], Distribution]:
    """Fit a random forest: a classifier where y holds whole numbers, else a regressor.

    A regression forest predicts a mixture of one normal a tree, with a common scale that maximises the
    likelihood of the rows that each tree did not see.

    Args:
        x: (N, ...) inputs, flattened to features.
        y: (N,) class indices, or floating targets.
        seed: Of the bootstrap samples and splits.
        trees: How many trees.
        weights: (N,) row weights, at least 0; ``None``: equal.
        classes: How many classes there are; by default the largest label plus one.
        settings: More arguments of scikit-learn's forest, such as ``min_samples_leaf``.

    Returns:
        A predictor: (N, ...) -> ``Categorical`` or a mixture of ``Normal`` over trees.

    Raises:
        ValueError: For wrong lengths, NaN, or no rows.
        TypeError: For settings that the estimator does not know.
        ModuleNotFoundError: Where scikit-learn is not installed.

    References:
        L. Breiman, "Random forests", 2001.

    Example:
        >>> x = torch.arange(20.0)[:, None]
        >>> predictor = random_forest(x, (x[:, 0] > 9).long(), trees=10)
        >>> predictor(torch.tensor([[0.0], [19.0]])).probs.argmax(-1)
        tensor([0, 1])
    """
    ensemble = checks.require("sklearn.ensemble", "benchmark")
    rows, target, weight = _training_rows(x, y, weights)
    common = {"n_estimators": trees, "random_state": seed, **settings}
    if target.dtype.kind in "iu":
        model = ensemble.RandomForestClassifier(**common).fit(rows, target, sample_weight=weight)
        return from_sklearn(model, classes=_classes(target, classes))
    model = ensemble.RandomForestRegressor(**common).fit(rows, target, sample_weight=weight)
    return from_sklearn(model, scale=_forest_noise(model, rows, target, weight))


def gradient_boosted_trees(
    x: Any,
    y: Any,
    *,
    seed: int = 0,
    weights: Any = None,
    classes: int | None = None,
    settings: Settings = _DEFAULTS,
) -> Callable[[Any], Distribution]:
    """Fit histogram gradient boosting: a classifier where y holds whole numbers, else a regressor.

    The regressor predicts a ``Normal``: one model for the mean, one for the variance (a gamma loss on
    squared residuals of rows left out of the fit), and a common factor that calibrates the scale on
    rows that neither saw.

    Args:
        x: (N, ...) inputs, flattened to features.
        y: (N,) class indices, or floating targets.
        seed: Of the folds and of early stopping.
        weights: (N,) row weights, at least 0; ``None``: equal.
        classes: How many classes there are; by default the largest label plus one.
        settings: More arguments of scikit-learn's histogram gradient boosting.

    Returns:
        A predictor: (N, ...) -> ``Categorical`` or ``Normal``.

    Raises:
        ValueError: For wrong lengths, NaN, or no rows.
        TypeError: For settings that the estimator does not know.
        ModuleNotFoundError: Where scikit-learn is not installed.

    References:
        G. Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", 2017.

    Example:
        >>> x = torch.linspace(0, 1, 100)[:, None]
        >>> predictor = gradient_boosted_trees(x, x[:, 0] * 3)
        >>> bool((predictor(x).mean - 3 * x[:, 0]).abs().mean() < 0.1)
        True
    """
    ensemble = checks.require("sklearn.ensemble", "benchmark")
    rows, target, weight = _training_rows(x, y, weights)
    common = {"random_state": seed, **settings}
    if target.dtype.kind in "iu":
        model = ensemble.HistGradientBoostingClassifier(**common)
        model.fit(rows, target, sample_weight=weight)
        return from_sklearn(model, classes=_classes(target, classes))
    checks.check_range(
        "rows", len(target), 2 * _FOLDS, hint="the variance is learnt on left-out rows"
    )
    mean = ensemble.HistGradientBoostingRegressor(**common)
    square = (target - _left_out(mean, rows, target, weight, seed)) ** 2
    floor = max(1e-6 * float(target.var()), float(np.finfo(np.float64).tiny))
    variance = ensemble.HistGradientBoostingRegressor(loss="gamma", **common)
    expected = _left_out(variance, rows, np.maximum(square, floor), weight, seed + 1)
    factor = float(np.sqrt(np.average(square / np.maximum(expected, floor), weights=weight)))
    mean.fit(rows, target, sample_weight=weight)
    variance.fit(rows, np.maximum(square, floor), sample_weight=weight)
    return MeanAndVariance(mean, variance, max(factor, 1e-3), floor)


class MeanAndVariance:
    """Two fitted regressors as one predictor: the mean of y, and its variance.

    Args:
        mean: Predicts E y.
        variance: Predicts Var y up to ``factor`` squared.
        factor: Multiplies the scale.
        floor: The smallest variance, in y's units squared.
    """

    def __init__(self, mean: Any, variance: Any, factor: float, floor: float) -> None:
        self.mean, self.variance = mean, variance
        self.factor, self.floor = factor, floor

    def __call__(self, x: Any) -> Normal:
        """Return a normal distribution for each row; a floating x sets dtype and device."""
        checks.check_not_empty("x", x, hint=ESTIMATED)
        rows = _features(x)
        loc = self.mean.predict(rows)
        scale = self.factor * np.sqrt(np.maximum(self.variance.predict(rows), self.floor))
        dtype, device = torch.get_default_dtype(), None
        if isinstance(x, Tensor):
            device = x.device
            dtype = torch.promote_types(x.dtype, torch.float32)
        return Normal(
            torch.as_tensor(loc, dtype=dtype, device=device),
            torch.as_tensor(scale, dtype=dtype, device=device),
        )


def _features(x: Any) -> NDArray[Any]:
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _training_rows(
    x: Any, y: Any, weights: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None]:
    if not isinstance(x, (Tensor, np.ndarray)):
        x = x[:]  # What keeps images as bytes gives them out as numbers.
    rows = _features(x)
    target = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    weight = None if weights is None else np.asarray(weights, dtype=np.float64)
    checks.check_not_empty("x", rows)
    checks.check_shape("y", target, (len(rows),), hint="one target a row")
    checks.check_finite("x", rows)
    checks.check_finite("y", target)
    if weight is not None:
        checks.check_shape("weights", weight, (len(rows),), hint="one weight a row")
        checks.check_finite("weights", weight)
        checks.check_range("weights", weight, 0)
    if target.dtype.kind == "f":
        target = target.astype(np.float64)
    return rows, target, weight


def _classes(target: NDArray[Any], classes: int | None) -> list[int]:
    count = int(target.max()) + 1 if classes is None else classes
    checks.check_labels("y", target, count)
    return list(range(count))


def _left_out(
    model: Any,
    rows: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[np.float64] | None,
    seed: int,
) -> NDArray[np.float64]:
    """Return predictions for every row by a copy of ``model`` that was not fitted to it."""
    from sklearn.base import clone

    fold = np.random.default_rng(seed).permutation(len(target)) % _FOLDS
    out = np.empty(len(target))
    for number in range(_FOLDS):
        inside, outside = fold != number, fold == number
        part = None if weight is None else weight[inside]
        fitted = clone(model).fit(rows[inside], target[inside], sample_weight=part)
        out[outside] = fitted.predict(rows[outside])
    return out


def _forest_noise(
    model: Any, rows: NDArray[Any], target: NDArray[Any], weight: NDArray[np.float64] | None
) -> float:
    """Return the scale under which the trees' mixture best predicts rows they did not see."""
    some = np.random.default_rng(0).permutation(len(target))[:_ROWS]
    unseen = np.ones((len(model.estimators_), len(target)), dtype=bool)
    for tree, drawn in enumerate(model.estimators_samples_):
        unseen[tree, drawn] = False
    unseen = unseen[:, some]
    judged = unseen.any(axis=0)
    spread = float(target.std())
    if not judged.any() or spread == 0:
        return max(spread, 1e-6)
    error = np.stack([tree.predict(rows[some]) for tree in model.estimators_]) - target[some]
    error, unseen = error[:, judged], unseen[:, judged]
    part = None if weight is None else weight[some][judged]
    scales = spread * np.geomspace(1e-3, 2.0, 40)
    scores = [_mixture_score(error, unseen, scale, part) for scale in scales]
    return float(scales[int(np.argmax(scores))])


def _mixture_score(
    error: NDArray[Any], unseen: NDArray[Any], scale: float, weight: NDArray[np.float64] | None
) -> float:
    """Return the mean log density of rows under the mixture of the trees that did not see them."""
    exponent = np.where(unseen, -0.5 * (error / scale) ** 2, -np.inf)
    top = exponent.max(axis=0)
    row = top + np.log(np.exp(exponent - top).sum(axis=0) / unseen.sum(axis=0)) - np.log(scale)
    return float(np.average(row, weights=weight))
