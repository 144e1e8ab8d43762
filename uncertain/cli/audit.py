"""``uncertain audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uncertain.cli.application import app, clear_errors, command_line, pairs, say_written


@app.command()
def audit(
    files: Annotated[
        list[Path], typer.Argument(help="Predictions on test rows, or a benchmark run's folder.")
    ],
    ood: Annotated[
        list[str] | None,
        typer.Option("--ood", help="NAME=FILE: out-of-distribution rows; once a FILE, in order."),
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Predictions on the training rows.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Predictions on the validation rows.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--inputs", help="NAME=FILE: inputs of test, train, or strange rows."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="ROLE=NAME: the array of a role, such as labels=y."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the findings as a page.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the findings as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no findings.")] = False,
) -> None:
    """Recompute figures by other hands, and look for what makes them mislead; status 1 on a fail."""
    from uncertain.evaluation.auditing import audit_files

    with clear_errors():
        report = audit_files(
            files,
            ood=pairs("--ood", ood or []),
            train=train,
            validation=validation,
            inputs=pairs("--inputs", inputs or []),
            columns={role: str(name) for role, name in pairs("--column", column or [])},
            out=out,
            json=json,
            command=command_line(),
        )
        if not quiet:
            typer.echo(str(report))
        say_written(out, json)
        if report.failed:
            raise typer.Exit(1)
