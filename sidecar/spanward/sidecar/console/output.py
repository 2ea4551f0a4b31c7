"""Printing for people and for programs, and opening what is to be printed."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from spanward.store.errors import ConfigurationError
from spanward.store.span_store import SpanStore

console: Final = Console()
errors: Final = Console(stderr=True)
_SHORT: Final = 14


@contextmanager
def open_store(data: Path, *, maintenance: bool = False) -> Generator[SpanStore, None, None]:
    """The store of an existing data folder, to read it or (maintenance) to remove what has expired.

    A running sidecar does not mind.

    Raises:
        ConfigurationError: there is no data folder at `data`.
    """
    if not data.is_dir():
        raise ConfigurationError(
            f"{data}: there is no data folder here; name one with --data, or start `spanward sidecar`"
        )
    store = SpanStore.open(data, read_only=not maintenance, maintenance=maintenance)
    try:
        yield store
    finally:
        store.close()


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, default=_plain, ensure_ascii=False) + "\n")


def print_rows(
    title: str,
    rows: list[dict[str, Any]],
    *,
    columns: list[str] | None = None,
    out: Console = console,
) -> None:
    """Rows as a table for people; says so when there are none."""
    if title:
        out.print(title, style="italic", highlight=False)
    if not rows:
        out.print("no rows", highlight=False)
        return
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    names = columns or list(rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    for position, name in enumerate(names):
        numeric = isinstance(rows[0].get(name), int | float) and not isinstance(rows[0].get(name), bool)
        # numbers, dates and short words stay whole; long texts share what room is left
        short = max(len(line[position]) for line in cells) <= _SHORT
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=short)
    for line in cells:
        table.add_row(*line)
    out.print(table)


def milliseconds(nanoseconds: float) -> float:
    """Nanoseconds as milliseconds with three digits."""
    return round(nanoseconds / 1e6, 3)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
