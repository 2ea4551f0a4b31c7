"""Finding the traces that a query means, without reading more of the table than it takes.

First the clear columns say which spans can match at all. What is left to look at (attributes, scope) lies in payload
columns, which are large and encrypted: these are read newest first, in blocks of spans that grow, until enough traces
are found. Blocks are ranges of start time, by which files and row groups are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanward.processor.policy.span import AttributeValue
from spanward.store._attribute_search import AttributeSearch, ColumnSearch, Mask, ResourceSearch
from spanward.store._shown_search import SHOWN_KEYS, ShownSearch
from spanward.store._source import Rows
from spanward.store._trace_query import DEFAULT_LIMIT, TraceQuery

_FIRST_BLOCK: Final = 20_000  # spans
_GROWTH: Final = 4

_RESOURCE_PREFIX: Final = "resource."


class _Search(Protocol):
    @property
    def columns(self) -> Sequence[str]: ...

    def mask(self, batch: pa.RecordBatch) -> Mask: ...


def matching_traces(rows: Rows, query: TraceQuery) -> list[str]:
    """Ids of the traces that have a span for which the query holds, the one whose matching span started last first."""
    clear, searches = _plan(query)
    limit = query.limit if query.limit > 0 else DEFAULT_LIMIT
    columns = list(dict.fromkeys(("trace_id", "start_unix_nano", *(name for one in searches for name in one.columns))))
    newest: dict[str, int] = {}
    for first, last in _blocks(rows, clear):
        table = rows.to_table(columns=columns, filter=_all([*clear, *_start_between(first, last)]))
        for trace_id, start in _matches(table, searches):
            newest[trace_id] = max(start, newest.get(trace_id, start))
        if len(newest) >= limit:  # later blocks hold older spans only
            break
    return sorted(newest, key=lambda trace_id: (-newest[trace_id], trace_id))[:limit]


def _blocks(rows: Rows, clear: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Ranges of start time, newest first, that together cover every candidate; spans of one time stay together."""
    starts = rows.to_table(columns=["start_unix_nano"], filter=_all(clear)).column(0).to_numpy()
    starts = np.sort(starts)
    end, size = len(starts), _FIRST_BLOCK
    while end > 0:
        first = int(starts[max(0, end - size)])
        yield first, int(starts[end - 1])
        end = int(np.searchsorted(starts, first, side="left"))
        size *= _GROWTH


def _matches(table: pa.Table, searches: Sequence[_Search]) -> Iterator[tuple[str, int]]:
    """(trace id, latest start) of the rows that every search holds for."""
    for batch in table.to_batches():
        mask = np.ones(batch.num_rows, dtype=np.bool_)
        for search in searches:
            mask &= search.mask(batch)
        found = pa.table(batch.select(["trace_id", "start_unix_nano"]).filter(pa.array(mask)))
        latest = found.group_by("trace_id").aggregate([("start_unix_nano", "max")])
        yield from zip(*(latest.column(name).to_pylist() for name in ("trace_id", "start_unix_nano_max")), strict=True)


def _plan(query: TraceQuery) -> tuple[list[Any], list[_Search]]:
    """The query as conditions on clear columns, and what is left to search in payload."""
    clear = [*_start_between(query.start_min_ns, query.start_max_ns), *_durations(query)]
    if query.service_name:
        clear.append(pc.field("service_name") == query.service_name)
    if query.operation_name:
        clear.append(pc.field("name") == query.operation_name)
    searches: list[_Search] = []
    for key, value in query.attributes.items():
        reserved = _reserved(key, value)
        if reserved is None:
            searches.append(_search(key, value))
        else:
            clear.append(reserved)
    return clear, searches


def _reserved(key: str, value: AttributeValue) -> Any:
    """The condition on a clear column that a reserved key stands for; None when it is an attribute after all."""
    word = str(value).lower()
    if key == "error" and word in {"true", "false"}:
        is_error = pc.field("status_code") == "error"
        return is_error if word == "true" else ~is_error
    if key == "span.status":
        return pc.field("status_code") == word
    if key == "span.kind":
        return pc.field("kind") == (word or "unspecified")
    return None


def _search(key: str, value: AttributeValue) -> _Search:
    columns: dict[str, Callable[[str, AttributeValue], _Search]] = {
        "scope.name": lambda _, wanted: ColumnSearch("scope_name", wanted),
        "scope.version": lambda _, wanted: ColumnSearch("scope_version", wanted),
    }
    if key in columns:
        return columns[key](key, value)
    if key in SHOWN_KEYS:
        return ShownSearch(key, value)
    if key.startswith(_RESOURCE_PREFIX):
        return ResourceSearch(key.removeprefix(_RESOURCE_PREFIX), value)
    return AttributeSearch(key, value)


def _start_between(first: int | None, last: int | None) -> list[Any]:
    return _between("start_unix_nano", first, last)


def _durations(query: TraceQuery) -> list[Any]:
    return _between("duration_ns", query.duration_min_ns, query.duration_max_ns)


def _between(column: str, low: int | None, high: int | None) -> list[Any]:
    conditions: list[Any] = []
    if low is not None:
        conditions.append(pc.field(column) >= pa.scalar(low, pa.int64()))
    if high is not None:
        conditions.append(pc.field(column) <= pa.scalar(high, pa.int64()))
    return conditions


def _all(conditions: Sequence[Any]) -> Any:
    """The conjunction, None for no condition."""
    expression = None
    for condition in conditions:
        expression = condition if expression is None else expression & condition
    return expression
