"""What each named array of a file is: probabilities, labels, samples, ...

Usual names are recognised; everything else is named by the user. Where two readings are possible the
error says which option decides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uncertain import checks

Arrays = Mapping[str, np.ndarray]

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "probabilities": ("probabilities", "probability", "probs", "prob", "proba", "y_prob", "y_proba",
                      "p", "softmax"),
    "logits": ("logits", "logit", "y_logits"),
    "log_probabilities": ("log_probabilities", "log_probs", "log_prob", "logprobs"),
    "mean": ("mean", "means", "loc", "mu", "y_mean", "pred_mean"),
    "scale": ("scale", "std", "stds", "sigma", "stddev", "standard_deviation", "y_std", "pred_std"),
    "variance": ("variance", "variances", "var", "y_var", "pred_var"),
    "samples": ("samples", "sample", "draws", "draw", "posterior_samples", "y_samples"),
    "quantiles": ("quantiles", "quantile", "q", "y_quantiles"),
    "levels": ("levels", "quantile_levels"),
    "labels": ("labels", "label", "targets", "target", "ground_truth", "y_true", "y", "gt", "truth"),
    "row_ids": ("row_id", "row_ids", "id", "ids", "uid"),
    "class_names": ("class_names", "classes"),
}  # fmt: skip
UNDECIDED_NAMES = ("predictions", "prediction", "preds", "pred", "y_pred", "outputs", "output")
"""Names that say nothing of what they hold: the values decide, or the user."""

OPTIONS = {
    "probabilities": "--probabilities",
    "logits": "--logits",
    "log_probabilities": "--log-probabilities",
    "mean": "--mean",
    "scale": "--scale",
    "variance": "--variance",
    "samples": "--samples",
    "quantiles": "--quantiles",
    "levels": "--levels",
    "labels": "--labels",
    "row_ids": "--row-ids",
    "groups": "--groups",
    "weights": "--weights",
    "class_names": "--class-names",
}
_PREDICTION_ROLES = ("probabilities", "logits", "log_probabilities", "mean", "samples", "quantiles")


def assign_roles(
    arrays: Arrays, columns: Mapping[str, str], *, labelled: bool = True
) -> dict[str, np.ndarray]:
    """Return role to array: those named in ``columns`` first, then the usual names.

    Raises:
        ValueError: A named array is absent; no predictions or labels are found; several arrays
            could have the same role, or predictions of several kinds are there.

    Example:
        >>> roles = assign_roles({"probs": np.eye(2), "gt": np.arange(2)}, {})
        >>> sorted(roles)
        ['labels', 'probabilities']
    """
    visible = [name for name in arrays if not name.endswith(".columns")]
    roles: dict[str, str] = {}
    for role, name in columns.items():
        checks.check_choice("role", role, OPTIONS)
        if name not in arrays:
            raise ValueError(
                f"{OPTIONS[role]} names `{name}`, which is not there: {_have(visible)}"
            )
        roles[role] = name
    taken = set(roles.values())
    # What the user names decides between predictions of several kinds.
    decided = any(role in columns for role in _PREDICTION_ROLES)
    for role, names in USUAL_NAMES.items():
        found = [n for n in visible if n.lower() in names and n not in taken]
        if role in roles or not found or (decided and role in _PREDICTION_ROLES):
            continue
        if len(found) > 1:
            raise ValueError(
                f"{' and '.join(f'`{n}`' for n in found)} could each be the {role}: "
                f"say which with {OPTIONS[role]}."
            )
        roles[role] = found[0]
        taken.add(found[0])
    _decide_undecided(arrays, visible, roles, named=set(columns))
    _require_complete(visible, roles, labelled=labelled)
    _require_numbers(arrays, roles)
    result = {role: arrays[name] for role, name in roles.items()}
    for role, name in roles.items():
        if f"{name}.columns" in arrays:
            result[f"{role}.columns"] = arrays[f"{name}.columns"]
    return result


def _decide_undecided(
    arrays: Arrays, visible: list[str], roles: dict[str, str], *, named: set[str]
) -> None:
    """Give an array of an undecided name (``predictions``) the role its values allow."""
    found = [n for n in visible if n.lower() in UNDECIDED_NAMES and n not in roles.values()]
    known = [role for role in _PREDICTION_ROLES if role in roles]
    if known or not found:
        return
    if len(found) > 1:
        raise ValueError(
            f"{' and '.join(f'`{n}`' for n in found)} could each be the predictions: "
            "say what they are with --probabilities, --logits, --mean or --samples."
        )
    name, array = found[0], np.asarray(arrays[found[0]])
    if array.dtype.kind not in "fiu":
        raise ValueError(f"`{name}` should be numbers, got dtype {array.dtype}.")
    if array.dtype.kind in "iu":
        raise ValueError(
            f"`{name}` holds whole numbers (hard decisions?): a judgement of confidence needs "
            "probabilities, logits, a mean and scale, samples or quantiles."
        )
    checks.check_not_empty(name, array)
    checks.check_finite(name, array)
    if "scale" in roles or "variance" in roles:
        roles["mean"] = name
    elif array.min() >= 0 and array.max() <= 1 + checks.PROBABILITY_TOLERANCE:
        # A matrix of values in [0, 1] beside real-valued targets may as well be samples.
        if _is_real(arrays, roles):
            raise ValueError(
                f"`{name}` lies in [0, 1] beside real-valued labels: say what it is with "
                "--samples, --mean or --probabilities."
            )
        roles["probabilities"] = name
    else:
        raise ValueError(
            f"`{name}` has values outside [0, 1], from {array.min():.4g} to {array.max():.4g}: say "
            f"what it is with --logits {name}, --samples {name} or --mean {name}."
        )


def _is_real(arrays: Arrays, roles: Mapping[str, str]) -> bool:
    if "labels" not in roles:
        return False
    labels = np.asarray(arrays[roles["labels"]])
    return labels.dtype.kind == "f" and bool(np.any(labels != np.floor(labels)))


def _require_complete(visible: list[str], roles: Mapping[str, str], *, labelled: bool) -> None:
    kinds = [role for role in _PREDICTION_ROLES if role in roles]
    if not kinds:
        raise ValueError(
            f"no predictions found: {_have(visible)} Say which array holds them with "
            + ", ".join(OPTIONS[role] for role in _PREDICTION_ROLES[:-1])
            + " or --quantiles."
        )
    if len(kinds) > 1:
        raise ValueError(
            "predictions of several kinds are there: "
            + ", ".join(f"`{roles[kind]}` ({kind})" for kind in kinds)
            + ": keep one in the file, or name the one to judge with "
            + " or ".join(OPTIONS[kind] for kind in kinds)
            + "."
        )
    if labelled and "labels" not in roles:
        raise ValueError(
            f"no labels found: {_have(visible)} Name them with --labels in `uncertain evaluate`, with "
            "--column labels=NAME in the other commands."
        )


def _require_numbers(arrays: Arrays, roles: Mapping[str, str]) -> None:
    for role in (*_PREDICTION_ROLES, "scale", "variance", "levels"):
        if role not in roles:
            continue
        array = np.asarray(arrays[roles[role]])
        if array.dtype.kind in "US":
            raise ValueError(
                f"`{roles[role]}` ({role}) should be numbers, got dtype {array.dtype}: write numbers "
                f"in every row, or name another array with {OPTIONS[role]}."
            )


def _have(names: list[str]) -> str:
    return f"the file has {', '.join(f'`{n}`' for n in names) or 'no arrays'}."
