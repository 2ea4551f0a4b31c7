"""Spans, a store in memory and a naive evaluator: what the tests of reading share."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from hypothesis import strategies as st

from spanward.processor.policy.span import (
    AttributeValue,
    EventRecord,
    LinkRecord,
    ResourceRecord,
    ScopeRecord,
    SpanRecord,
    Verdict,
)
from spanward.store.query import TraceQuery
from spanward.store.rows import build_rows
from spanward.store.schema import KINDS, PERCENTILES, SPANS, STATUSES

NOW_NS = 1_767_225_600_000_000_000


class MemorySnapshot:
    """Rows of one moment, in two batches so that nobody counts on one."""

    def __init__(self, rows: pa.Table) -> None:
        half = rows.num_rows // 2
        self.rows = pa.concat_tables([rows.slice(0, half), rows.slice(half)])

    def dataset(self) -> ds.Dataset:
        """The rows as SQL scans them."""
        return ds.dataset(self.rows)

    def to_table(self, *, columns: Sequence[str] | None = None, filter: Any = None) -> pa.Table:  # noqa: A002 - the interface
        """The rows for which the expression holds."""
        return self.dataset().to_table(columns=columns, filter=filter)

    def of_traces(self, trace_ids: Sequence[str], *, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of some traces."""
        names = None if columns is None else list(columns)
        return self.to_table(columns=names, filter=ds.field("trace_id").isin(pa.array(trace_ids, pa.string())))


class MemoryStore:
    """The reading side of a store, by tenant."""

    def __init__(self, **tenants: Iterable[SpanRecord]) -> None:
        self._tenants = {tenant: table_of(spans, tenant=tenant) for tenant, spans in tenants.items()}

    def snapshot(self, tenant: str | None = "default") -> MemorySnapshot:
        """A tenant's rows, or everybody's."""
        chosen = [table for name, table in self._tenants.items() if tenant in {None, name}]
        return MemorySnapshot(pa.concat_tables([SPANS.empty_table(), *chosen]).unify_dictionaries())

    def read_table(self, table: str, *, tenant: str | None) -> pa.Table:
        """A row of percentiles for each tenant."""
        assert table == "percentiles"
        chosen = [{**_PERCENTILE, "tenant": name} for name in self._tenants if tenant in {None, name}]
        return pa.Table.from_pylist(chosen, schema=PERCENTILES)


_PERCENTILE: dict[str, Any] = {
    **dict.fromkeys(PERCENTILES.names, 0),
    **dict.fromkeys(("service_name", "name", "kind", "status_code", "app_id"), "x"),
    "date": dt.date(2026, 1, 1),
    "minute": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "bucket_index": [1],
    "bucket_count": [1],
}


def table_of(spans: Iterable[SpanRecord], *, tenant: str = "default") -> pa.Table:
    return pa.table(build_rows(list(spans), tenant=tenant, received_at_ns=NOW_NS))


def span(
    trace: int = 1,
    number: int = 1,
    *,
    service: str | None = "shop",
    scope: ScopeRecord | None = None,
    resource: Mapping[str, AttributeValue] | None = None,
    parent: int = 0,
    start: int = 0,
    duration: int = 10,
    **fields: Any,
) -> SpanRecord:
    """A span whose ids are small numbers and whose times count from `NOW_NS`."""
    attributes = {**({"service.name": service} if service is not None else {}), **(resource or {})}
    return SpanRecord(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_span_id=f"{parent:016x}" if parent else "",
        name=fields.pop("name", "GET /"),
        start_unix_nano=NOW_NS + start,
        end_unix_nano=NOW_NS + start + duration,
        resource=ResourceRecord(attributes),
        scope=scope or ScopeRecord(),
        verdict=fields.pop("verdict", Verdict()),
        **fields,
    )


# --- random spans -----------------------------------------------------------------------------------------------------
KEYS = ("k", "http.route", "server.port", "spanward.memory_mb", "error", 'ü"/\\', "")
SCALARS: tuple[AttributeValue, ...] = ("x", "1", "true", "0.10", "", 1, -7, 0.1, 1.0, math.nan, True, False)
VALUES: tuple[AttributeValue, ...] = (*SCALARS, None, b"x", [1, "x"], {"x": 1}, {"@x": [None]}, '[1,"x"]', "eA==")

attributes = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
_scopes = st.builds(
    ScopeRecord, name=st.sampled_from(("", "lib")), version=st.sampled_from(("", "1")), attributes=attributes
)
_events = st.lists(st.builds(EventRecord, st.integers(0, 9), st.just("e"), attributes), max_size=2)
_links = st.lists(st.builds(LinkRecord, st.just("ab" * 16), st.just("cd" * 8), attributes=attributes), max_size=2)

spans = st.builds(
    span,
    st.integers(1, 6),
    st.integers(1, 8),
    service=st.sampled_from(("shop", "pay", None)),
    scope=_scopes,
    resource=attributes,
    parent=st.integers(0, 9),
    start=st.integers(0, 20),
    duration=st.integers(-2, 10),
    name=st.sampled_from(("GET /", "POST /")),
    kind=st.integers(0, len(KINDS)),
    status_code=st.integers(0, len(STATUSES) - 1),
    attributes=attributes,
    events=_events,
    links=_links,
)

_RESERVED = st.one_of(
    st.tuples(st.just("error"), st.sampled_from(("true", "false", True, False))),
    st.tuples(st.just("span.status"), st.sampled_from(("error", "OK", "Unset", "nonsense"))),
    st.tuples(st.just("span.kind"), st.sampled_from((*KINDS, "SERVER", "", "6"))),
    st.tuples(st.just("scope.name"), st.sampled_from(("", "lib"))),
    st.tuples(st.just("scope.version"), st.sampled_from(("", "1"))),
    st.tuples(st.just("resource.k"), st.sampled_from(SCALARS)),
    st.tuples(st.just("resource.service.name"), st.just("pay")),
)
_conditions = st.lists(st.one_of(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), _RESERVED), max_size=2).map(
    dict
)

_times = st.one_of(st.none(), st.integers(NOW_NS, NOW_NS + 20))
_durations = st.one_of(st.none(), st.integers(-2, 10))

queries = st.builds(
    TraceQuery,
    service_name=st.sampled_from(("", "", "shop", "pay", "nobody")),
    operation_name=st.sampled_from(("", "", "GET /", "nothing")),
    attributes=_conditions,
    start_min_ns=_times,
    start_max_ns=_times,
    duration_min_ns=_durations,
    duration_max_ns=_durations,
    limit=st.integers(-1, 6),
)


# --- the naive evaluator ----------------------------------------------------------------------------------------------
def expected_ids(stored: Sequence[SpanRecord], query: TraceQuery) -> list[str]:
    """What the query means, span by span."""
    newest: dict[str, int] = {}
    for one in stored:
        if holds(one, query):
            newest[one.trace_id] = max(one.start_unix_nano, newest.get(one.trace_id, 0))
    ordered = sorted(newest, key=lambda trace_id: (-newest[trace_id], trace_id))
    return ordered[: query.limit if query.limit > 0 else 20]


def service_of(one: SpanRecord) -> str | None:
    """The span's service."""
    name = one.resource.attributes.get("service.name")
    return name if isinstance(name, str) else None


def holds(one: SpanRecord, query: TraceQuery) -> bool:
    duration = one.end_unix_nano - one.start_unix_nano
    return (
        query.service_name in ("", service_of(one))
        and query.operation_name in {"", one.name}
        and _within(one.start_unix_nano, query.start_min_ns, query.start_max_ns)
        and _within(duration, query.duration_min_ns, query.duration_max_ns)
        and all(_has(one, key, value) for key, value in query.attributes.items())
    )


def _within(value: int, low: int | None, high: int | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def _has(one: SpanRecord, key: str, wanted: AttributeValue) -> bool:
    kind = KINDS[one.kind] if one.kind < len(KINDS) else str(one.kind)
    if key == "error" and str(wanted) in {
        "true",
        "false",
        "True",
        "False",
    }:  # 1 and 1.0 equal True, but mean themselves
        return (one.status_code == 2) is (str(wanted).lower() == "true")
    if key == "span.status":
        return STATUSES[one.status_code] == str(wanted).lower()
    if key == "span.kind":
        return kind == (str(wanted).lower() or "unspecified")
    if key in {"scope.name", "scope.version"}:
        return wanted == (one.scope.name if key == "scope.name" else one.scope.version)
    if key.startswith("resource."):
        return _found(one.resource.attributes, key.removeprefix("resource."), wanted)
    return any(_found(place, key, wanted) for place in places_of(one))


def places_of(one: SpanRecord) -> list[Mapping[str, AttributeValue]]:
    """Everywhere a span's attributes are."""
    own: list[Mapping[str, AttributeValue]] = [one.attributes, one.scope.attributes, one.resource.attributes]
    return own + [event.attributes for event in one.events] + [link.attributes for link in one.links]


def _found(place: Mapping[str, AttributeValue], key: str, wanted: AttributeValue) -> bool:
    return key in place and _same(place[key], wanted)


def _same(stored: AttributeValue, wanted: AttributeValue) -> bool:
    if isinstance(wanted, str) and not isinstance(stored, str):
        return wanted in _WRITTEN[repr(stored)]
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(stored, float) and math.isnan(stored)
    return type(stored) is type(wanted) and stored == wanted


_WRITTEN: dict[str, set[str]] = {
    "1": {"1"},
    "-7": {"-7"},
    "0.1": {"0.10"},
    "1.0": {"1"},
    "nan": set(),
    "True": {"true"},
    "False": set(),
    "None": {""},
    "b'x'": {"eA=="},
    "[1, 'x']": {'[1,"x"]'},
    "{'x': 1}": set(),
    "{'@x': [None]}": set(),
}
"""Of each value above that is no string: which strings above find it."""
