"""The application, and what every verb of it does alike."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="How far can a prediction be trusted? Judge predictions, compare methods, look at data.",
    pretty_exceptions_enable=False,
)


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


def say_written(*paths: Path | None) -> None:
    """Say which files were written."""
    for path in paths:
        if path is not None:
            typer.echo(f"wrote {path}")


def fail(error: Exception | None) -> None:
    """End with status 1 and one line a rule that was not kept."""
    if error is None:
        return
    for line in str(error).splitlines():
        typer.echo(f"FAILED: {line}", err=True)
    raise typer.Exit(1)


def pairs(option: str, texts: list[str]) -> list[tuple[str, Path]]:
    """Split ``NAME=FILE``."""
    found = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ValueError(
                f"{option} takes {'ROLE=NAME' if option == '--column' else 'NAME=FILE'}, got {text!r}."
            )
        found.append((name, Path(path)))
    return found


class clear_errors:  # noqa: N801 - used as a statement
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
def ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, by which a cluster or a container ends a run, stop it as cleanly as Ctrl-C."""
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def command_line() -> str:
    """Return what was typed, to be kept beside what came of it."""
    import shlex

    return shlex.join(["uncertain", *sys.argv[1:]])
