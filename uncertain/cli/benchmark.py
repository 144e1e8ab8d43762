"""``uncertain benchmark``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from uncertain.cli.application import app, clear_errors, command_line, ended_like_ctrl_c


@app.command()
def benchmark(
    suite: Annotated[str, typer.Option(help="quick, images, tabular or regression.")] = "quick",
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models", help="Names, or an import path package.module:function; repeatable."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 3,
    budget: Annotated[str, typer.Option(help="desk or full.")] = "desk",
    out: Annotated[Path, typer.Option(help="Folder for predictions, results and report.")] = Path(
        "uncertain-benchmark"
    ),
    workers: Annotated[int, typer.Option(help="Processes; 0 means one a core.")] = 0,
    half: Annotated[str, typer.Option(help="develop, or confirm; looks are counted.")] = "develop",
    ledger: Annotated[
        Path | None, typer.Option(help="File that counts looks at confirm; default in the cache.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and stop.")] = False,
) -> None:
    """Train and judge models on a suite of tasks; run again to resume."""
    # A model of the user's own is found from where the command is given, as with `python -m`.
    if "" not in sys.path:
        sys.path.insert(0, "")
    with clear_errors(), ended_like_ctrl_c():
        from uncertain.benchmark import run
        from uncertain.evaluation.console import print_results

        results = run(
            suite,
            models=models,
            seeds=seeds,
            budget=budget,  # type: ignore[arg-type]
            half=half,  # type: ignore[arg-type]
            ledger=ledger,
            out=out,
            workers=workers,
            plan_only=plan,
            command=command_line(),
        )
        if results is not None:
            print_results(results)
            typer.echo(f"\nThe table: {out / 'results.parquet'}\nThe report: {out / 'report.html'}")
