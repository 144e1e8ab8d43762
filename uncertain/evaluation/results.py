"""One typed table for every figure: what was measured, on what, how surely, and why not where not.

A :class:`Row` is one figure with its interval; :class:`Results` is a table of them in a canonical
order, so that tables built in any order, merged or read back are equal. Missing numbers are NaN in
memory and null in files, always beside a reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from uncertain import atomic, checks
from uncertain.evaluation.row import Row as Row
from uncertain.evaluation.row_order import natural_key, sort_key

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMAT = "uncertain.results"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Results:
    """A table of figures in canonical order, with where it came from.

    Attributes:
        rows: The rows; sorted on construction, exact duplicates dropped.
        metadata: Text facts: ``command``, ``seed``, ``created`` and versions.

    Raises:
        ValueError: Two rows name the same figure and disagree.

    Example:
        >>> a = Results([Row("accuracy", 0.9, 0.88, 0.92, source="net", n=900)])
        >>> b = Results([Row("nll", 0.31, 0.29, 0.33, source="net", n=900)])
        >>> a + b == b + a
        True
        >>> print(a + b)
        split  metric    source  value  95% interval     n
        test   accuracy  net     0.900  [0.880, 0.920]  900
        test   nll       net     0.310  [0.290, 0.330]  900
    """

    rows: tuple[Row, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __init__(self, rows: Iterable[Row], metadata: Mapping[str, str] | None = None) -> None:
        ordered = sorted(rows, key=sort_key)
        object.__setattr__(self, "rows", tuple(_without_duplicates(ordered)))
        facts = {str(key): str(value) for key, value in (metadata or {}).items()}
        object.__setattr__(self, "metadata", facts)

    @classmethod
    def create(cls, rows: Iterable[Row], *, command: str = "", seed: int | None = None) -> Results:
        """Return a table stamped with versions, the command, the seed and the time of making it.

        Example:
            >>> table = Results.create([Row("accuracy", 0.9)], command="uncertain evaluate a.npz")
            >>> table.metadata["command"]
            'uncertain evaluate a.npz'
        """
        from uncertain.evaluation.provenance import now, short_text, versions

        found = versions()
        facts = {"command": command, "seed": "" if seed is None else str(seed), "created": now()}
        text = short_text(found)
        stamped = (row if row.versions else dataclasses.replace(row, versions=text) for row in rows)
        return cls(stamped, {**{k: v for k, v in facts.items() if v}, **found})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Results):
            return NotImplemented
        return self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)

    def __add__(self, other: Results) -> Results:
        if not isinstance(other, Results):
            return NotImplemented
        return Results((*self.rows, *other.rows), _join_facts(self.metadata, other.metadata))

    def select(
        self,
        *,
        metric: str | Collection[str] | None = None,
        source: str | Collection[str] | None = None,
        split: str | Collection[str] | None = None,
        variant: str | Collection[str] | None = None,
        kind: str | Collection[str] | None = None,
        task: str | Collection[str] | None = None,
        training: str | Collection[str] | None = None,
        other: str | Collection[str] | None = None,
        over: str | Collection[str] | None = None,
        subgroup: str | Collection[str] | None = None,
    ) -> Results:
        """Return the rows whose fields equal what is given, or are among it.

        Example:
            >>> table = Results([Row("accuracy", 0.9), Row("nll", 0.3), Row("brier", 0.1)])
            >>> [row.metric for row in table.select(metric=["nll", "brier"])]
            ['nll', 'brier']
        """
        asked = {
            "metric": metric, "source": source, "split": split, "variant": variant, "kind": kind,
            "task": task, "training": training, "other": other, "over": over,
            "subgroup": subgroup,
        }  # fmt: skip
        wanted = [
            (name, frozenset((want,) if isinstance(want, str) else want))
            for name, want in asked.items()
            if want is not None
        ]
        kept = [row for row in self.rows if all(getattr(row, n) in want for n, want in wanted)]
        # What is left of rows in order is in order: sorting again would be most of the cost.
        chosen = object.__new__(Results)
        object.__setattr__(chosen, "rows", tuple(kept))
        object.__setattr__(chosen, "metadata", self.metadata)
        return chosen

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The models and controls, by name."""
        return tuple(sorted({row.source for row in self.rows}, key=natural_key))

    def to_arrow(self) -> pa.Table:
        """Return a typed Arrow table; NaN is null, infinities stay, metadata is in the schema.

        Example:
            >>> table = Results([Row("accuracy", 0.9)]).to_arrow()
            >>> table.num_rows, str(table.schema.field("value").type), table["low"].null_count
            (1, 'double', 1)
        """
        from uncertain.evaluation import results_files

        return results_files.to_arrow(self)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Results:
        """Return the results that :meth:`to_arrow` made into a table.

        Raises:
            ValueError: Where the table is not one of ours, or a newer version wrote it.

        Example:
            >>> table = Results([Row("accuracy", 0.9)])
            >>> Results.from_arrow(table.to_arrow()) == table
            True
        """
        from uncertain.evaluation import results_files

        return results_files.from_arrow(table)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one column a field.

        Raises:
            ModuleNotFoundError: Where pandas is not installed.
        """
        checks.require("pandas", "benchmark")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_json(self) -> str:
        """Return JSON text: ``format``, ``version``, ``metadata`` and a flat list ``rows``.

        Numbers that are not finite are null; the row's ``reason`` says why.

        Example:
            >>> import json
            >>> table = Results([Row("nll", float("inf"), reason="1 row has probability 0")])
            >>> row = json.loads(table.to_json())["rows"][0]
            >>> row["value"], row["reason"]
            (None, '1 row has probability 0')
        """
        from uncertain.evaluation import results_files

        return results_files.to_json(self)

    def write(
        self, path: atomic.StrPath, *, format: Literal["parquet", "json"] | None = None
    ) -> None:
        """Write a Parquet or JSON file, whole or not at all.

        Args:
            path: Where to.
            format: What to write; by default what the ending, ``.parquet`` or ``.json``, says.

        Raises:
            ValueError: For another ending and no ``format``.
            OSError: Where the file can't be written.

        Example:
            >>> import pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "results.json"
            >>> Results([Row("accuracy", 0.9)]).write(path)
            >>> Results.read(path).rows[0].value
            0.9
        """
        from uncertain.evaluation import results_files

        results_files.write(self, path, format=format)

    @classmethod
    def read(cls, path: atomic.StrPath) -> Results:
        """Read what :meth:`write` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is empty, truncated, not ours, or of a newer version.
        """
        from uncertain.evaluation import results_files

        return results_files.read(path)

    def __str__(self) -> str:
        from uncertain.evaluation.formatting import text_table

        return text_table(self)

    def _repr_html_(self) -> str:
        from uncertain.evaluation.formatting import html_table

        return html_table(self)


def _without_duplicates(rows: Iterable[Row]) -> Iterator[Row]:
    """Drop rows that repeat the one before; refuse one figure with two values."""
    last: Row | None = None
    for row in rows:
        if last is not None and _identity(row) == _identity(last):
            same = (row.value == last.value) or (math.isnan(row.value) and math.isnan(last.value))
            if not same:
                raise ValueError(
                    f"`rows` should give each figure once, got `{row.metric}` {row.variant!r} of "
                    f"{row.source!r} on {row.split!r} as {last.value} and {row.value}: give the "
                    "runs different `source`, `training` or `task` names."
                )
            if dataclasses.replace(row, versions="") == dataclasses.replace(last, versions=""):
                continue
        last = row
        yield row


def _identity(row: Row) -> tuple[Any, ...]:
    return (
        row.task, row.split, row.metric, row.variant, row.source, row.training, row.other,
        row.over, row.kind, row.level, row.positive_class, row.subgroup,
    )  # fmt: skip


def _join_facts(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """Keep what agrees; list what differs, each value once; the later time of making."""
    joined = dict(a)
    for key, value in b.items():
        if key not in joined or key == "created":
            joined[key] = max(value, joined.get(key, ""))
        elif value not in joined[key].split("; "):
            joined[key] = "; ".join(sorted({*joined[key].split("; "), value}))
    return joined
