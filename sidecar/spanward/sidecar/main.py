"""The `spanward` command: loads the command line, or says what to install when it is not there."""

from __future__ import annotations

import os
import sys
from typing import Final

_ALLOCATOR: Final = {"MIMALLOC_ALLOW_THP": "0", "MIMALLOC_PURGE_DELAY": "100"}
"""How Arrow's allocator is to work; it looks once, when pyarrow is loaded.

A batch's memory is taken by one thread and given back by another some seconds later. With huge pages each return to the
system costs the clearing of two mebibytes for whatever is asked for next: a sixth of a loaded sidecar's CPU time, and
50 MiB of memory. And what is returned after 10 ms, which is the default, is asked for again before long: with a tenth
of a second of delay the system's share of the CPU time is two thirds of what it was, and the peak of memory no higher.
"""


def main() -> None:
    """Entry point of the console script."""
    for name, value in _ALLOCATOR.items():
        os.environ.setdefault(name, value)
    try:
        from spanward.sidecar.cli import app  # noqa: PLC0415 - the base install has no typer: say so instead of a traceback
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("spanward"):
            raise
        sys.exit(
            f"spanward: the command needs the package {error.name}; install it with: pip install 'spanward[sidecar]'"
        )
    app()
