"""Printing for people and for programs, and opening what is to be printed."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spanward.store.errors import ConfigurationError
from spanward.store.span_store import SpanStore

console: Final = Console()
errors: Final = Console(stderr=True)
_SHORT: Final = 14
_LEAST: Final = 10
"""What a column of long texts needs to be readable."""
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}


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
    """Rows as a table for people, or one below the other where it would be too wide; says so when there are none."""
    if title:
        out.print(title, style="italic", highlight=False)
    if not rows:
        out.print("no rows", highlight=False)
        return
    names = columns or list(rows[0])
    columnwise = [_Column(name, rows) for name in names]
    if sum(column.least + 1 for column in columnwise) > out.width:
        _print_records(columnwise, len(rows), out)
        return
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columnwise:
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(Text(column.title), justify=justify, overflow="fold", no_wrap=column.short)
    for line in zip(*(column.cells for column in columnwise), strict=True):
        table.add_row(*map(Text, line))
    out.print(table)


class _Column:
    """A column of what is to be printed, and how much room it needs."""

    def __init__(self, name: str, rows: list[dict[str, Any]]) -> None:
        first = rows[0].get(name)
        self.title = printable(name)
        self.cells = [_cell(row.get(name)) for row in rows]
        self.numeric = isinstance(first, int | float) and not isinstance(first, bool)
        width = max(cell_len(line) for text in (self.title, *self.cells) for line in text.split("\n"))
        # numbers, dates and short words stay whole; long texts share what room is left
        self.short = width <= _SHORT
        self.least = width if self.short else _LEAST


def _print_records(columns: list[_Column], rows: int, out: Console) -> None:
    """Rows that are too wide for a table, a line a column."""
    for row in range(rows):
        out.print(f"row {row + 1}", style="bold", highlight=False)
        record = Table.grid(padding=(0, 1))
        record.add_column(no_wrap=True)
        record.add_column(overflow="fold")
        for column in columns:
            record.add_row(Text(column.title), Text(column.cells[row]))
        out.print(record)


def printable(text: str) -> str:
    """Without control characters other than line breaks: what a span holds must not steer the terminal."""
    return text.translate(_ESCAPES)


def milliseconds(nanoseconds: float) -> float:
    """Nanoseconds as milliseconds with three digits."""
    return round(nanoseconds / 1e6, 3)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return printable(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
