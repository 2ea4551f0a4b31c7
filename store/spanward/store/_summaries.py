"""Traces in one line each, computed from clear columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from spanward.store._lists import texts, values
from spanward.store._trace_query import FoundTrace, ServiceSummary, TraceSummary

BOUNDS_COLUMNS: Final = ("trace_id", "start_unix_nano", "duration_ns")
SUMMARY_COLUMNS: Final = (
    *BOUNDS_COLUMNS, "span_id", "parent_span_id", "service_name", "name", "status_code",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    duration: int
    span_id: str
    parent: str
    service: str
    name: str
    status: str


def bounds(table: pa.Table) -> dict[str, FoundTrace]:
    """First start and last end of each trace, by id; `table` has `BOUNDS_COLUMNS`."""
    found: dict[str, tuple[int, int]] = {}
    for trace_id, start, duration in zip(*_lists(table, BOUNDS_COLUMNS), strict=True):
        end = start + duration
        first, last = found.get(trace_id, (start, end))
        found[trace_id] = (min(first, start), max(last, end))
    return {trace_id: FoundTrace(trace_id, *span) for trace_id, span in found.items()}


def summaries(table: pa.Table) -> dict[str, TraceSummary]:
    """A summary of each trace, by id; `table` has `SUMMARY_COLUMNS` and all spans of its traces."""
    spans: dict[str, list[_Span]] = {}
    trace_ids, *rest = _lists(table, SUMMARY_COLUMNS)
    for trace_id, cells in zip(trace_ids, zip(*rest, strict=True), strict=True):
        spans.setdefault(trace_id, []).append(_Span(*cells))
    return {trace_id: _summary(trace_id, members) for trace_id, members in spans.items()}


def _lists(table: pa.Table, columns: Sequence[str]) -> list[list[Any]]:
    arrays = (table.column(name).combine_chunks() for name in columns)
    return [texts(array) if pa.types.is_string(array.type) else values(array) for array in arrays]


def _summary(trace_id: str, spans: Sequence[_Span]) -> TraceSummary:
    ids = {span.span_id for span in spans}
    orphans = [span for span in spans if span.parent and span.parent not in ids]
    root = _earliest(span for span in spans if not span.parent) or _earliest(orphans)
    return TraceSummary(
        trace_id=trace_id,
        root_service=root.service if root else "",
        root_operation=root.name if root else "",
        start_ns=min(span.start for span in spans),
        end_ns=max(span.start + span.duration for span in spans),
        spans=len(spans),
        errors=sum(span.status == "error" for span in spans),
        orphans=len(orphans),
        services=_services(spans),
    )


def _earliest(spans: Iterable[_Span]) -> _Span | None:
    return min(spans, key=lambda span: (span.start, span.span_id), default=None)


def _services(spans: Sequence[_Span]) -> tuple[ServiceSummary, ...]:
    counts = Counter(span.service for span in spans)
    errors = Counter(span.service for span in spans if span.status == "error")
    return tuple(ServiceSummary(name, count, errors[name]) for name, count in sorted(counts.items()))
