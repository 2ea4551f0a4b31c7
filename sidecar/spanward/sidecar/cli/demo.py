"""`spanward demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from spanward.sidecar.cli._app import AsJson, app, command
from spanward.sidecar.console.output import console, print_json
from spanward.sidecar.demo.run import run_demo


@command(app)
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the sidecar running and the data in place.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Where to put the data; must be empty.", show_default="a temporary folder"),
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=10, help="HTTP requests to the example service.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Run the main job end to end on real traffic and verify every step; exit code 0 only if all hold."""
    run = run_demo(Console(quiet=True) if as_json else console, keep=keep, data=data, requests=requests)
    if as_json:
        claims = [{"claim": claim, "holds": holds, "seen": seen} for claim, holds, seen in run.checks]
        print_json({"verified": run.verified, "data": str(run.data), "claims": claims})
    if not run.verified:
        raise typer.Exit(1)
