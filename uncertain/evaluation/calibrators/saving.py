"""Fitted calibrators as JSON: plain numbers, to the bit, no pickled code.

Each record names its kind out of the short table below, and nothing else is ever built.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from uncertain import atomic, checks
from uncertain.evaluation.calibrators.bbq import AveragedMap
from uncertain.evaluation.calibrators.beta import BetaMap
from uncertain.evaluation.calibrators.dirichlet import Dirichlet
from uncertain.evaluation.calibrators.histogram import HistogramMap
from uncertain.evaluation.calibrators.isotonic import IsotonicMap
from uncertain.evaluation.calibrators.logits import LogitScaling
from uncertain.evaluation.calibrators.one_vs_rest import OneVersusRest
from uncertain.evaluation.calibrators.recalibration import QuantileRecalibration
from uncertain.evaluation.calibrators.scale import Scale
from uncertain.evaluation.calibrators.temperature import Temperature
from uncertain.evaluation.calibrators.venn_abers import VennAbersMap
from uncertain.predictive.provenance import FittedOn

FORMAT = "uncertain.calibrator"
FORMAT_VERSION = 1

Fitted = Temperature | LogitScaling | Dirichlet | OneVersusRest | Scale | QuantileRecalibration
_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Temperature, LogitScaling, Dirichlet, OneVersusRest, Scale, QuantileRecalibration,
        IsotonicMap, HistogramMap, AveragedMap, BetaMap, VennAbersMap,
    )
}  # fmt: skip
_WHOLE = (Temperature, LogitScaling, Dirichlet, OneVersusRest, Scale, QuantileRecalibration)


def save_calibrator(calibrator: Fitted, path: atomic.StrPath) -> None:
    """Write a fitted calibrator as JSON, whole or not at all.

    Args:
        calibrator: What a ``fit_...`` of this package returned.
        path: Where to; conventionally ``*.json``.

    Raises:
        TypeError: For anything else.
        OSError: Where it can't be written.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "temperature.json"
        >>> fitted = Temperature((1.3,), (0.1,), 10, FittedOn("temperature", "validation", 500))
        >>> save_calibrator(fitted, file)
        >>> load_calibrator(file) == fitted
        True
    """
    if not isinstance(calibrator, _WHOLE):
        raise TypeError(
            f"`calibrator` should be a fitted calibrator, got {type(calibrator).__name__}."
        )
    record = {"format": FORMAT, "version": FORMAT_VERSION, "calibrator": _record(calibrator)}
    atomic.write_text(path, json.dumps(record, indent=1) + "\n")


def load_calibrator(path: atomic.StrPath) -> Fitted:
    """Read what :func:`save_calibrator` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of another kind, or of a newer version.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "scale.json"
        >>> save_calibrator(Scale(1.5, FittedOn("scale", "validation", 500)), file)
        >>> load_calibrator(file).factor
        1.5
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("it is no calibrator")
        if int(content["version"]) > FORMAT_VERSION:
            raise ValueError(f"version {content['version']} wrote it: update the library")
        found = _value(content["calibrator"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ValueError(
            f"`{path}` should be a calibrator that `save_calibrator` wrote, got a file that can't be "
            f"read as one: {reason}."
        ) from error
    if not isinstance(found, _WHOLE):
        raise ValueError(f"`{path}` should hold a whole calibrator, got {type(found).__name__}.")
    return found


def _record(value: Any) -> Any:
    if isinstance(value, FittedOn):
        return {"kind": "FittedOn", **value.to_record()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _record(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, np.ndarray):
        return {"kind": "array", "values": value.astype(np.float64).tolist()}
    return [_record(item) for item in value] if isinstance(value, tuple | list) else value


def _value(record: Any) -> Any:
    if isinstance(record, list):
        return tuple(_value(item) for item in record)
    if not isinstance(record, dict):
        return record
    parts = dict(record)
    kind = parts.pop("kind")
    if kind == "FittedOn":
        return FittedOn.from_record(parts)
    if kind == "array":
        return np.asarray(parts["values"], dtype=np.float64)
    checks.check_choice("kind", kind, _KINDS)
    return _KINDS[kind](**{name: _value(part) for name, part in parts.items()})
