"""Inputs that are not numbers yet: categories, and what is missing.

``N`` rows, ``D`` columns as given, ``E`` columns once encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from uncertain import checks

MISSING = "missing"
"""The level that a missing category is."""
Impute = Callable[[NDArray[np.float64]], Any]


class Columns(nn.Module):
    """From rows as they come to numbers: one column a category's level, nothing missing.

    Rows are a tensor or a NumPy array (N, D); an array of objects may hold names. Numbers stay where
    they are, each category becomes as many columns as it has levels, one of them 1, and columns that
    say what was missing come last. A missing category is a level of its own, where training has one.

    Args:
        width: D.
        categorical: Which columns hold categories.
        levels: Of each of those, the values that it takes: all whole codes, or all names.
        impute: From the (N, D') array of the other columns, with NaN where something is missing, to
            the same array filled: a fitted scikit-learn imputer's ``transform``, or :class:`Fill`,
            which can be saved.
        indicated: Columns whose missing entries get a column of zeros and ones.

    Raises:
        TypeError, ValueError: For columns that there aren't, or rows with unknown levels or gaps.

    Example:
        >>> columns = Columns.from_data(np.array([["red", 1.0], ["blue", 2.0]], object), categorical=[0])
        >>> columns(np.array([["blue", 7.0]], object))
        tensor([[1., 0., 7.]], dtype=torch.float64)
    """

    def __init__(
        self,
        width: int,
        *,
        categorical: Sequence[int] = (),
        levels: Sequence[Sequence[float | str]] = (),
        impute: Impute | None = None,
        indicated: Sequence[int] = (),
    ) -> None:
        super().__init__()
        checks.check_count("width", width)
        for name, chosen in (("categorical", categorical), ("indicated", indicated)):
            checks.check_range(name, list(chosen), 0, width - 1, hint=f"there are {width} columns")
        checks.check_same_length(categorical=categorical, levels=levels)
        self.width = width
        self.categorical, self.indicated = list(categorical), list(indicated)
        self.levels = [list(each) for each in levels]
        self.impute = impute

    @classmethod
    def from_data(
        cls,
        x: Any,
        *,
        categorical: Sequence[int] = (),
        impute: Impute | None = None,
        indicate: bool = False,
    ) -> Columns:
        """Learn the levels of categories, and which columns have gaps, from training rows.

        Args:
            x: (N, D) tensor or array.
            categorical: Which columns hold categories.
            impute: As for the class.
            indicate: Whether columns with gaps in these rows get one that says where.

        Raises:
            ValueError: For a category with a single level, or gaps with no ``impute``.
        """
        width = _checked(x)
        checks.check_range("categorical", list(categorical), 0, width - 1)
        chosen = [int(j) for j in categorical]
        levels = [_levels(_values(x, j), j) for j in chosen]
        gaps = [j for j in range(width) if j not in chosen and _missing(_values(x, j)).any()]
        if gaps and impute is None:
            count = sum(int(_missing(_values(x, j)).sum()) for j in gaps)
            raise ValueError(
                f"`x` should have no missing numbers, got {count} in column "
                f"{', '.join(map(str, gaps[:5]))}: drop such rows, or pass `impute`."
            )
        return cls(
            width,
            categorical=chosen,
            levels=levels,
            impute=impute,
            indicated=gaps if indicate else (),
        )

    def forward(self, x: Any) -> Float[Tensor, "N E"]:
        """Return (N, E) numbers, in the dtype and on the device of a tensor; else float64."""
        _checked(x, self.width)
        like = x if isinstance(x, Tensor) else torch.zeros((), dtype=torch.float64)
        filled, parts = self._numbers(x, like), []
        for j in range(self.width):
            if j in self.categorical:
                parts.append(self._one_hot(_values(x, j), j).to(like))
            else:
                parts.append(filled.pop(0)[:, None])
        for j in self.indicated:
            parts.append(torch.from_numpy(_missing(_values(x, j))).to(like)[:, None])
        return torch.cat(parts, 1)

    def groups(self) -> list[list[int]]:
        """Return, for each column as given, the places of those that it has become."""
        found: list[list[int]] = []
        at = 0
        for j in range(self.width):
            size = len(self.levels[self.categorical.index(j)]) if j in self.categorical else 1
            found.append(list(range(at, at + size)))
            at += size
        for j in self.indicated:
            found[j].append(at)
            at += 1
        return found

    def _numbers(self, x: Any, like: Tensor) -> list[Tensor]:
        """Return the columns that are numbers, filled where something was missing."""
        rest = [j for j in range(self.width) if j not in self.categorical]
        if isinstance(x, Tensor) and self.impute is None:
            return [x[:, j] for j in rest]
        columns = [_as_numbers(_values(x, j), j) for j in rest]
        table = np.stack(columns, 1) if rest else np.zeros((len(x), 0))
        if self.impute is not None and rest:
            filled = np.asarray(self.impute(table.copy()), dtype=np.float64)
            hint = "`impute` should fill, and keep every column"
            checks.check_shape("impute(x)", filled, table.shape, hint=hint)
            table = filled
        checks.check_finite("x", table, hint="pass `impute`, or drop such rows")
        return [torch.from_numpy(table[:, k]).to(like) for k in range(len(rest))]

    def _one_hot(self, values: NDArray[Any], column: int) -> Tensor:
        levels = self.levels[self.categorical.index(column)]
        named = _named(values)
        hits = np.stack([named == level for level in levels], 1)
        unknown = ~hits.any(1)
        if unknown.any():
            row = int(np.argmax(unknown))
            raise ValueError(
                f"`x` should have known levels in column {column}, got {named[row]!r} at row {row}: "
                f"training has {', '.join(map(str, levels[:8]))}."
            )
        return torch.from_numpy(hits)


class Fill(nn.Module):
    """Fills what is missing with one number a column.

    Args:
        values: (D,), one a column.

    Example:
        >>> fill = Fill.from_data(np.array([[1.0], [3.0], [np.nan]]))
        >>> fill(np.array([[np.nan], [5.0]])).tolist()
        [[2.0], [5.0]]
    """

    values: Tensor

    def __init__(self, values: Float[Tensor, " D"]) -> None:
        super().__init__()
        checks.check_shape("values", values, ("D",))
        checks.check_finite("values", values)
        self.register_buffer("values", values.detach().to(torch.float64, copy=True))

    @classmethod
    def from_data(cls, x: Any) -> Fill:
        """Take the median of what there is in every column of (N, D) numbers.

        Raises:
            ValueError: For a column with nothing in it.
        """
        table = np.asarray(_host(x), dtype=np.float64)
        checks.check_shape("x", table, ("N", "D"))
        empty = np.isnan(table).all(0)
        if empty.any():
            raise ValueError(
                f"`x` should have a number in every column, got none in column {np.argmax(empty)}: "
                "drop it."
            )
        return cls(torch.from_numpy(np.nanmedian(table, axis=0)))

    def forward(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same rows, filled."""
        return np.where(np.isnan(x), self.values.cpu().numpy(), x)


def _checked(x: Any, width: int | None = None) -> int:
    if not isinstance(x, Tensor | np.ndarray):
        raise TypeError(f"`x` should be a tensor or an array (N, D), got {type(x).__name__}.")
    checks.check_shape("x", x, ("N", "D" if width is None else width), hint="one row a line")
    return int(x.shape[1])


def _host(x: Any) -> NDArray[Any]:
    return x.detach().cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x)


def _values(x: Any, column: int) -> NDArray[Any]:
    return _host(x[:, column])


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say where a column holds ``None`` or what differs from itself, which NaN does."""
    if values.dtype.kind in "iub":
        return np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values), bool)
    return np.array([v is None or v != v for v in values], bool)


def _as_numbers(values: NDArray[Any], column: int) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`x` should hold numbers in column {column}, got {error}: name it in `categorical`."
        ) from error


def _named(values: NDArray[Any]) -> NDArray[Any]:
    """Return levels as plain Python values, what is missing by its own name."""
    gaps = _missing(values)
    named = [MISSING if gap else _plain(v) for v, gap in zip(values.tolist(), gaps, strict=True)]
    found = np.empty(len(named), object)
    found[:] = named
    return found


def _plain(value: Any) -> float | str:
    return value if isinstance(value, str) else float(value)


def _levels(values: NDArray[Any], column: int) -> list[float | str]:
    found = sorted(set(_named(values).tolist()), key=lambda v: (isinstance(v, str), v))
    if len(found) < 2:
        raise ValueError(
            f"`x` should have at least two levels in column {column}, got "
            f"{', '.join(map(str, found)) or 'none'}: drop what never varies."
        )
    return found
