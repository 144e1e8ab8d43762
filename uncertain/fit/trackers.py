"""Callbacks that only watch: a progress bar, and every step's terms to a function or a file."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TextIO

from uncertain import atomic, checks
from uncertain.fit.run import Callback, Hooks, Run
from uncertain.terminal import (
    BarColumn,
    Console,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_REFRESH = 0.1


def progress(*, console: Console | None = None) -> Callback:
    """Show a bar with the step, the loss, the last validation and the time left.

    Args:
        console: Where to; standard error by default. On rank 0 only.

    Returns:
        A callback.

    Example:
        >>> import io
        >>> callback = progress(console=Console(file=io.StringIO()))
    """

    def start(run: Run) -> Hooks:
        if run.world.rank:
            return Hooks()
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )
        task = bar.add_task("training", total=run.steps, numbers="")
        shown = 0.0

        def step() -> None:
            nonlocal shown
            if time.monotonic() - shown < _REFRESH:
                return
            shown = time.monotonic()
            bar.update(task, completed=run.step, numbers=_numbers(run))

        def end() -> None:
            bar.update(task, completed=run.step, numbers=_numbers(run))
            bar.stop()

        return Hooks(begin=bar.start, step=step, end=end)

    return start


def track(function: Callable[[int, Mapping[str, float]], object], *, every: int = 1) -> Callback:
    """Call ``function(step, terms)`` after every step.

    ``terms`` holds the objective's terms, ``loss`` and ``gradient_norm``, and ``validation`` after
    the steps that were followed by one.

    Args:
        function: Gets the number of steps done and the terms; any tracker's logging function. On
            rank 0 only.
        every: Steps between calls, at least 1; the steps followed by a validation and the last one
            are always passed on.

    Returns:
        A callback.

    Raises:
        ValueError: For ``every`` below 1.

    Example:
        >>> import torch
        >>> from uncertain.fit import fit, term
        >>> net = torch.nn.Linear(1, 1)
        >>> seen = []
        >>> result = fit(
        ...     net, (torch.ones(1, 1), None), steps=7, batch_size=1,
        ...     objective=term("size", lambda batch: net.weight.abs().sum()),
        ...     callbacks=[track(lambda step, terms: seen.append(step), every=3)],
        ... )
        >>> seen
        [3, 6, 7]
    """
    checks.check_range("every", every, 1)

    def start(run: Run) -> Hooks:
        def step() -> None:
            validated = bool(run.scores) and run.scores[-1].step == run.step
            if run.step % every and run.step != run.steps and not validated:
                return
            terms = dict(run.terms)
            if validated:
                terms["validation"] = run.scores[-1].value
            function(run.step, terms)

        return Hooks(step=step) if run.world.rank == 0 else Hooks()

    return start


def track_jsonl(path: atomic.StrPath, *, every: int = 1) -> Callback:
    """Append every step's terms to a file, one JSON object a line; what is not finite is null.

    A resumed training first drops the lines after the step it goes on from, so that the file reads
    as if nothing had happened; one that starts afresh starts the file afresh.

    Args:
        path: The file; its directory must exist.
        every: As for ``track``.

    Returns:
        A callback.

    Raises:
        OSError: By ``fit``, where the file can not be written.
        ValueError: For ``every`` below 1.

    Example:
        >>> callback = track_jsonl("terms.jsonl", every=10)
    """

    def write(file: TextIO, step: int, terms: Mapping[str, float]) -> None:
        numbers = {name: v if math.isfinite(v) else None for name, v in terms.items()}
        file.write(json.dumps({"step": step, **numbers}) + "\n")

    return _to_file(Path(path), every, write, _json_step)


def track_csv(path: atomic.StrPath, *, every: int = 1) -> Callback:
    """Append every step's terms to a table with a header; the first line decides the columns.

    Resumed like ``track_jsonl``.

    Args:
        path: The file; its directory must exist.
        every: As for ``track``.

    Returns:
        A callback.

    Raises:
        OSError: By ``fit``, where the file can not be written.
        ValueError: For ``every`` below 1, and by ``fit`` for a term that was not in the first line.

    Example:
        >>> callback = track_csv("terms.csv")
    """
    names: list[str] = []

    def write(file: TextIO, step: int, terms: Mapping[str, float]) -> None:
        if file.tell() == 0:
            names[:] = ["step", *(name for name in terms if name != "validation"), "validation"]
            file.write(_csv_line(names))
        elif not names:
            names[:] = next(csv.reader([Path(path).read_text().partition("\n")[0]]))
        unknown = sorted(set(terms) - set(names))
        if unknown:
            raise ValueError(
                f"`track_csv` has the columns {', '.join(names)}, got a new term {unknown[0]!r}: "
                "`track_jsonl` takes terms that come and go."
            )
        file.write(_csv_line([step, *(repr(terms[n]) if n in terms else "" for n in names[1:])]))

    return _to_file(Path(path), every, write, _csv_step)


def _to_file(
    path: Path,
    every: int,
    write: Callable[[TextIO, int, Mapping[str, float]], None],
    step_of: Callable[[str], int | None],
) -> Callback:
    checks.check_range("every", every, 1)

    def start(run: Run) -> Hooks:
        if run.world.rank:
            return Hooks()
        atomic.check_writable_directory(path.parent)
        files: list[TextIO] = []

        def begin() -> None:
            _keep_lines(path, run.step, step_of)
            files.append(path.open("a", encoding="utf-8", newline=""))

        def line(step: int, terms: Mapping[str, float]) -> None:
            write(files[0], step, terms)
            files[0].flush()

        def end() -> None:
            for file in files:
                file.close()

        return Hooks(begin=begin, step=track(line, every=every)(run).step, end=end)

    return start


def _keep_lines(path: Path, last: int, step_of: Callable[[str], int | None]) -> None:
    """Keep the lines up to a step; a line that a killed process left unfinished goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if last else []:
        step = step_of(line)
        if line.endswith("\n") and step is not None and step <= last:
            kept.append(line)
    atomic.write_text(path, "".join(kept))


def _json_step(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _csv_step(line: str) -> int | None:
    first = line.partition(",")[0]
    if first == "step":
        return 0  # the header stays
    return int(first) if first.isdigit() else None


def _csv_line(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _numbers(run: Run) -> str:
    name = "loss" if "loss" in run.terms else next(iter(run.terms), "")
    text = f"{name} {run.terms[name]:.4g}" if name else ""
    return f"{text}  validation {run.scores[-1].value:.4g}" if run.scores else text
