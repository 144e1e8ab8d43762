"""From arrays with roles to predictions: shapes, ranges, sums and labels are checked here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from uncertain import checks
from uncertain.evaluation.predictions import Predictions
from uncertain.families import ArrayDistribution

# Where the classes' names may be, the first found counts.
_NAMING = ("class_names", "probabilities.columns", "logits.columns", "log_probabilities.columns")


def build_predictions(
    roles: Mapping[str, np.ndarray],
    *,
    source: str,
    split: str,
    renormalise: bool = False,
    rows_first: bool = False,
) -> Predictions:
    """Return the predictions that the roles spell out, validated.

    ``rows_first`` says that the first axis is known to be the rows, as in a table; otherwise draws or
    members may come first, and the number of labels decides.

    Raises:
        ValueError: Shapes, ranges, sums or labels are not what the roles ask for.
    """
    labels = roles.get("labels")
    if labels is not None:
        labels = one_per_row("labels", labels)
    class_names = _class_names(roles)
    # Without labels to count, the first axis is taken to be the rows.
    counted = None if rows_first else labels
    distribution = _distribution(roles, counted, renormalise=renormalise)
    categorical = distribution.family in ("categorical", "bernoulli")
    if categorical and labels is not None:
        by_name = _numbers_are_names(roles)
        labels, class_names = _encode(labels, class_names, _classes(distribution), by_name=by_name)
    elif labels is not None:
        if labels.dtype.kind not in "fiub":
            raise ValueError(f"`labels` should be numbers to regress on, got dtype {labels.dtype}.")
        checks.check_finite("labels", labels)
    return Predictions(
        distribution=distribution,
        target=labels,
        row_ids=_optional(roles, "row_ids"),
        groups=_optional(roles, "groups"),
        weights=_optional(roles, "weights"),
        class_names=class_names if categorical else None,
        source=source,
        split=split,
    )


def _distribution(
    roles: Mapping[str, np.ndarray], labels: np.ndarray | None, *, renormalise: bool
) -> ArrayDistribution:
    if "probabilities" in roles:
        return _from_probabilities(_floats(roles, "probabilities"), labels, renormalise)
    if "logits" in roles or "log_probabilities" in roles:
        role = "logits" if "logits" in roles else "log_probabilities"
        return _from_logits(_floats(roles, role, finite=False), role, labels)
    if "samples" in roles:
        return _from_samples(_floats(roles, "samples"), labels)
    if "quantiles" in roles:
        return _from_quantiles(roles)
    return _from_moments(roles)


def _from_probabilities(
    p: np.ndarray, labels: np.ndarray | None, renormalise: bool
) -> ArrayDistribution:
    if p.ndim == 1 or (p.ndim == 2 and p.shape[1] == 1):
        p = p.reshape(len(p))
        checks.check_range(
            "probabilities",
            p,
            0,
            1,
            hint="one column is the probability of class 1; if these are logits, pass --logits NAME",
        )
        return ArrayDistribution("bernoulli", {"probs": p})
    p = _rows_first("probabilities", p, labels)
    # Renormalising is for float noise and rounded files, never a way to let logits through.
    if renormalise:
        checks.check_range("probabilities", p, 0, hint="if these are logits, pass --logits NAME")
        total = p.sum(axis=-1, keepdims=True, dtype=np.float64)
        checks.check_range("sums of probabilities", total, 0, open_low=True)
        p = p / total
    checks.check_probabilities("probabilities", p.reshape(-1, p.shape[-1]))
    if p.ndim == 2:
        return ArrayDistribution("categorical", {"probs": p})
    return ArrayDistribution("categorical", {"probs": p}, _equal_weights(p))


def _from_logits(z: np.ndarray, role: str, labels: np.ndarray | None) -> ArrayDistribution:
    z = z.astype(np.float64)
    if z.ndim == 1 or (z.ndim == 2 and z.shape[1] == 1):
        checks.check_finite(role, z)
        return ArrayDistribution("bernoulli", {"logits": z.reshape(len(z))})
    z = _rows_first(role, z, labels)
    if role == "logits" and _look_like_probabilities(z):
        raise ValueError(
            "`logits` look like probabilities, as every row lies in [0, 1] and sums to 1: pass them "
            "with --probabilities NAME."
        )
    top = z.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise ValueError(
            f"`{role}` should have a finite largest entry in every row, got {top[~np.isfinite(top)][0]}"
            f" as the largest of {int((~np.isfinite(top)).sum())} rows."
        )
    log_total = top + np.log(np.exp(z - top).sum(axis=-1, keepdims=True))
    if role == "log_probabilities":
        off = float(np.abs(np.expm1(log_total)).max(initial=0))
        if off > checks.PROBABILITY_TOLERANCE:
            raise ValueError(
                f"`log_probabilities` should have rows whose exponentials sum to 1, got one off by "
                f"{off:.3g}: pass unnormalised values as --logits."
            )
    normalised = z - log_total
    weights = None if z.ndim == 2 else _equal_weights(z)
    return ArrayDistribution("categorical", {"logits": normalised}, weights)


def _look_like_probabilities(z: np.ndarray) -> bool:
    if z.min() < 0 or z.max() > 1:
        return False
    return bool(np.all(np.abs(z.sum(axis=-1) - 1) <= checks.PROBABILITY_TOLERANCE))


def _from_samples(samples: np.ndarray, labels: np.ndarray | None) -> ArrayDistribution:
    if samples.ndim != 2:
        raise ValueError(
            f"`samples` should have shape (N, S), got {samples.shape}: one row a prediction."
        )
    if labels is not None and samples.shape[1] == len(labels):
        _refuse_square("samples", "draws", samples)
        if len(samples) != len(labels):
            samples = samples.T
    return ArrayDistribution("empirical", {"samples": samples.astype(np.float64)})


def _from_quantiles(roles: Mapping[str, np.ndarray]) -> ArrayDistribution:
    values = _floats(roles, "quantiles").astype(np.float64)
    if values.ndim != 2:
        raise ValueError(f"`quantiles` should have shape (N, Q), got {values.shape}.")
    levels = roles.get("levels")
    if levels is None:
        names = roles.get("quantiles.columns")
        if names is None:
            raise ValueError("the levels of `quantiles` are not there: name them with --levels.")
        levels = np.array([_level(name) for name in names])
    levels = np.asarray(levels, dtype=np.float64)
    levels = levels[0] if levels.ndim == 2 and np.all(levels == levels[0]) else levels
    checks.check_shape("levels", levels, (values.shape[1],), hint="one a column of `quantiles`")
    order = np.argsort(levels)
    return ArrayDistribution("quantiles", {"levels": levels[order], "values": values[:, order]})


def _level(name: str) -> float:
    digits = re.sub(r"[^0-9.eE+-]", "", name.replace("_", "."))
    try:
        level = float(digits)
    except ValueError:
        raise ValueError(
            f"`{name}` is not a quantile's level: call the column q_0.05, or use --levels."
        ) from None
    return level if level < 1 else level / 100


def _from_moments(roles: Mapping[str, np.ndarray]) -> ArrayDistribution:
    loc = one_per_row("mean", _floats(roles, "mean"))
    if "scale" in roles and "variance" in roles:
        raise ValueError(
            "both a scale and a variance are there: name one with --scale or --variance."
        )
    if "scale" in roles:
        scale = _spread(roles, "scale", len(loc)).astype(np.float64)
    elif "variance" in roles:
        variance = _spread(roles, "variance", len(loc))
        checks.check_range("variance", variance, 0, open_low=True)
        scale = np.sqrt(variance.astype(np.float64))
    else:
        raise ValueError(
            "a mean needs a spread: name a standard deviation with --scale or --variance."
        )
    checks.check_range("scale", scale, 0, open_low=True)
    checks.check_same_length(mean=loc, scale=scale)
    return ArrayDistribution("normal", {"loc": loc.astype(np.float64), "scale": scale})


def _spread(roles: Mapping[str, np.ndarray], role: str, rows: int) -> np.ndarray:
    """Return one spread a row; a single number is every row's."""
    value = np.asarray(roles[role])
    if value.ndim == 0:
        value = np.full(rows, value)
    return one_per_row(role, _floats({role: value}, role))


def _refuse_square(name: str, what: str, array: np.ndarray) -> None:
    """Raise where rows and draws are as many as each other, so that their order can't be told."""
    rows, others = array.shape[:2]
    if rows == others > 1:
        raise ValueError(
            f"`{name}` has as many rows as {what} (shape {array.shape}), so which come first can't be "
            f"told: leave out one of the {what}, or save them as a list column of a Parquet file, "
            "where rows are rows."
        )


def _rows_first(name: str, p: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Return (N, C), or (N, S, C) for members, from (S, N, C) too where the labels decide."""
    if p.ndim not in (2, 3):
        raise ValueError(f"`{name}` should have shape (N, C) or (N, S, C), got {p.shape}.")
    if p.ndim == 3 and labels is not None and len(labels) == p.shape[1]:
        _refuse_square(name, "members", p)
        return np.swapaxes(p, 0, 1) if len(p) != len(labels) else p
    return p


def _equal_weights(members: np.ndarray) -> np.ndarray:
    n, s = members.shape[:2]
    return np.full((n, s), 1 / s)


def _floats(roles: Mapping[str, np.ndarray], role: str, *, finite: bool = True) -> np.ndarray:
    array = np.asarray(roles[role])
    if array.dtype.kind not in "fiub":
        raise ValueError(f"`{role}` should be numbers, got dtype {array.dtype}.")
    if array.ndim == 0:
        raise ValueError(
            f"`{role}` should have one entry a row, got a single number: save an array."
        )
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    checks.check_not_empty(role, array)
    if finite:
        checks.check_finite(role, array)
    elif np.isnan(array).any():
        checks.check_finite(role, np.where(np.isinf(array), 0, array))
    return array


def one_per_row(role: str, array: np.ndarray) -> np.ndarray:
    """Return an array of one value a row, (N,), from (N, 1) too; raise for other shapes."""
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        hint = "are they one-hot? pass class indices" if role == "labels" else "one a row"
        checks.check_shape(role, array, ("N",), hint=hint)
    checks.check_shape(role, array, ("N",))
    return array


def _optional(roles: Mapping[str, np.ndarray], role: str) -> np.ndarray | None:
    return one_per_row(role, roles[role]) if role in roles else None


def _classes(distribution: ArrayDistribution) -> int:
    if distribution.family == "bernoulli":
        return 2
    return int(next(iter(distribution.parameters.values())).shape[-1])


def _class_names(roles: Mapping[str, Any]) -> tuple[str, ...] | None:
    for role in _NAMING:
        if role in roles:
            names = tuple(str(name) for name in np.asarray(roles[role]).ravel())
            # `prob_0, prob_1, ...` are positions, not names.
            return None if names == tuple(map(str, range(len(names)))) else names
    return None


def _numbers_are_names(roles: Mapping[str, Any]) -> bool:
    """Whether the classes are called by numbers that aren't their positions: `p_1, p_2, p_3`."""
    names = _class_names(roles)
    if names is None or "class_names" in roles:
        return False
    return all(re.fullmatch(r"-?[0-9]+", name) for name in names)


def _encode(
    labels: np.ndarray, class_names: tuple[str, ...] | None, classes: int, *, by_name: bool
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return class indices: whole numbers as they are, strings by the class names.

    ``by_name``: whole numbers are looked up among the class names too.
    """
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        missing = np.isnan(labels)
        raise ValueError(
            f"`labels` should be class indices, got NaN at row {int(np.argmax(missing))} "
            f"({int(missing.sum())} of {len(labels)} rows): drop rows without a label."
        )
    if by_name and labels.dtype.kind in "fiu" and np.all(labels == np.floor(labels)):
        labels = np.array([f"{label:.0f}" for label in labels.tolist()])
    if labels.dtype.kind not in "USO":
        checks.check_labels("labels", labels, classes)
        return labels.astype(np.int64), class_names
    labels = labels.astype(str) if labels.dtype.kind == "S" else labels
    if class_names is None:
        raise ValueError(
            f"`labels` are strings ({str(labels[0])!r}, ...) and there are no class names to look them up "
            "in: add an array `class_names` in the order of the probabilities' columns."
        )
    index = {name: i for i, name in enumerate(class_names)}
    unknown = sorted({str(label) for label in labels} - index.keys())
    if unknown:
        raise ValueError(
            f"`labels` should be among the class names {', '.join(class_names[:10])}, got "
            f"{', '.join(map(repr, unknown[:5]))} ({len(unknown)} unknown)."
        )
    return np.array([index[str(label)] for label in labels], dtype=np.int64), class_names
