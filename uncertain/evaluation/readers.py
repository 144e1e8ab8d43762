"""Predictions made by any framework, read from ``.npz``, ``.npy``, Parquet or CSV files.

A file is first read into named arrays (:func:`read_arrays`), whatever its format; then each array is
given a role (:mod:`uncertain.evaluation.roles`). Nothing is unpickled, nothing is renormalised unless
asked, and what is ambiguous is an error that names the option which decides it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uncertain import checks
from uncertain.evaluation.array_files import read_npy, read_npz
from uncertain.evaluation.assemble import build_predictions, one_per_row
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.roles import assign_roles
from uncertain.predictive.facts import RESERVED

if TYPE_CHECKING:
    from uncertain.predictive.tables import PredictionRows

FORMATS = (".npz", ".npy", ".parquet", ".csv")

# Several columns of a table that together are one array: `prob_cat, prob_dog` or `q_0.05, q_0.95`.
_WIDE = re.compile(
    r"^(probs?|probabilit(?:y|ies)|p|proba|logits?|log_probs?|samples?|draws?|q|quantiles?)"
    r"[_:.\[ -](.+?)\]?$",
    re.IGNORECASE,
)

_WHOLE = re.compile(r"^-?[0-9]{1,9}$")
# What the checks leave to the caller, and the option that does it.
_REMEDIES = {
    "renormalise them yourself, or ask for it.": "divide each row by its sum with --renormalise.",
    "if these are logits, pass them as logits.": "if these are logits, pass --logits NAME.",
}


def read_predictions(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    labels_from: str | Path | None = None,
    source: str | None = None,
    split: str = "test",
    by: Sequence[str] = (),
    renormalise: bool = False,
    labelled: bool = True,
) -> Predictions:
    """Read one file of predictions.

    Args:
        path: A ``.npz``, ``.npy``, ``.parquet`` or ``.csv`` file.
        columns: Role to array name, where the usual names are not used; the roles are
            ``probabilities``, ``logits``, ``log_probabilities``, ``mean``, ``scale``, ``variance``,
            ``samples``, ``quantiles``, ``levels``, ``labels``, ``row_ids``, ``groups``,
            ``weights`` and ``class_names``.
        labels_from: A second file with the labels alone (``.npy``, or a table of one column).
        source: The model's name; the file's stem by default.
        split: ``test``, ``ood:NAME`` or ``shift:KIND:SEVERITY``.
        by: Arrays to keep as facts of the rows, by which figures can be had; ``class`` and
            ``predicted`` need no array. Columns that ``save_predictions`` was given are kept anyway.
        renormalise: Divide each row of probabilities by its sum instead of refusing sums that are
            not one.
        labelled: Whether labels are required; out-of-distribution files need none, and any that are
            there are left unread.

    Returns:
        The predictions, validated.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, truncated or of an unknown format; an array is missing,
            ambiguous, of the wrong shape, or holds values it should not.

    Example:
        >>> import tempfile, os
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "net.npz")
        ...     np.savez(file, probs=np.array([[0.8, 0.2], [0.3, 0.7]]), labels=np.array([0, 1]))
        ...     predictions = read_predictions(file)
        >>> predictions.source, len(predictions.distribution)
        ('net', 2)
    """
    path = Path(path)
    arrays, metadata = read_arrays(path)
    if labels_from is not None:
        arrays = {**arrays, "labels": _only_array(Path(labels_from))}
        columns = {**(columns or {}), "labels": "labels"}
    roles: dict[str, np.ndarray] = {}
    try:
        if metadata.get("format") is not None:
            from uncertain.predictive.tables import COLUMN, read_rows

            rows = read_rows(path)
            read = _from_own_format(rows, arrays, columns or {}, source=source, split=split)
            others = {name: a for name, a in arrays.items() if not name.startswith(COLUMN)}
            kept = _kept({**others, **read.columns}, by)
            return dataclasses.replace(read, columns={**read.columns, **kept})
        kept = _kept(arrays, by)
        roles = assign_roles(arrays, columns or {}, labelled=labelled)
        if split.startswith("ood:"):
            # What strange rows are called is no class that the model knows.
            roles.pop("labels", None)
        built = build_predictions(
            roles,
            source=source or path.stem,
            split=split,
            renormalise=renormalise,
            rows_first=path.suffix.lower() in (".csv", ".parquet"),
        )
        return dataclasses.replace(built, columns=kept) if kept else built
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {_with_options(str(error), arrays, roles)}") from error


def predictions_of_table(
    table: Any,
    path: Path,
    *,
    columns: Mapping[str, str],
    source: str,
    split: str = "test",
    renormalise: bool = False,
    labelled: bool = True,
) -> Predictions:
    """Return the predictions in a piece of a table; see :func:`read_predictions`.

    Args:
        table: Some rows of a file.
        path: The file, for messages.
        columns: Role to array name.
        source: The model's name.
        split: As in ``read_predictions``.
        renormalise: As in ``read_predictions``.
        labelled: As in ``read_predictions``.

    Raises:
        ValueError: As ``read_predictions``.
    """
    arrays: dict[str, np.ndarray] = {}
    roles: dict[str, np.ndarray] = {}
    try:
        arrays, metadata = _table_arrays(table)
        if metadata.get("format") is not None:
            from uncertain.predictive.tables import from_rows_table

            rows = from_rows_table(table)
            return _from_own_format(rows, arrays, columns, source=source, split=split)
        roles = assign_roles(arrays, columns, labelled=labelled)
        if split.startswith("ood:"):
            roles.pop("labels", None)
        return build_predictions(
            roles, source=source, split=split, renormalise=renormalise, rows_first=True
        )
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {_with_options(str(error), arrays, roles)}") from error


def _kept(arrays: Mapping[str, np.ndarray], by: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays that rows are to be grouped by, one value a row."""
    names = [name for name in by if name not in RESERVED]
    for name in names:
        if name not in arrays:
            have = ", ".join(f"`{n}`" for n in arrays if not n.endswith(".columns"))
            raise ValueError(f"--by names `{name}`, which is not there: the file has {have}.")
    return {name: one_per_row(name, arrays[name]) for name in names}


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read every named array of a file, and the metadata our own Parquet files carry.

    Columns of a table that belong together (``prob_cat, prob_dog``) become one array of shape
    (N, columns), its column names under ``NAME.columns``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An unknown format, or a file that can't be read.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file of predictions inside it.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path and the current folder.")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: `{suffix or 'no ending'}` is not a format that can be read: save it as one of "
            f"{', '.join(FORMATS)} (pickles are never loaded)."
        )
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes).")
    try:
        if suffix == ".npz":
            return read_npz(path), {}
        if suffix == ".npy":
            return {"predictions": read_npy(path)}, {}
        return _read_table(path)
    except Exception as error:  # damaged files raise whatever their library trips over
        raise ValueError(_unreadable(path, error)) from error


def _read_table(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if path.suffix.lower() == ".csv":
        import pyarrow.csv as csv

        with path.open("rb") as stream:
            header = stream.readline()
        if b";" in header and b"," not in header:
            raise ValueError(
                "its columns are separated by semicolons: the separator should be a comma"
            )
        table = csv.read_csv(path)
    else:
        from uncertain.predictive.sealed import read_table

        with path.open("rb") as stream:
            table = read_table(stream)
    return _table_arrays(table)


def _table_arrays(table: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if table.num_rows == 0:
        raise ValueError("the table has no rows")
    metadata = json.loads((table.schema.metadata or {}).get(b"uncertain", b"{}"))
    columns = {name: _column(table.column(name), name) for name in table.column_names}
    return _join_wide(columns), metadata


def _column(column: Any, name: str) -> np.ndarray:
    """Return one Arrow column as an array; lists of equal length become (N, length)."""
    import pyarrow as pa

    if column.null_count:
        raise ValueError(
            f"column `{name}` has {column.null_count} missing values: fill or drop them"
        )
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        flat = column.combine_chunks()
        values = flat.flatten()
        width, rest = divmod(len(values), max(len(column), 1))
        lengths = {len(row) for row in flat[:1]} | {width}
        if rest or len(lengths) != 1:
            raise ValueError(f"column `{name}` holds lists of different lengths")
        inner = _column(pa.chunked_array([values]), name)
        return inner.reshape(len(column), width, *inner.shape[1:])
    array: np.ndarray = column.to_numpy()
    return array if array.dtype != object else np.asarray(column.to_pylist(), dtype=str)


def _join_wide(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Stack the columns of one family: numbered ones by number, others in file order."""
    families: dict[str, list[tuple[str, str]]] = {}
    for name, array in columns.items():
        match = _WIDE.match(name)
        if match and array.ndim == 1 and array.dtype.kind in "fiuU":
            families.setdefault(match[1].lower(), []).append((match[2], name))
    joined = dict(columns)
    for family, found in families.items():
        members = _numbers_of(found, columns)
        if len(members) < 2 or family in columns:
            continue
        if not family.startswith("q"):
            members = _by_number(members)
        for _, name in members:
            del joined[name]
        joined[family] = np.stack([columns[name] for _, name in members], axis=1)
        joined[f"{family}.columns"] = np.array([suffix for suffix, _ in members])
    return joined


def _numbers_of(
    members: list[tuple[str, str]], columns: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Return the numeric columns; one that is numeric but for some cells is an error."""
    numeric = [(suffix, name) for suffix, name in members if columns[name].dtype.kind != "U"]
    numbered = any(_WHOLE.match(suffix) for suffix, _ in numeric)
    for suffix, name in members:
        if columns[name].dtype.kind != "U" or not numeric:
            continue
        text = [str(cell) for cell in columns[name] if not _is_number(str(cell))]
        if text and (len(text) < len(columns[name]) or (numbered and _WHOLE.match(suffix))):
            raise ValueError(
                f"column `{name}` is not numeric, it holds {text[0]!r}: write numbers in every row"
            )
    return numeric


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _by_number(members: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sort columns whose suffixes are all whole numbers; leave others in file order."""
    if not all(_WHOLE.match(suffix) for suffix, _ in members):
        return members
    numbered: dict[int, str] = {}
    for suffix, name in members:
        if int(suffix) in numbered:
            raise ValueError(
                f"columns `{numbered[int(suffix)]}` and `{name}` have the same number: keep one"
            )
        numbered[int(suffix)] = name
    return [(str(number), numbered[number]) for number in sorted(numbered)]


def _with_options(
    message: str, arrays: Mapping[str, np.ndarray], roles: Mapping[str, np.ndarray]
) -> str:
    """Return the message with the options of the command line that remedy it."""
    for check, option in _REMEDIES.items():
        message = message.replace(check, option)
    for role in ("probabilities", "logits"):
        for name, array in arrays.items():
            if array is roles.get(role):
                message = message.replace(" NAME", f" {name}")
    return message


def _only_array(path: Path) -> np.ndarray:
    arrays, _ = read_arrays(path)
    if len(arrays) != 1:
        raise ValueError(f"{path}: it should hold the labels alone, got {', '.join(arrays)}.")
    return next(iter(arrays.values()))


_OVERRIDES = {"labels": "target", "row_ids": "row_ids", "groups": "groups", "weights": "weights"}


def _from_own_format(
    rows: PredictionRows,
    arrays: Mapping[str, np.ndarray],
    columns: Mapping[str, str],
    *,
    source: str | None,
    split: str,
) -> Predictions:
    """Return what ``predictive.save_predictions`` wrote, with what the user names put over it."""
    facts: dict[str, Any] = {f.name: getattr(rows, f.name) for f in dataclasses.fields(rows)}
    for role, name in columns.items():
        checks.check_choice(f"the role of {name}", role, _OVERRIDES)
        checks.check_choice(role, name, arrays)
        facts[_OVERRIDES[role]] = arrays[name]
    if source is not None:
        facts["source"] = source
    if split != "test":
        facts["split"] = split
    return Predictions(**facts)


def _unreadable(path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "pickle" in reason.lower() or "object arrays" in reason.lower():
        reason = "it holds pickled objects, which are never loaded: save plain arrays"
    return f"{path}: it can't be read as {path.suffix.lower()[1:]} ({reason.rstrip('.')})."
