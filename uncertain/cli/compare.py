"""``uncertain compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uncertain.cli.application import app, clear_errors, command_line, fail, pairs, say_written


@app.command()
def compare(
    files: Annotated[
        list[str],
        typer.Argument(help="Predictions, or stored results; NAME=FILE, a training each."),
    ],
    ood: Annotated[
        list[str] | None,
        typer.Option("--ood", help="NAME=FILE: out-of-distribution rows; once a FILE, in order."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Compare this figure only; repeatable.")
    ] = None,
    family: Annotated[
        str, typer.Option(help="Adjust p-values over the pairs of a figure, or over all.")
    ] = "figure",
    out: Annotated[Path | None, typer.Option(help="Write a self-contained HTML report.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON.")] = None,
    fail_if_worse: Annotated[
        Path | None,
        typer.Option("--fail-if-worse", help="Exit status 1 if worse than this stored table."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="ROLE=NAME: the array of a role, such as labels=y."),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Confidence level of the intervals; 0.95 by default.")
    ] = None,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no verdicts.")] = False,
) -> None:
    """Say which of several models is better, by how much and how surely."""
    from uncertain.evaluation.comparing_files import compare_files
    from uncertain.evaluation.console import print_verdicts
    from uncertain.evaluation.gate import GateFailedError

    with clear_errors():
        failed = None
        try:
            results = compare_files(
                files,
                ood=pairs("--ood", ood or []),
                columns={role: str(name) for role, name in pairs("--column", column or [])},
                metrics=metric or [],
                family=family,  # type: ignore[arg-type]
                out=out,
                json=json,
                fail_if_worse=fail_if_worse,
                level=level,
                replicates=replicates,
                seed=seed,
                command=command_line(),
            )
        except GateFailedError as error:
            failed, results = error, error.results
        if not quiet:
            print_verdicts(results)
        say_written(out, json)
        fail(failed)
