"""``uncertain data``: what sets there are, and what is in one."""

from __future__ import annotations

from typing import Annotated

import typer

from uncertain.cli.application import app, clear_errors, ended_like_ctrl_c

data_app = typer.Typer(no_args_is_help=True, help="Data sets: what there is, and what is in one.")
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list() -> None:
    """List the data sets, and which are here."""
    from uncertain.evaluation.console import print_table

    with clear_errors():
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
    with clear_errors(), ended_like_ctrl_c():
        from uncertain import data

        if bool(names) == every:
            raise ValueError("name the sets to fetch, or fetch every one with --all.")
        for name in names or data.REMOTE:
            data.fetch(name)


@data_app.command("show")
def data_show(name: str) -> None:
    """Show one data set's card: source, licence, sizes, classes, known problems."""
    from uncertain.evaluation.console import print_card

    with clear_errors():
        from uncertain import data

        print_card(name, data.show(name))
