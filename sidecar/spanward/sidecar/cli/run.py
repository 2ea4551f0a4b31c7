"""`spanward sidecar`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from spanward.sidecar import service
from spanward.sidecar.cli._app import DEFAULT_DATA, Data, app, command
from spanward.sidecar.config import load


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
        sys.stdout.write(yaml.safe_dump(resolved.effective(), sort_keys=False))
        return
    service.run(resolved, data.expanduser().resolve())
