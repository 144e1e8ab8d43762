"""The command line: each verb is one call of a public function.

Nothing heavy is imported here; a verb imports what it needs when it runs, so that judging a file
does not wait for torch.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="How far can a prediction be trusted? Judge predictions, compare methods, look at data.",
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: what there is, and what is in one.")
app.add_typer(data_app, name="data")

Key = Optional[str]  # noqa: UP045 - typer reads the annotation at run time


def _version(show: bool) -> None:
    if show:
        import uncertain

        typer.echo(f"uncertain {uncertain.__version__}")
        raise typer.Exit


_debug = False


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that stand before every verb."""
    global _debug
    _debug = debug


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
    with _clear_errors():
        failed = None
        try:
            results = evaluate_files(
                files,
                ood=_pairs("--ood", ood or []),
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
                command=_command(),
            )
        except GateFailedError as error:
            failed, results = error, error.results
        if not quiet:
            print_results(results)
            _point_to_the_rest(json=json, out=out)
        _say_written(out, json, rows)
        _fail(failed)


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

    with _clear_errors():
        failed = None
        try:
            results = compare_files(
                files,
                ood=_pairs("--ood", ood or []),
                columns={role: str(name) for role, name in _pairs("--column", column or [])},
                metrics=metric or [],
                family=family,  # type: ignore[arg-type]
                out=out,
                json=json,
                fail_if_worse=fail_if_worse,
                level=level,
                replicates=replicates,
                seed=seed,
                command=_command(),
            )
        except GateFailedError as error:
            failed, results = error, error.results
        if not quiet:
            print_verdicts(results)
        _say_written(out, json)
        _fail(failed)


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

    with _clear_errors():
        report = audit_files(
            files,
            ood=_pairs("--ood", ood or []),
            train=train,
            validation=validation,
            inputs=_pairs("--inputs", inputs or []),
            columns={role: str(name) for role, name in _pairs("--column", column or [])},
            out=out,
            json=json,
            command=_command(),
        )
        if not quiet:
            typer.echo(str(report))
        _say_written(out, json)
        if report.failed:
            raise typer.Exit(1)


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
    with _clear_errors(), _ended_like_ctrl_c():
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
            command=_command(),
        )
        if results is not None:
            print_results(results)
            typer.echo(f"\nThe table: {out / 'results.parquet'}\nThe report: {out / 'report.html'}")


@data_app.command("list")
def data_list() -> None:
    """List the data sets, and which are here."""
    from uncertain.evaluation.console import print_table

    with _clear_errors():
        from uncertain import data

        print_table("Data sets", data.listing())


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Sets; data list names them.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Everything that can be fetched: 3.6 GB.")
    ] = False,
) -> None:
    """Fetch data sets from their publishers into the cache; run again to resume."""
    with _clear_errors(), _ended_like_ctrl_c():
        from uncertain import data

        if bool(names) == every:
            raise ValueError("name the sets to fetch, or fetch every one with --all.")
        for name in names or data.REMOTE:
            data.fetch(name)


@data_app.command("show")
def data_show(name: str) -> None:
    """Show one data set's card: source, licence, sizes, classes, known problems."""
    from uncertain.evaluation.console import print_card

    with _clear_errors():
        from uncertain import data

        print_card(name, data.show(name))


def _say_written(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            typer.echo(f"wrote {path}")


def _fail(error: Exception | None) -> None:
    """End with status 1 and one line a rule that was not kept."""
    if error is None:
        return
    for line in str(error).splitlines():
        typer.echo(f"FAILED: {line}", err=True)
    raise typer.Exit(1)


def _point_to_the_rest(*, json: Path | None, out: Path | None) -> None:
    """Say where the figures that the terminal leaves out can be had, unless they were asked for."""
    table = "" if json else "the whole table with --json FILE"
    page = "" if out else "the page with plots with --out FILE"
    if table or page:
        typer.echo(f"\nNot written: {', '.join(filter(None, [table, page]))}.")


def _pairs(option: str, texts: list[str]) -> list[tuple[str, Path]]:
    """Split ``NAME=FILE``."""
    pairs = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ValueError(
                f"{option} takes {'ROLE=NAME' if option == '--column' else 'NAME=FILE'}, got {text!r}."
            )
        pairs.append((name, Path(path)))
    return pairs


class _clear_errors:  # noqa: N801 - used as a statement
    """Turn the library's own errors into one line and exit status 2; bugs keep their traceback."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            typer.echo("stopped.", err=True)
            raise typer.Exit(130) from None
        # `| head` has read enough: the command line's own end for that is silent.
        if isinstance(error, BrokenPipeError):
            return
        if not _debug and isinstance(error, ValueError | TypeError | OSError | ModuleNotFoundError):
            typer.echo(f"uncertain: {_one_line(error)}", err=True)
            raise typer.Exit(2) from None


def _one_line(error: BaseException) -> str:
    """Return what an error says, and what was noted on its way, without a library's line breaks."""
    worded = isinstance(error, OSError) and error.strerror and error.filename is None
    text = str(error.strerror) if isinstance(error, OSError) and worded else str(error)
    return " ".join(" ".join([text, *getattr(error, "__notes__", [])]).split())


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, by which a cluster or a container ends a run, stop it as cleanly as Ctrl-C."""
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _command() -> str:
    import shlex

    return shlex.join(["uncertain", *sys.argv[1:]])


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
