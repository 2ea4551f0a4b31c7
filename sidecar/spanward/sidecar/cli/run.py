"""`spanward sidecar`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from spanward.sidecar import service
from spanward.sidecar.cli._app import DEFAULT_DATA, Data, app, command
from spanward.sidecar.config import load
from spanward.sidecar.console.output import console


@command(app)
def sidecar(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Collector-style YAML; without it a loopback default runs."),
    ] = None,
    data: Data = DEFAULT_DATA,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the effective configuration and exit."),
    ] = False,
) -> None:
    """Run the sidecar: OTLP in, governed Delta tables out, Jaeger's storage API beside them."""
    resolved = load(config)
    if print_config:
        console.print(yaml.safe_dump(resolved.effective(), sort_keys=False), end="", markup=False, highlight=False)
        return
    service.run(resolved, data.expanduser().resolve())
