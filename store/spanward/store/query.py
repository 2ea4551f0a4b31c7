"""Trace queries: what Jaeger, the command line and the API ask of the table.

Every method looks at one snapshot, so that its answer is of one moment. All of them block: call them off the event
loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from spanward.store._dependencies import EDGE_COLUMNS, dependencies, unresolved_traces
from spanward.store._search import matching_traces
from spanward.store._source import RowSource
from spanward.store._summaries import BOUNDS_COLUMNS, SUMMARY_COLUMNS, bounds, summaries
from spanward.store._trace_query import (
    DEFAULT_LIMIT,
    Dependency,
    FoundTrace,
    ServiceSummary,
    TraceQuery,
    TraceSummary,
)

__all__ = [
    "DEFAULT_LIMIT",
    "Dependency",
    "FoundTrace",
    "ServiceSummary",
    "TraceQuery",
    "TraceReader",
    "TraceSummary",
]

_TRACES_AT_ONCE: Final = 32  # whole traces held in memory at a time


class TraceReader:
    """Answers trace queries from a store; safe to call from several threads.

    "Newest first" means: the trace first whose latest matching span started last; of equal ones the smaller id. A
    trace that expires, or is erased, while its answer is read is simply absent.
    """

    def __init__(self, store: RowSource) -> None:
        self._store = store

    def services(self, tenant: str) -> list[str]:
        """The names of all services, sorted; spans whose resource names none are left out."""
        names = self._store.snapshot(tenant).to_table(columns=["service_name"], filter=None).column(0)
        return sorted(name for name in names.unique().to_pylist() if name)

    def operations(self, tenant: str, service: str, kind: str | None = None) -> list[tuple[str, str]]:
        """(span name, kind word) of each operation of a service, sorted.

        Args:
            tenant: whose spans.
            service: its name; "" for any service.
            kind: a word of `spanward.store.schema.KINDS`; None or "" for any.
        """
        conditions = [pc.field("service_name") == service] if service else []
        conditions += [pc.field("kind") == kind] if kind else []
        condition = None if not conditions else conditions[0] if len(conditions) == 1 else conditions[0] & conditions[1]
        table = self._store.snapshot(tenant).to_table(columns=["name", "kind"], filter=condition)
        distinct = table.group_by(["name", "kind"]).aggregate([])
        return sorted(zip(*(distinct.column(name).to_pylist() for name in ("name", "kind")), strict=True))

    def trace_ids(self, tenant: str, query: TraceQuery) -> list[FoundTrace]:
        """The traces that have a span for which the query holds, newest first, at most `query.limit`."""
        rows = self._store.snapshot(tenant)
        ids = matching_traces(rows, query)
        found = bounds(rows.of_traces(ids, columns=BOUNDS_COLUMNS))
        return [found[trace_id] for trace_id in ids]

    def traces(self, tenant: str, trace_ids: Sequence[str]) -> Iterator[pa.Table]:
        """Whole traces in the order asked for, each a table of the schema `SPANS` ordered by start time.

        Ids are hex in any case. Unknown ids yield nothing, one asked for twice yields once, spans that share an id are
        all there.
        """
        ids = list(dict.fromkeys(trace_id.lower() for trace_id in trace_ids))
        rows = self._store.snapshot(tenant)
        for first in range(0, len(ids), _TRACES_AT_ONCE):
            block = ids[first : first + _TRACES_AT_ONCE]
            yield from _by_trace(rows.of_traces(block), block)

    def summaries(self, tenant: str, query: TraceQuery) -> list[TraceSummary]:
        """The traces of `trace_ids`, each in one line."""
        rows = self._store.snapshot(tenant)
        ids = matching_traces(rows, query)
        found = summaries(rows.of_traces(ids, columns=SUMMARY_COLUMNS))
        return [found[trace_id] for trace_id in ids]

    def dependencies(self, tenant: str, start_ns: int, end_ns: int) -> list[Dependency]:
        """Calls between different services whose span started in the window (both ends inclusive).

        The calling span is found by the parent's id in the same trace, also when it started outside the window. Calls
        within one service, and those whose parent is missing, are not counted.
        """
        rows = self._store.snapshot(tenant)
        start = pc.field("start_unix_nano")
        window = (start >= pa.scalar(start_ns, pa.int64())) & (start <= pa.scalar(end_ns, pa.int64()))
        inside = rows.to_table(columns=list(EDGE_COLUMNS), filter=window)
        lost = unresolved_traces(inside)
        outside = rows.of_traces(lost, columns=EDGE_COLUMNS)
        return dependencies(inside, pa.concat_tables([inside, outside]))


def _by_trace(table: pa.Table, trace_ids: Iterable[str]) -> Iterator[pa.Table]:
    """Cut a table of several traces into one for each id that it has."""
    table = table.sort_by([("trace_id", "ascending"), ("start_unix_nano", "ascending")])
    runs = pc.call_function("run_end_encode", [table.column("trace_id").combine_chunks()])
    parts: dict[str, pa.Table] = {}
    position = 0
    for trace_id, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        parts[trace_id] = table.slice(position, end - position)
        position = end
    yield from (parts[trace_id] for trace_id in trace_ids if trace_id in parts)
