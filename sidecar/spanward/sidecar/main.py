"""The `spanward` command: loads the command line, or says what to install when it is not there."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    try:
        from spanward.sidecar.cli import app  # noqa: PLC0415 - the base install has no typer: say so instead of a traceback
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("spanward"):
            raise
        sys.exit(
            f"spanward: the command needs the package {error.name}; install it with: pip install 'spanward[sidecar]'"
        )
    app()
