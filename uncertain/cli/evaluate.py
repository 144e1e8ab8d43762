"""``uncertain evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from uncertain.cli.application import app, clear_errors, command_line, fail, pairs, say_written

Key = Optional[str]  # noqa: UP045 - typer reads the annotation at run time


@app.command()
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Predictions: .npz, .npy, .parquet or .csv.")],
    ood: Annotated[
        list[str] | None,
        typer.Option("--ood", help="NAME=FILE: out-of-distribution rows; once a FILE, in order."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a self-contained HTML report.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON.")] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Write per-row scores, worst first (.csv or .parquet).")
    ] = None,
    groups: Annotated[Key, typer.Option(help="Array of resampling units (patient, image).")] = None,
    weights: Annotated[Key, typer.Option(help="Array of row weights.")] = None,
    labels: Annotated[
        Key, typer.Option(help="Array of labels, or a file that holds the labels alone.")
    ] = None,
    probabilities: Annotated[Key, typer.Option(help="Array of class probabilities.")] = None,
    logits: Annotated[Key, typer.Option(help="Array of class logits.")] = None,
    log_probabilities: Annotated[Key, typer.Option(help="Array of log-probabilities.")] = None,
    mean: Annotated[Key, typer.Option(help="Array of predicted means.")] = None,
    scale: Annotated[Key, typer.Option(help="Array of standard deviations.")] = None,
    variance: Annotated[Key, typer.Option(help="Array of variances.")] = None,
    samples: Annotated[Key, typer.Option(help="Array of samples, one row a prediction.")] = None,
    quantiles: Annotated[Key, typer.Option(help="Array of quantiles, one column a level.")] = None,
    levels: Annotated[Key, typer.Option(help="Array of the quantiles' levels.")] = None,
    row_ids: Annotated[Key, typer.Option(help="Array of row ids, which pair the files.")] = None,
    class_names: Annotated[Key, typer.Option(help="Array of class names.")] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Images (.npz: inputs, row_id) to show with mistakes.")
    ] = None,
    renormalise: Annotated[
        bool, typer.Option(help="Divide rows of probabilities by their sums.")
    ] = False,
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", help="Array to judge by the values of, or class or predicted; repeatable."
        ),
    ] = None,
    temperature_scaled: Annotated[
        bool,
        typer.Option("--temperature-scaled", help="Judge once more after temperature scaling."),
    ] = False,
    validation: Annotated[
        list[Path] | None,
        typer.Option(help="Validation predictions to fit temperatures on; once a FILE, in order."),
    ] = None,
    grid: Annotated[
        float | None, typer.Option(help="Spacing of the grid that real targets lie on.")
    ] = None,
    ordinal: Annotated[
        bool, typer.Option("--ordinal", help="The classes' order means something.")
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if", help='A rule, "nll of worst site > 2": exit status 1; repeatable.'
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="Exit status 1 if worse than this table (--json) or these --rows."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table.")] = False,
) -> None:
    """Judge predictions made by any framework; several files are compared in pairs."""
    from uncertain.evaluation.baseline import not_held
    from uncertain.evaluation.console import print_results
    from uncertain.evaluation.files import evaluate_files
    from uncertain.evaluation.gate import GateFailedError

    columns = {
        "probabilities": probabilities,
        "logits": logits,
        "log_probabilities": log_probabilities,
        "mean": mean,
        "scale": scale,
        "variance": variance,
        "samples": samples,
        "quantiles": quantiles,
        "levels": levels,
        "labels": labels,
        "row_ids": row_ids,
        "groups": groups,
        "weights": weights,
        "class_names": class_names,
    }
    with clear_errors():
        failed = None
        try:
            results = evaluate_files(
                files,
                ood=pairs("--ood", ood or []),
                columns={role: name for role, name in columns.items() if name is not None},
                out=out,
                json=json,
                rows=rows,
                inputs=inputs,
                renormalise=renormalise,
                level=level,
                replicates=replicates,
                seed=seed,
                by=by or [],
                fail_if=fail_if or [],
                baseline=baseline,
                temperature_scaled=temperature_scaled,
                validation=validation or [],
                grid=grid,
                ordinal=ordinal,
                command=command_line(),
            )
        except GateFailedError as error:
            failed, results = error, error.results
        if not quiet:
            print_results(results)
            _point_to_the_rest(json=json, out=out)
            if left_out := not_held(fail_if or [], baseline):
                typer.echo(left_out)
        say_written(out, json, rows)
        fail(failed)


def _point_to_the_rest(*, json: Path | None, out: Path | None) -> None:
    """Say where the figures that the terminal leaves out can be had, unless they were asked for."""
    table = "" if json else "the whole table with --json FILE"
    page = "" if out else "the page with plots with --out FILE"
    if table or page:
        typer.echo(f"\nNot written: {', '.join(filter(None, [table, page]))}.")
