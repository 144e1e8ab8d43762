"""``uncertain conformal``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uncertain.cli.application import app, clear_errors, command_line, pairs, say_written


@app.command()
def conformal(
    calibration: Annotated[
        Path, typer.Argument(help="Predictions on labelled rows that were not trained on.")
    ],
    test: Annotated[Path, typer.Argument(help="Predictions of the same model on other rows.")],
    coverage: Annotated[float, typer.Option(help="The share of targets to be covered.")] = 0.9,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="thr, aps or raps for classes; cqr or residuals for numbers; repeatable.",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Array by whose values coverage is had too; repeatable."),
    ] = None,
    within: Annotated[
        str | None, typer.Option(help="Array whose every value is covered by itself.")
    ] = None,
    sets: Annotated[
        Path | None, typer.Option(help="Write the set of each test row (.csv or .parquet).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a self-contained HTML report.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="ROLE=NAME: the array of a role, such as labels=y."),
    ] = None,
    renormalise: Annotated[
        bool, typer.Option(help="Divide rows of probabilities by their sums.")
    ] = False,
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no figures.")] = False,
) -> None:
    """Make sets that hold the target with a stated probability, and see whether they do."""
    from uncertain.evaluation.conformal.files import conformal_files
    from uncertain.evaluation.conformal.printing import print_conformal

    with clear_errors():
        results = conformal_files(
            calibration,
            test,
            coverage=coverage,
            scores=score or [],
            by=by or [],
            within=within,
            columns={role: str(name) for role, name in pairs("--column", column or [])},
            renormalise=renormalise,
            out=out,
            json=json,
            sets=sets,
            level=level,
            command=command_line(),
        )
        if not quiet:
            print_conformal(results, by=[*(by or []), *([within] if within else [])])
        say_written(out, json, sets)
