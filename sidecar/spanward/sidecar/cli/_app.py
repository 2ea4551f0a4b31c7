"""What every command shares: the application, its options, its way of failing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, ParamSpec, TypeVar

import typer

from spanward.sidecar.console.output import console, errors
from spanward.store.errors import SpanwardError

P = ParamSpec("P")
R = TypeVar("R")

app: Final = typer.Typer(
    name="spanward",
    help="Governed OpenTelemetry traces: validated, privacy-checked, retained, queryable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    Path,
    typer.Option("--data", envvar="SPANWARD_DATA", help="The data folder.", show_default="./spanward-data"),
]
DEFAULT_DATA: Final = Path("spanward-data")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose spans.")]


def command(group: typer.Typer, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a command whose expected errors end in one line on stderr and exit code 1."""

    def register(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except SpanwardError as error:
                errors.print(f"spanward: {error}", markup=False, highlight=False, soft_wrap=True)
                raise typer.Exit(1) from None

        group.command(name)(guarded)
        return guarded

    return register


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"spanward {version('spanward')}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    *,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del show_version
