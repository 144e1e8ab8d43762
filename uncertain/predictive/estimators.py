"""Estimators of scikit-learn (and what follows its conventions) as predictors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, Poisson

from uncertain.checks import check_range, check_shape, require
from uncertain.predictive.composition import exact_categorical
from uncertain.predictive.integrated import GaussianMarginal
from uncertain.predictive.mixtures import mixture
from uncertain.predictive.sampled import Empirical, Quantiles

ESTIMATED = "scikit-learn's estimators predict no empty batch"
"""What an error adds."""


@dataclass(frozen=True, eq=False)
class EstimatorPredictor:
    """A predictor around a fitted estimator, made by `from_sklearn`.

    Attributes:
        estimator: The fitted estimator, or quantile level to fitted estimator.
        scale: Standard deviation of the noise that the estimator does not know, in y's unit.
        classes: Labels in the order of the classes; ``None`` for regressors.
    """

    estimator: Any
    scale: float | None = None
    classes: tuple[Any, ...] | None = None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, for `save_predictions` and the report."""
        return None if self.classes is None else tuple(map(str, self.classes))

    def encode(self, labels: Sequence[Any] | NDArray[Any] | Tensor) -> Int[Tensor, " N"]:
        """Turn the estimator's labels into class indices.

        Raises:
            ValueError: Where a label is not one of its classes.
        """
        if self.classes is None:
            raise ValueError("`encode` should be asked of a classifier, got a regressor.")
        index = {label: i for i, label in enumerate(self.classes)}
        given = np.asarray(labels).tolist()
        unknown = [label for label in given if label not in index]
        if unknown:
            raise ValueError(
                f"`labels` should be among the classes {list(self.classes)}, got {unknown[0]!r} "
                f"({len(unknown)} of {len(given)} rows)."
            )
        return torch.tensor([index[label] for label in given], dtype=torch.int64)

    def __call__(self, x: Any) -> Distribution:
        """Predict: (N, ...) rows to a distribution of batch shape (N,).

        Raises:
            ValueError: Where there are no rows, which scikit-learn refuses.
        """
        if not row_count(x):
            raise ValueError(f"`x` should have at least one row, got none: {ESTIMATED}.")
        dtype = x.dtype if isinstance(x, Tensor) and x.is_floating_point() else torch.float64
        if dtype.itemsize < 4:
            dtype = torch.float32
        if isinstance(self.estimator, Mapping):
            return _quantiles(self.estimator, x, dtype)
        if self.classes is not None:
            return _classes(self.estimator, self.classes, x, dtype)
        return _values(self.estimator, self.scale, x, dtype)


def from_sklearn(
    estimator: Any, *, scale: float | None = None, classes: Sequence[Any] | None = None
) -> EstimatorPredictor:
    """Make a predictor of a fitted scikit-learn estimator.

    - Classifiers: `Categorical` with the very probabilities of ``predict_proba``; class i is
      ``classes[i]``, and a probability of exactly 0 scores ``-inf``.
    - Forests and bagged regressors: with ``scale`` a mixture of one `Normal` a tree, which can be
      decomposed; without it the `Empirical` of the trees' predictions, which holds no noise beyond
      what single trees have fitted.
    - Regressors that know their spread (``predict(..., return_std=True)``): `Normal`; for Bayesian
      ridge and ARD a `GaussianMarginal`.
    - ``PoissonRegressor``: `Poisson`.
    - A mapping of level to regressor, each fitted to that quantile: `Quantiles`, sorted where the
      regressors cross.
    - Any other regressor: ``Normal(predict(x), scale)``.

    Rows may be tensors (flattened to two dimensions), arrays, Arrow tables or data frames; columns
    are matched by name where the estimator knows names and the rows have them.

    Args:
        estimator: A fitted estimator, pipeline or search, or a mapping of quantile level in (0, 1)
            to fitted regressors.
        scale: Standard deviation of the noise, in y's unit, greater than 0: such as the root mean
            square of residuals on rows that were *not* fitted.
        classes: All labels in the order wanted, where that is not ``estimator.classes_``; labels
            that the estimator never saw get probability 0.

    Returns:
        A callable ``x -> Distribution`` with `class_names` and `encode`.

    Raises:
        TypeError: For an estimator that predicts neither probabilities nor numbers.
        ValueError: For a regressor that needs ``scale``, and labels missing in ``classes``.

    Example:
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> tree = DecisionTreeClassifier().fit([[0.0], [1.0]], ["cat", "dog"])
        >>> predictor = from_sklearn(tree)
        >>> predictor(torch.tensor([[1.0]])).logits, predictor.class_names
        (tensor([[-inf, 0.]]), ('cat', 'dog'))
    """
    require("sklearn", "benchmark")
    if scale is not None:
        check_range("scale", scale, 0, open_low=True)
    if isinstance(estimator, Mapping):
        levels = np.array(sorted(estimator), dtype=np.float64)
        check_range("estimator levels", levels, 0, 1, open_low=True, open_high=True)
        return EstimatorPredictor(dict(estimator))
    if hasattr(estimator, "classes_") or _is_classifier(estimator):
        return EstimatorPredictor(estimator, None, _check_classes(estimator, classes))
    if not hasattr(estimator, "predict"):
        raise TypeError(
            f"`estimator` should have `predict` or `predict_proba`, got {type(estimator).__name__}."
        )
    if scale is None and not _knows_spread(estimator):
        raise ValueError(
            f"`scale` should be given for {type(estimator).__name__}, which predicts only a mean: "
            "pass the root mean square of its residuals on rows that it was not fitted to."
        )
    return EstimatorPredictor(estimator, scale)


def _is_classifier(estimator: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(estimator))


def _check_classes(estimator: Any, classes: Sequence[Any] | None) -> tuple[Any, ...]:
    name = type(estimator).__name__
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"`estimator` should have `predict_proba`, got {name}, which only decides: wrap it in "
            "`sklearn.calibration.CalibratedClassifierCV`."
        )
    known = estimator.classes_
    if isinstance(known, list):
        raise TypeError(
            f"`estimator` should predict one target, got {name} for {len(known)}: wrap one "
            "classifier for each."
        )
    own = tuple(known.tolist())
    wanted = own if classes is None else tuple(np.asarray(classes).tolist())
    missing = [label for label in own if label not in wanted]
    if missing or len(set(wanted)) != len(wanted):
        raise ValueError(
            f"`classes` should name every class of the estimator once, got {list(wanted)} for "
            f"{list(own)}."
        )
    return wanted


def _knows_spread(estimator: Any) -> bool:
    return _is_forest(estimator) or _returns_std(estimator) or _is_poisson(estimator)


def _is_forest(estimator: Any) -> bool:
    # Only where trees are members of an average; boosting keeps its stages under the same name.
    from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor

    return isinstance(estimator, (BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor))


def _returns_std(estimator: Any) -> bool:
    import inspect

    return "return_std" in inspect.signature(estimator.predict).parameters


def _is_poisson(estimator: Any) -> bool:
    from sklearn.linear_model import PoissonRegressor

    return isinstance(estimator, PoissonRegressor)


def _classes(estimator: Any, classes: tuple[Any, ...], x: Any, dtype: torch.dtype) -> Distribution:
    probs = np.asarray(estimator.predict_proba(_features(estimator, x)))
    own = estimator.classes_.tolist()
    check_shape("predict_proba(x)", probs, (row_count(x), len(own)))
    if tuple(own) != classes:
        full = np.zeros((len(probs), len(classes)), probs.dtype)
        full[:, [classes.index(label) for label in own]] = probs
        probs = full
    return exact_categorical(probs=torch.from_numpy(np.array(probs)).to(dtype))


def _values(estimator: Any, scale: float | None, x: Any, dtype: torch.dtype) -> Distribution:
    features = _features(estimator, x)

    def tensor(array: Any) -> Tensor:
        return torch.from_numpy(np.array(array, dtype=np.float64)).to(dtype)

    if _is_forest(estimator):
        trees = tensor(_tree_predictions(estimator, features))
        if trees.ndim == 2:
            return Empirical(trees) if scale is None else mixture(Normal(trees, scale))
        if scale is None:
            return Independent(Empirical(trees.transpose(1, 2)), 1)
        return mixture(Independent(Normal(trees, scale), 1))
    if scale is None and _returns_std(estimator):
        mean, std = (tensor(part) for part in estimator.predict(features, return_std=True))
        if hasattr(estimator, "alpha_") and np.ndim(estimator.alpha_) == 0:
            noise = 1 / float(estimator.alpha_)  # Bayesian ridge and ARD: precision of the noise.
            return GaussianMarginal(mean, (std**2 - noise).clamp(min=0).sqrt(), noise**0.5)
        return _outputs(Normal(mean, std))
    mean = tensor(estimator.predict(features))
    return Poisson(mean) if scale is None else _outputs(Normal(mean, scale))


def _outputs(dist: Normal) -> Distribution:
    return Independent(dist, 1) if len(dist.batch_shape) > 1 else dist


def _tree_predictions(estimator: Any, features: Any) -> NDArray[np.float64]:
    """(N, S) predictions of every member, (N, S, T) for T outputs."""
    columns = getattr(estimator, "estimators_features_", None)
    values = np.asarray(features)  # Members were fitted without column names.
    members = [
        member.predict(values if columns is None else values[:, columns[i]])
        for i, member in enumerate(estimator.estimators_)
    ]
    return np.stack(members, axis=1)


def _quantiles(estimators: Mapping[float, Any], x: Any, dtype: torch.dtype) -> Distribution:
    levels = sorted(estimators)
    columns = [estimators[q].predict(_features(estimators[q], x)) for q in levels]
    # Rearranging crossed quantiles never increases the pinball loss (Chernozhukov et al., 2010).
    values = np.sort(np.stack(columns, axis=1), axis=1)
    return Quantiles(torch.tensor(levels, dtype=dtype), torch.from_numpy(values).to(dtype))


def row_count(x: Any) -> int:
    """Number of rows of a tensor, array, Arrow table or data frame."""
    return int(x.num_rows) if hasattr(x, "num_rows") else len(x)


def _features(estimator: Any, x: Any) -> Any:
    """Rows as the estimator was fitted: a two-dimensional array, or a frame where it knows names."""
    names = getattr(estimator, "feature_names_in_", None)
    if hasattr(x, "num_rows") and hasattr(x, "to_pandas"):
        if names is not None:
            return x.select(list(names)).to_pandas()
        return np.column_stack([x.column(i).to_numpy() for i in range(x.num_columns)])
    if hasattr(x, "iloc"):
        return x if names is not None else x.to_numpy()
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    array = array.reshape(len(array), -1)
    if names is None:
        return array
    pandas = require("pandas", "benchmark")
    return pandas.DataFrame(array, columns=list(names))
