"""Trace queries against a naive evaluator of the same words."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from spanward.processor.policy.span import SpanRecord
from spanward.store import _search
from spanward.store.query import Dependency, TraceQuery, TraceReader
from spanward.store.schema import KINDS
from tests.unit.reading.support import NOW_NS, MemoryStore, expected_ids, places_of, queries, service_of, spans

_many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_stored = st.lists(spans, max_size=10)


@_many
@given(_stored, queries, st.sampled_from((1, 3, 20_000)))
def test_a_query_finds_what_a_naive_evaluator_finds(stored: list[SpanRecord], query: TraceQuery, block: int) -> None:
    """Random spans, query and block size: the same traces come in the same order.

    So neither pruning by clear columns, nor the vectorised search, nor stopping early loses or invents one.
    """
    with patch.object(_search, "_FIRST_BLOCK", block):
        found = TraceReader(MemoryStore(default=stored)).trace_ids("default", query)
    assert [trace.trace_id for trace in found] == expected_ids(stored, query)


@_many
@given(_stored, st.integers(0, 1000), st.booleans())
def test_an_attribute_that_is_there_is_found(stored: list[SpanRecord], pick: int, service: bool) -> None:
    """A condition taken from the stored spans themselves, in whatever place it stands: every trace that has it."""
    there = [(one, item) for one in stored for place in places_of(one) for item in place.items()]
    assume(there)
    one, (key, value) = there[pick % len(there)]
    query = TraceQuery(service_name=(service_of(one) or "") if service else "", attributes={key: value})
    found = TraceReader(MemoryStore(default=stored)).trace_ids("default", query)
    assert [trace.trace_id for trace in found] == expected_ids(stored, query)


@_many
@given(_stored, queries)
def test_summaries_and_bounds_agree_with_the_whole_traces(stored: list[SpanRecord], query: TraceQuery) -> None:
    """Counts and times of a summary are those of the spans that reading the trace gives."""
    reader = TraceReader(MemoryStore(default=stored))
    found = reader.trace_ids("default", query)
    tables = list(reader.traces("default", [trace.trace_id for trace in found]))
    for trace, summary, table in zip(found, reader.summaries("default", query), tables, strict=True):
        members = [one for one in stored if one.trace_id == trace.trace_id]
        ids = {one.span_id for one in members}
        assert (summary.trace_id, summary.start_ns, summary.end_ns) == (trace.trace_id, trace.start_ns, trace.end_ns)
        assert summary.start_ns == min(one.start_unix_nano for one in members)
        assert summary.end_ns == max(one.end_unix_nano for one in members)
        assert summary.spans == len(members) == table.num_rows == sum(part.spans for part in summary.services)
        assert summary.errors == sum(one.status_code == 2 for one in members)
        assert summary.errors == sum(part.errors for part in summary.services)
        orphans = [one for one in members if one.parent_span_id and one.parent_span_id not in ids]
        assert summary.orphans == len(orphans)
        roots = [one for one in members if not one.parent_span_id] or orphans
        assert (not roots and not summary.root_operation) or summary.root_operation in {one.name for one in roots}


@_many
@given(_stored, st.lists(st.integers(0, 8), max_size=5))
def test_traces_come_whole_in_the_order_asked_for(stored: list[SpanRecord], wanted: list[int]) -> None:
    """Known, unknown and repeated ids: each known trace comes once, with every span and duplicate, by start time."""
    ids = [f"{number:032X}" for number in wanted]
    tables = list(TraceReader(MemoryStore(default=stored)).traces("default", ids))
    known = [one for one in dict.fromkeys(text.lower() for text in ids) if any(s.trace_id == one for s in stored)]
    assert [table.column("trace_id")[0].as_py() for table in tables] == known
    for trace_id, table in zip(known, tables, strict=True):
        members = Counter((one.span_id, one.start_unix_nano, one.name) for one in stored if one.trace_id == trace_id)
        rows = table.select(["span_id", "start_unix_nano", "name"]).to_pylist()
        assert Counter(tuple(row.values()) for row in rows) == members
        assert [row["start_unix_nano"] for row in rows] == sorted(row["start_unix_nano"] for row in rows)


@_many
@given(_stored, st.integers(0, 20), st.integers(0, 20))
def test_dependencies_are_the_calls_between_services(stored: list[SpanRecord], first: int, last: int) -> None:
    """Parents outside the window, missing, or sharing an id: each call across services counts once per caller."""
    expected: Counter[tuple[str, str]] = Counter()
    for one in stored:
        child = service_of(one)
        inside = NOW_NS + first <= one.start_unix_nano <= NOW_NS + last
        callers = {
            service_of(other)
            for other in stored
            if (other.trace_id, other.span_id) == (one.trace_id, one.parent_span_id)
        }
        for caller in callers - {child, None} if inside and child else set[str]():
            expected[str(caller), str(child)] += 1
    found = TraceReader(MemoryStore(default=stored)).dependencies("default", NOW_NS + first, NOW_NS + last)
    assert found == [Dependency(*edge, count) for edge, count in sorted(expected.items())]


@_many
@given(_stored, st.sampled_from(("", "shop", "nobody")), st.sampled_from((None, "", *KINDS)))
def test_services_and_operations_are_distinct_and_sorted(
    stored: list[SpanRecord], service: str, kind: str | None
) -> None:
    """The lists a search form offers: each name once, in order, and only what was asked for."""
    reader = TraceReader(MemoryStore(default=stored))
    names = {service_of(one) or "" for one in stored} - {""}
    assert reader.services("default") == sorted(names)
    words = [(one, KINDS[one.kind] if one.kind < len(KINDS) else str(one.kind)) for one in stored]
    expected = {
        (one.name, word) for one, word in words if service in {"", service_of(one)} and kind in {None, "", word}
    }
    assert reader.operations("default", service, kind) == sorted(expected)
