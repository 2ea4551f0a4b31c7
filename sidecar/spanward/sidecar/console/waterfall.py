"""A trace as a waterfall in the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from rich.table import Table
from rich.text import Text

from spanward.sidecar.console.output import printable

_COLUMNS: Final = [
    "span_id", "parent_span_id", "name", "service_name", "kind", "status_code", "start_unix_nano", "duration_ns", "pii",
    "quality_violations", "classification", "retention",
]  # fmt: skip
_NUMBERS_WIDTH: Final = 34
"""What the columns beside label and bar need: milliseconds, marks, lines between."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the waterfall: the span's fields and its depth under the root."""

    depth: int
    span: dict[str, Any]


def arrange(rows: pa.Table) -> list[Row]:
    """The spans of one trace as a tree, children by start time; orphans stand as roots of their own."""
    spans = rows.select([name for name in _COLUMNS if name in rows.column_names]).to_pylist()
    spans.sort(key=lambda span: (span["start_unix_nano"], span["span_id"]))
    known = {span["span_id"] for span in spans}
    children: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for span in spans:
        parent = span["parent_span_id"]
        children[parent if parent in known and parent != span["span_id"] else None].append(span)
    placed = list(_walk(children))
    # spans whose parents form a ring hang under nobody; they are shown all the same
    shown = {id(row.span) for row in placed}
    return placed + [Row(0, span) for span in spans if id(span) not in shown]


def _walk(children: dict[str | None, list[dict[str, Any]]]) -> Iterator[Row]:
    # a stack of our own: a trace may be deeper than Python's
    stack = [Row(0, span) for span in reversed(children[None])]
    seen: set[str] = set()
    while stack:
        row = stack.pop()
        yield row
        if row.span["span_id"] not in seen:
            seen.add(row.span["span_id"])
            stack += [Row(row.depth + 1, span) for span in reversed(children.get(row.span["span_id"], []))]


def render(trace_id: str, rows: pa.Table, *, limit: int = 60, width: int = 120) -> Table:
    """The waterfall as a rich table of at most `limit` spans, for a terminal of so many columns."""
    arranged = arrange(rows)
    begin = min(row.span["start_unix_nano"] for row in arranged)
    end = max(row.span["start_unix_nano"] + row.span["duration_ns"] for row in arranged)
    services = {row.span["service_name"] for row in arranged}
    table = Table(
        title=f"trace {trace_id}: {len(arranged)} spans, {len(services)} services, {(end - begin) / 1e6:,.2f} ms",
        title_justify="left",
        header_style="bold",
    )
    bar = max(12, (width - _NUMBERS_WIDTH) * 2 // 5)
    table.add_column("service: operation", overflow="ellipsis", no_wrap=True, max_width=width - _NUMBERS_WIDTH - bar)
    table.add_column("time", width=bar, no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("marks", overflow="fold")
    for row in arranged[:limit]:
        milliseconds = f"{row.span['duration_ns'] / 1e6:,.2f}"
        table.add_row(_label(row), _bar(row.span, begin, end, bar), milliseconds, _marks(row.span))
    if len(arranged) > limit:
        table.caption = f"{len(arranged) - limit} more spans; --limit shows them"
    return table


def _label(row: Row) -> Text:
    label = printable(f"{row.span['service_name'] or '?'}: {row.span['name']}")
    return Text("  " * min(row.depth, 16) + label.replace("\n", " "))


def _bar(span: dict[str, Any], begin: int, end: int, width: int) -> Text:
    scale = width / max(end - begin, 1)
    offset = min(int((span["start_unix_nano"] - begin) * scale), width - 1)
    length = max(1, min(round(max(span["duration_ns"], 0) * scale), width - offset))
    return Text(" " * offset) + Text("█" * length, style="red" if span["status_code"] == "error" else "cyan")


def _marks(span: dict[str, Any]) -> Text:
    words = [f"pii:{','.join(span['pii'])}"] if span["pii"] else []
    words += [f"quality:{','.join(span['quality_violations'])}"] if span["quality_violations"] else []
    if span["status_code"] == "error":
        words.insert(0, "error")
    return Text(" ".join(words), style="yellow")
