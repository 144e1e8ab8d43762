"""Argument checks: the only place that words a shape, range or name error.

Every function raises ``ValueError`` or ``TypeError`` in one sentence: the name of the argument, what
was expected, what came, and the remedy where one is known. Arrays may be NumPy arrays or torch
tensors (anything with ``shape`` that ``numpy.asarray`` understands); torch is never imported here.
"""

from __future__ import annotations

import difflib
import importlib
import operator
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

PROBABILITY_TOLERANCE = 1e-5
"""How far a row of float32 probabilities may sum from one before it is refused."""


def check_shape(name: str, value: Any, expected: Sequence[int | str], *, hint: str = "") -> None:
    """Raise ``ValueError`` unless ``value.shape`` matches ``expected``.

    Args:
        name: The argument's name, as the user wrote it.
        value: Anything with a ``shape``.
        expected: One entry a dimension: an integer must match, a string names a free size.
        hint: What to do, appended to the message.

    Raises:
        ValueError: Where the number of dimensions or a fixed size differs.

    Example:
        >>> check_shape("weights", np.ones(5), (8,), hint="one weight a member")
        Traceback (most recent call last):
        ValueError: `weights` should have shape (8,), got (5,): one weight a member.
    """
    shape = tuple(value.shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or want == got for want, got in zip(expected, shape, strict=True)
    )
    if not fits:
        want = "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"`{name}` should have shape {want}, got {shape}{_tail(hint)}")


def check_finite(name: str, value: Any, *, hint: str = "") -> None:
    """Raise ``ValueError`` where a floating array holds NaN or infinity: how many, and the first.

    Example:
        >>> check_finite("scores", np.array([0.0, np.nan]))
        Traceback (most recent call last):
        ValueError: `scores` should be finite, got 1 NaN and 0 infinite values of 2, the first at row 1.
    """
    array = _array(value)
    if array.dtype.kind not in "fc":
        return
    # One pass decides the usual case: a finite sum of finite squares can overflow, so only a
    # non-finite sum sends us to look element by element.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    nans = int(np.isnan(array).sum())
    first = np.argwhere(bad)[0]
    where = f"row {first[0]}" if array.ndim == 1 else f"index {tuple(int(i) for i in first)}"
    raise ValueError(
        f"`{name}` should be finite, got {nans} NaN and {int(bad.sum()) - nans} infinite values "
        f"of {array.size}, the first at {where}{_tail(hint)}"
    )


def check_range(
    name: str,
    value: Any,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
    hint: str = "",
) -> None:
    """Raise ``ValueError`` where a number or array leaves the interval from ``low`` to ``high``.

    What is no number at all (text, ``None``) is a ``TypeError``.

    Example:
        >>> check_range("level", 1.5, 0, 1, open_low=True, open_high=True)
        Traceback (most recent call last):
        ValueError: `level` should lie in (0, 1), got 1.5.
    """
    # A number that is inside needs no array, and most are: checks must cost next to nothing.
    if (
        isinstance(value, int | float)
        and (low < value if open_low else low <= value)
        and (value < high if open_high else value <= high)
    ):
        return
    array = _array(value)
    if value is None or array.dtype.kind in "US":
        raise TypeError(f"`{name}` should be a number, got {value!r}{_tail(hint)}")
    if array.size == 0:
        return
    below = array <= low if open_low else array < low
    above = array >= high if open_high else array > high
    bad = below | above | np.isnan(array) if array.dtype.kind == "f" else below | above
    if not np.any(bad):
        return
    interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    if array.ndim == 0:
        raise ValueError(f"`{name}` should lie in {interval}, got {array[()]}{_tail(hint)}")
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    raise ValueError(
        f"`{name}` should lie in {interval}, got {array[first]} at index "
        f"{first[0] if len(first) == 1 else first} ({int(np.sum(bad))} of {array.size} values"
        f"){_tail(hint)}"
    )


def check_count(name: str, value: Any, low: int = 1, *, hint: str = "") -> None:
    """Raise unless a value is one whole number of at least ``low``.

    Raises:
        TypeError: For what is no whole number, 2.0 among it.
        ValueError: For a smaller one.

    Example:
        >>> check_count("classes", 2.5)
        Traceback (most recent call last):
        TypeError: `classes` should be a whole number, got 2.5.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` should be a whole number, got {value!r}{_tail(hint)}") from None
    check_range(name, number, low, hint=hint)


def check_switch(name: str, value: Any, *, hint: str = "") -> None:
    """Raise ``TypeError`` unless a value is ``True`` or ``False``: a text would count as true.

    Example:
        >>> check_switch("bias", "no")
        Traceback (most recent call last):
        TypeError: `bias` should be True or False, got 'no'.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` should be True or False, got {value!r}{_tail(hint)}")


def check_same_length(**arrays: Any) -> int:
    """Return the common length of the named arrays, ignoring ``None``; raise where they differ.

    Example:
        >>> check_same_length(labels=np.zeros(3), weights=None, probabilities=np.zeros((2, 4)))
        Traceback (most recent call last):
        ValueError: `labels` and `probabilities` should have as many rows as each other, got 3 and 2.
    """
    present = [(name, len(array)) for name, array in arrays.items() if array is not None]
    for name, length in present[1:]:
        if length != present[0][1]:
            raise ValueError(
                f"`{present[0][0]}` and `{name}` should have as many rows as each other, "
                f"got {present[0][1]} and {length}."
            )
    return present[0][1] if present else 0


def check_not_empty(name: str, value: Any, *, hint: str = "") -> None:
    """Raise ``ValueError`` where ``value`` has no rows."""
    if len(value) == 0:
        raise ValueError(f"`{name}` should have at least one row, got none{_tail(hint)}")


def check_labels(name: str, labels: Any, classes: int) -> None:
    """Raise unless ``labels`` are whole numbers from 0 to ``classes - 1``.

    Example:
        >>> check_labels("labels", np.array([0, 3]), 3)
        Traceback (most recent call last):
        ValueError: `labels` should be class indices from 0 to 2, got 3 at row 1 (1 of 2 rows).
    """
    array = _array(labels)
    check_shape(name, array, ("N",))
    whole = array.dtype.kind in "iub" or (
        array.dtype.kind == "f" and np.all(array == np.floor(array))
    )
    if not whole:
        raise TypeError(
            f"`{name}` should be whole class indices, got dtype {array.dtype}: "
            "pass class names beside string labels, or encode them."
        )
    bad = (array < 0) | (array >= classes)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"`{name}` should be class indices from 0 to {classes - 1}, got {array[row]} at row "
            f"{row} ({int(bad.sum())} of {array.size} rows)."
        )


def check_indices(name: str, labels: Any) -> None:
    """Raise for a tensor of labels whose dtype is floating: 0.7 would become 0 in silence.

    Raises:
        TypeError: For such labels, 0.0 and 1.0 among them.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(
            f"`{name}` should be class indices of an integer dtype, got {labels.dtype}: {name}.long() "
            "where it holds whole numbers."
        )


def check_probabilities(
    name: str, probabilities: Any, *, tolerance: float = PROBABILITY_TOLERANCE
) -> None:
    """Raise unless every row is a probability vector, within ``tolerance`` of a sum of one.

    Nothing is renormalised. Rows that look like logits are named as such.

    Args:
        name: The argument's name.
        probabilities: (N, C).
        tolerance: The largest accepted distance of a row's sum from one.

    Raises:
        ValueError: For negative entries, entries above one, or sums off by more than ``tolerance``.

    Example:
        >>> check_probabilities("probs", np.array([[0.5, 0.6]]))
        Traceback (most recent call last):
        ValueError: `probs` should have rows that sum to 1 within 1e-05, got a sum of 1.1 at row 0 (off by 0.1; 1 of 1 rows): renormalise them yourself, or ask for it.
    """
    array = _array(probabilities)
    check_shape(name, array, ("N", "C"))
    if array.size == 0:
        return
    check_finite(name, array)
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1 + tolerance:
        raise ValueError(
            f"`{name}` should be probabilities in [0, 1], got values from {low:.6g} to {high:.6g}: "
            "if these are logits, pass them as logits."
        )
    off = np.abs(array.sum(axis=1, dtype=np.float64) - 1)
    worst = int(np.argmax(off))
    if off[worst] > tolerance:
        total = float(array[worst].sum(dtype=np.float64))
        raise ValueError(
            f"`{name}` should have rows that sum to 1 within {tolerance:g}, got a sum of {total:.6g}"
            f" at row {worst} (off by {off[worst]:.3g}; {int((off > tolerance).sum())} of "
            f"{len(array)} rows): renormalise them yourself, or ask for it."
        )


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``choices``; the nearest are offered.

    Example:
        >>> check_choice("model", "sofmax", ["softmax", "mc_dropout"])
        Traceback (most recent call last):
        ValueError: `model` should be one of mc_dropout, softmax, got 'sofmax': did you mean softmax?
    """
    known = sorted(choices)
    if value in known:
        return
    if not known:
        raise ValueError(
            f"`{name}` should be one of those there are, got {value!r}: there are none."
        )
    near = difflib.get_close_matches(value, known, n=3, cutoff=0.5)
    hint = f": did you mean {' or '.join(near)}?" if near else "."
    listed = ", ".join(choice or "''" for choice in known)
    raise ValueError(f"`{name}` should be one of {listed}, got {value!r}{hint}")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Example:
        >>> require("no_such_module", "benchmark")
        Traceback (most recent call last):
        ModuleNotFoundError: `no_such_module` is not installed: it comes with `pip install 'uncertain-torch[benchmark]'`.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise ModuleNotFoundError(
            f"`{error.name}` is not installed: it comes with "
            f"`pip install 'uncertain-torch[{extra}]'`.",
            name=error.name,
        ) from error


def _array(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """View a tensor on any device, with or without a gradient, as an array; bfloat16 as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    return np.asarray(value)


def _tail(hint: str) -> str:
    return f": {hint.rstrip('.')}." if hint else "."
