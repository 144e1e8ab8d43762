"""Files in, verdicts out: what ``uncertain compare`` does, as one function."""

from __future__ import annotations

import dataclasses
import json as json_text
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from uncertain import checks
from uncertain.evaluation import gate
from uncertain.evaluation.comparing import MEAN_RANK, Family, compare, compare_stored
from uncertain.evaluation.files import check_outputs, read_ood, read_sources
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import FORMAT, Results

StrPath = str | Path


def compare_files(
    files: Sequence[StrPath],
    *,
    ood: Sequence[tuple[str, StrPath]] = (),
    columns: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
    family: Family = "figure",
    out: StrPath | None = None,
    json: StrPath | None = None,
    fail_if_worse: StrPath | None = None,
    level: float | None = None,
    replicates: int = 1000,
    seed: int = 0,
    command: str = "",
) -> Results:
    """Compare models by their files: predictions, or stored tables of results.

    Predictions are compared in pairs of rows. Tables of results (``uncertain evaluate --json``) hold
    no rows and are compared by their intervals, which is wider where the rows were the same. One
    table alone gives the comparisons that it holds.

    Args:
        files: Files of predictions, or of results. ``NAME=FILE`` names a source; a name that comes
            again is another training of it.
        ood: Name and file of out-of-distribution rows; a name's k-th file belongs to the k-th file.
        columns: Role to array name (see :func:`~uncertain.evaluation.readers.read_predictions`).
        metrics: Which figures are compared; all by default.
        family: What p-values are adjusted over, ``figure`` or ``all``.
        out: Where the HTML report goes.
        json: Where the table goes, as JSON.
        fail_if_worse: Stored results or per-row scores that no figure may be worse than.
        level: Confidence level, in (0, 1); .95 by default. Stored tables have one already.
        replicates: Bootstrap replicates, at least 100.
        seed: Seed of the bootstrap.
        command: The command line, kept in the results.

    Returns:
        The results that were written; :func:`~uncertain.evaluation.verdicts` says what they mean.

    Raises:
        ValueError: A file can't be read, predictions are mixed with results, stored intervals have
            another level, or the sources can't be compared; nothing is written then.
        GateFailedError: A figure is worse than in ``fail_if_worse``; everything has been written.
        OSError: An output can't be written; found out before anything is read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> y = np.array([0, 1, 1] * 40)
        >>> for name, p in (("sure", 0.9), ("unsure", 0.6)):
        ...     q = np.where(y[:, None] == [0, 1], p, 1 - p) + 0.01 * np.sin(np.arange(120))[:, None] * [1, -1]
        ...     np.savez(folder / f"{name}.npz", probs=q, labels=y)
        >>> results = compare_files([folder / "sure.npz", folder / "unsure.npz"], metrics=["nll"])
        >>> from uncertain.evaluation.comparing import verdicts
        >>> [verdict.lower for verdict in verdicts(results)]
        ['sure']
    """
    checks.check_choice("family", family, get_args(Family))
    named = [_named(file) for file in files]
    paths = [path for _, path in named]
    more = [] if fail_if_worse is None else [fail_if_worse]
    check_outputs({"--out": out, "--json": json}, [*paths, *(path for _, path in ood), *more])
    stored = [_is_results(path) for path in paths]
    if any(stored) and not all(stored):
        raise ValueError(
            f"{paths[stored.index(True)]} is a table of results and {paths[stored.index(False)]} is "
            "not: compare predictions with predictions, or tables with tables."
        )
    predictions: list[Predictions] = []
    if all(stored) and stored:
        tables = [(name or path.stem, Results.read(path)) for name, path in named]
        _check_level(level, [table for _, table in tables])
        results = compare_stored(tables, metrics=metrics, family=family, command=command)
    else:
        predictions = _read(named, ood, dict(columns or {}))
        results = compare(
            predictions, metrics=metrics, family=family, level=0.95 if level is None else level,
            replicates=replicates, seed=seed, command=command,
        )  # fmt: skip
    if json is not None:
        results.write(json, format="json")
    if out is not None:
        from uncertain.evaluation.report import write_report

        shown = Results([r for r in results if r.metric != MEAN_RANK], results.metadata)
        write_report(shown, predictions, out, title="Comparison", command=command)
    if fail_if_worse is not None:
        gate.hold(
            results, predictions, [], baseline=fail_if_worse, level=0.95 if level is None else level
        )
    return results


def _check_level(level: float | None, tables: Sequence[Results]) -> None:
    """Refuse a level other than that of stored intervals, which hold no rows to be had again from."""
    known = sorted({row.level for table in tables for row in table if row.has_interval})
    if level is not None and any(stored != level for stored in known):
        raise ValueError(
            f"`level` should be that of the stored tables, {', '.join(map(str, known))}, got {level}: "
            f"evaluate the predictions again with --level {level}, or compare those."
        )


def _named(text: StrPath) -> tuple[str, Path]:
    """Split ``NAME=FILE``, unless that is a file's own name."""
    name, equals, path = str(text).partition("=")
    if not (equals and name and path) or Path(text).exists():
        return "", Path(text)
    return name, Path(path)


def _is_results(path: Path) -> bool:
    if path.suffix.lower() == ".json":
        return True
    if path.suffix.lower() != ".parquet" or not path.is_file() or not path.stat().st_size:
        return False
    import pyarrow.parquet as parquet

    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (OSError, ValueError):
        return False  # The reader of predictions words what is wrong.
    return bool(json_text.loads(metadata.get(b"uncertain", b"{}")).get("format") == FORMAT)


def _read(
    named: Sequence[tuple[str, Path]], ood: Sequence[tuple[str, StrPath]], columns: dict[str, str]
) -> list[Predictions]:
    paths = [path for _, path in named]
    tests = read_sources(paths, columns, (), renormalise=False)
    strange = read_ood(paths, ood, columns, renormalise=False)
    counts = Counter(name for name, _ in named if name)
    facts: dict[str, dict[str, str]] = {}
    for case, (name, path) in zip(tests, named, strict=True):
        given = {"source": name} if name else {}
        if counts[name] > 1:
            given["training"] = case.training or path.stem
        facts[case.source] = given
    return [dataclasses.replace(case, **facts[case.source]) for case in [*tests, *strange]]  # type: ignore[arg-type]
