"""Rows of the table back to OTLP: the inverse of what the receiver did with the bytes.

Everything comes back but the order of attributes and the grouping: spans are put together by resource and scope, in
the order in which these first appear, so that no resource is sent twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from spanward.store._anyvalue import add_attribute, add_attributes
from spanward.store._groups import Groups, group_keys
from spanward.store._lists import nested, present, texts, values
from spanward.store.schema import (
    KINDS,
    PROMOTED_DOUBLES,
    PROMOTED_INTS,
    PROMOTED_STRINGS,
    SPANS,
    STATUSES,
    enum_number,
)
from spanward.store.values import loads, loads_attributes

_IN_FORCE: Final = frozenset(
    {"spanward.classification", "spanward.retention", "spanward.pii", "spanward.quality.violations"}
)
"""What is shown is the label that counts, never a lower one that the span claimed."""
_SLICE_ROWS: Final = 4096  # bounds what is held as messages at a time


def to_traces_data(rows: pa.Table | pa.RecordBatch, *, governance: bool = False) -> TracesData:
    """Build the OTLP message of the rows.

    Args:
        rows: spans with all columns of `SPANS`; the order of columns and the encoding of `resource` are free.
        governance: show what the policy said of each span as attributes (`spanward.classification`, `.retention`,
            `.pii`, `.quality.violations`), instead of what the span claimed of itself; `.quality.score` only where it
            has none, for that one is also the application's own.

    Raises:
        ValueError: a column is missing, or a cell holds what the writer of rows never makes.
    """
    data = TracesData()
    groups = Groups(data)
    for batch in _batches(rows):
        spans = [groups.add_span(key) for key in group_keys(batch)]
        _add_identity(spans, batch)
        _add_attributes(spans, batch)
        _add_events(spans, batch)
        _add_links(spans, batch)
        if governance:
            _add_governance(spans, batch)
    return data


def traces_data_chunks(
    rows: pa.Table | pa.RecordBatch, *, max_bytes: int, governance: bool = False
) -> Iterator[TracesData]:
    """The rows, in order, as messages whose encoded size stays below `max_bytes`; none for no rows.

    A single span that is larger than that comes alone, for there is no way to cut it.
    """
    for first in range(0, rows.num_rows, _SLICE_ROWS):
        yield from _chunks_of(rows.slice(first, _SLICE_ROWS), max_bytes, governance=governance)


def _chunks_of(rows: pa.Table | pa.RecordBatch, max_bytes: int, *, governance: bool) -> Iterator[TracesData]:
    data = to_traces_data(rows, governance=governance)
    size = data.ByteSize()
    if size < max_bytes or rows.num_rows == 1:
        yield data
        return
    pieces = min(rows.num_rows, size // max_bytes + 1 + size // (8 * max_bytes))  # some slack: spans differ in size
    step = -(-rows.num_rows // pieces)
    for first in range(0, rows.num_rows, step):
        yield from _chunks_of(rows.slice(first, step), max_bytes, governance=governance)


def _batches(rows: pa.Table | pa.RecordBatch) -> list[pa.RecordBatch]:
    missing = [name for name in SPANS.names if name not in rows.schema.names]
    if missing:
        raise ValueError(f"rows lack the column {missing[0]!r}; read all columns of the table to make OTLP of it")
    return [rows] if isinstance(rows, pa.RecordBatch) else rows.combine_chunks().to_batches()


def _add_identity(spans: list[Span], batch: pa.RecordBatch) -> None:
    _set_ids(spans, batch)
    _set_plain(spans, batch)
    starts, durations = values(batch.column("start_unix_nano")), values(batch.column("duration_ns"))
    kinds, statuses = values(batch.column("kind")), values(batch.column("status_code"))
    messages = texts(batch.column("status_message"))
    for span, start, duration, kind, status, message in zip(
        spans, starts, durations, kinds, statuses, messages, strict=True
    ):
        span.start_time_unix_nano = start
        span.end_time_unix_nano = start + duration
        span.kind = enum_number(KINDS, kind)
        span.status.SetInParent()
        span.status.code = enum_number(STATUSES, status)
        span.status.message = message


def _set_ids(spans: list[Span], batch: pa.RecordBatch) -> None:
    for field in ("trace_id", "span_id", "parent_span_id"):
        for span, text in zip(spans, texts(batch.column(field)), strict=True):
            setattr(span, field, bytes.fromhex(text))


def _set_plain(spans: list[Span], batch: pa.RecordBatch) -> None:
    """The fields whose cells go into the message as they are."""
    for field in (
        "name", "trace_state", "flags", "dropped_attributes_count", "dropped_events_count", "dropped_links_count",
    ):  # fmt: skip
        for row, value in present(batch.column(field)):
            setattr(spans[row], field, value)


def _add_attributes(spans: list[Span], batch: pa.RecordBatch) -> None:
    for promoted in (PROMOTED_STRINGS, PROMOTED_INTS, PROMOTED_DOUBLES):
        for key, column in promoted.items():
            for row, value in present(batch.column(column)):
                add_attribute(spans[row].attributes, key, value)
    for name in ("attributes_str", "attributes_int", "attributes_double", "attributes_bool", "attributes_json"):
        entries = nested(batch.column(name))
        keys, items = entries.children["key"], entries.children["value"]
        if name == "attributes_json":
            items = [loads(item) for item in items]
        for span, positions in zip(spans, entries, strict=True):
            for i in positions:
                add_attribute(span.attributes, keys[i], items[i])


def _add_events(spans: list[Span], batch: pa.RecordBatch) -> None:
    entries = nested(batch.column("events"))
    times, names = entries.children["time_unix_nano"], entries.children["name"]
    attributes, dropped = entries.children["attributes"], entries.children["dropped_attributes_count"]
    for span, positions in zip(spans, entries, strict=True):
        for i in positions:
            event = span.events.add()
            event.time_unix_nano = times[i]
            event.name = names[i]
            event.dropped_attributes_count = dropped[i]
            add_attributes(event.attributes, loads_attributes(attributes[i]))


def _add_links(spans: list[Span], batch: pa.RecordBatch) -> None:
    entries = nested(batch.column("links"))
    columns = entries.children
    for span, positions in zip(spans, entries, strict=True):
        for i in positions:
            link = span.links.add()
            link.trace_id = bytes.fromhex(columns["trace_id"][i])
            link.span_id = bytes.fromhex(columns["span_id"][i])
            link.trace_state = columns["trace_state"][i]
            link.flags = columns["flags"][i]
            link.dropped_attributes_count = columns["dropped_attributes_count"][i]
            add_attributes(link.attributes, loads_attributes(columns["attributes"][i]))


def _add_governance(spans: list[Span], batch: pa.RecordBatch) -> None:
    labels = {
        "spanward.classification": values(batch.column("classification")),
        "spanward.retention": values(batch.column("retention")),
        "spanward.quality.score": values(batch.column("quality_score")),
        "spanward.pii": _lists(batch.column("pii")),
        "spanward.quality.violations": _lists(batch.column("quality_violations")),
    }
    for row, span in enumerate(spans):
        present = {attribute.key: position for position, attribute in enumerate(span.attributes)}
        claims = sorted(present[key] for key in _IN_FORCE if key in present)
        for position in reversed(claims):
            del span.attributes[position]
        for key, column in labels.items():
            if column[row] != [] and (key in _IN_FORCE or key not in present):
                add_attribute(span.attributes, key, column[row])


def _lists(array: pa.Array) -> list[list[Any]]:
    entries = nested(array)
    items = entries.children["item"]
    return [[items[i] for i in positions] for positions in entries]
