"""The most confident mistakes: what the model saw, what it said, what it was."""

from __future__ import annotations

import math

import numpy as np

from uncertain import families
from uncertain.evaluation.formatting import number
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report.html import clean, element, name, text
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.report.png import as_pixels, data_uri

MOST = 12
_LONGEST_TEXT = 240


def mistake_tiles(material: Material, predictions: Predictions, *, most: int = MOST) -> str:
    """Return a list of the most confident mistakes of one source; empty where there are none."""
    if predictions.is_classification:
        tiles = _class_tiles(material, predictions, most)
    else:
        tiles = _value_tiles(predictions, most)
    return element("ul", "".join(tiles), {"class": "tiles"}) if tiles else ""


def confident_mistakes(
    predictions: Predictions, probabilities: np.ndarray, *, most: int = MOST
) -> np.ndarray:
    """Return the rows of wrong predictions, the most confident first.

    Equal confidences are in the order of their row ids, so that the choice does not depend on the
    order of rows.

    Args:
        predictions: Labelled class predictions.
        probabilities: Their class probabilities, (N, C).
        most: How many at most.
    """
    best = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(best != predictions.target)
    confidence = probabilities[wrong, best[wrong]]
    chosen: np.ndarray = wrong[_worst_first(predictions, wrong, confidence)]
    return chosen[:most]


def _worst_first(predictions: Predictions, rows: np.ndarray, badness: np.ndarray) -> np.ndarray:
    ids = rows if predictions.row_ids is None else predictions.row_ids[rows]
    return np.lexsort([ids, -badness])


def _class_tiles(material: Material, predictions: Predictions, most: int) -> list[str]:
    assert predictions.target is not None
    p = material.probabilities(predictions)
    tiles = []
    for row in confident_mistakes(predictions, p, most=most).tolist():
        said, truth = int(p[row].argmax()), int(predictions.target[row])
        words = (
            f"<b>{name(_class_name(predictions, said))}</b> with {_percent(float(p[row, said]))}, "
            f"was <b>{name(_class_name(predictions, truth))}</b> "
            f"({_percent(float(p[row, truth]))})"
        )
        alternative = (
            f"said {_class_name(predictions, said)}, was {_class_name(predictions, truth)}"
        )
        tiles.append(_tile(predictions, row, words, alternative))
    return tiles


def _value_tiles(predictions: Predictions, most: int) -> list[str]:
    """Rows whose target lies most standard deviations from the mean."""
    if predictions.distribution.event_shape:
        return []
    try:
        mean = families.mean(predictions.distribution)
        sd = np.sqrt(families.variance(predictions.distribution))
    except TypeError:
        return []
    target = np.asarray(predictions.target, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.nan_to_num(np.abs(target - mean) / sd, nan=0.0)
    order = _worst_first(predictions, np.arange(len(target)), distance)[:most]
    tiles = []
    for row in order.tolist():
        words = (
            f"<b>{text(number(float(target[row])))}</b>, expected "
            f"{text(number(float(mean[row])))} ± {text(number(float(sd[row])))}: "
            f"{distance[row]:.1f} standard deviations off"
        )
        tiles.append(_tile(predictions, row, words, ""))
    return tiles


def _tile(predictions: Predictions, row: int, words: str, alternative: str) -> str:
    identity = row if predictions.row_ids is None else predictions.row_ids[row].item()
    label = "row" if predictions.row_ids is None else "id"
    parts = [_seen(predictions, identity, alternative)]
    parts.append(element("span", words))
    parts.append(element("small", f"{label} {name(identity)}", {"class": "soft"}))
    return element("li", "".join(parts), {"class": "tile", "data-row-id": clean(identity)})


def _seen(predictions: Predictions, identity: object, alternative: str) -> str:
    """Return what the model saw, found by row id and never by position."""
    if (
        predictions.inputs is None
        or predictions.row_ids is None
        or identity not in predictions.inputs
    ):
        return ""
    seen = predictions.inputs[identity]
    if isinstance(seen, str):
        return element("q", text(seen, longest=_LONGEST_TEXT))
    pixels = as_pixels(seen)
    if pixels is None:
        return ""
    height, width = pixels.shape[:2]
    words = clean(f"Input {identity}: {alternative}" if alternative else f"Input {identity}")
    return element(
        "img", "", {"src": data_uri(pixels), "alt": words, "width": width, "height": height}
    )


def _class_name(predictions: Predictions, index: int) -> str:
    return str(index) if predictions.class_names is None else predictions.class_names[index]


def _percent(p: float) -> str:
    """Return a probability as a percentage that never rounds up to certainty or down to nothing.

    Example:
        >>> [_percent(p).replace(chr(0xA0), " ") for p in (0.99996, 1.0, 0.25, 0.0007, 1e-9)]
        ['99.996 %', '100 %', '25.0 %', '0.07 %', '< 0.0001 %']
    """
    if p in (0.0, 1.0):
        shown = f"{100 * p:.0f}"
    elif p < 1e-6:
        shown = "< 0.0001"
    elif p < 0.1:
        shown = (
            f"{float(f'{100 * p:.1g}'):.6f}".rstrip("0").rstrip(".")
            if p < 0.01
            else f"{100 * p:.1f}"
        )
    else:
        # Near one, as many decimals as tell it from one.
        digits = max(1, min(9, -math.floor(math.log10(100 * (1 - p))))) if p > 0.999 else 1
        shown = f"{100 * p:.{digits}f}"
    return f"{shown}\N{NO-BREAK SPACE}%"
