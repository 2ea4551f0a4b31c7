"""Trace queries where one example says more than many random ones."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from spanward.processor.policy.span import EventRecord, LinkRecord, ScopeRecord
from spanward.store import _search
from spanward.store._matching import Wanted
from spanward.store.query import DEFAULT_LIMIT, TraceQuery, TraceReader
from spanward.store.schema import CLEAR_COLUMNS, SPANS
from tests.unit.reading.support import NOW_NS, MemorySnapshot, MemoryStore, span


class SpyingSnapshot(MemorySnapshot):
    """Notes which columns are read, and of how many rows."""

    def __init__(self, rows: pa.Table, reads: list[tuple[tuple[str, ...], int]]) -> None:
        super().__init__(rows)
        self._reads = reads

    def to_table(self, *, columns: Any = None, filter: Any = None) -> pa.Table:  # noqa: A002 - the interface
        """The rows, noted."""
        table = super().to_table(columns=columns, filter=filter)
        self._reads.append((tuple(table.column_names), table.num_rows))
        return table


class SpyingStore(MemoryStore):
    """A store whose reads are noted."""

    def __init__(self, **tenants: Any) -> None:
        super().__init__(**tenants)
        self.reads: list[tuple[tuple[str, ...], int]] = []

    def snapshot(self, tenant: str | None = "default") -> MemorySnapshot:
        """The tenant's rows, noted when read."""
        return SpyingSnapshot(super().snapshot(tenant).rows, self.reads)


def find(store: MemoryStore, **conditions: Any) -> list[int]:
    """The numbers of the traces found."""
    return [int(found.trace_id, 16) for found in TraceReader(store).trace_ids("default", TraceQuery(**conditions))]


def test_an_empty_store_answers_everything() -> None:
    """Scenario: nothing was stored yet. Guarantee: empty answers, no errors."""
    reader = TraceReader(MemoryStore())
    assert reader.services("default") == []
    assert reader.operations("default", "") == []
    assert reader.trace_ids("default", TraceQuery(attributes={"k": "v", "scope.name": "x"})) == []
    assert reader.summaries("default", TraceQuery()) == []
    assert list(reader.traces("default", ["00" * 16])) == []
    assert list(reader.traces("default", [])) == []
    assert reader.dependencies("default", 0, 1 << 62) == []


def test_a_tenant_sees_its_own_traces_only() -> None:
    """Scenario: two tenants use the same trace id. Guarantee: each reads its own spans of it."""
    reader = TraceReader(MemoryStore(default=[span(1, 1)], acme=[span(1, 2), span(2, 1)]))
    (table,) = reader.traces("default", [f"{1:032x}"])
    assert table.num_rows == 1
    assert len(reader.trace_ids("acme", TraceQuery())) == 2
    assert reader.services("nobody") == []


def test_one_span_must_satisfy_every_condition() -> None:
    """Scenario: two spans of a trace each meet one of two conditions. Guarantee: the trace is not found."""
    store = MemoryStore(default=[span(1, 1, attributes={"a": "1"}), span(1, 2, attributes={"b": "1"}, service="pay")])
    assert find(store, attributes={"a": "1"}) == [1]
    assert find(store, attributes={"a": "1", "b": "1"}) == []
    assert find(store, service_name="pay", attributes={"a": "1"}) == []


@pytest.mark.parametrize(
    "place",
    [
        {"attributes": {"k": "v"}},
        {"resource": {"k": "v"}},
        {"scope": ScopeRecord(attributes={"k": "v"})},
        {"events": [EventRecord(1, "a"), EventRecord(1, "e", {"k": "v"})]},
        {"links": [LinkRecord("ab" * 16, "cd" * 8), LinkRecord("ab" * 16, "cd" * 8, attributes={"k": "v"})]},
    ],
)
def test_attributes_are_found_wherever_they_are(place: dict[str, Any]) -> None:
    """Scenario: an attribute on span, resource, scope, event or link. Guarantee: found, and on its own span only."""
    store = MemoryStore(default=[span(1, 1), span(2, 1, **place), span(3, 1)])
    assert find(store, attributes={"k": "v"}) == [2]
    assert find(store, attributes={"k": "w"}) == []


def test_reserved_keys_mean_what_they_say() -> None:
    """Scenario: the keys that are no attributes. Guarantee: status, kind, scope and resource are looked at instead."""
    failed = span(1, 1, status_code=2, kind=2, scope=ScopeRecord("lib", "1"), resource={"k": "v"})
    store = MemoryStore(
        default=[failed, span(2, 1, start=-1, attributes={"k": "v", "error": "maybe", "scope.name": "lib"})]
    )
    cases = {("error", "true"): [1], ("error", False): [2], ("error", "maybe"): [2], ("span.status", "ERROR"): [1]}
    cases |= {
        ("span.kind", "Server"): [1],
        ("span.kind", ""): [2],
        ("scope.name", "lib"): [1],
        ("scope.version", ""): [2],
    }
    cases |= {("resource.k", "v"): [1], ("resource.service.name", "shop"): [1, 2], ("k", "v"): [1, 2]}
    for (key, value), expected in cases.items():
        assert find(store, attributes={key: value}) == expected, key


def test_a_promoted_key_of_another_type_is_found() -> None:
    """Scenario: `server.port` as int, string and double. Guarantee: each is found by its type and by its text."""
    spans = [span(i + 1, 1, attributes={"server.port": value}) for i, value in enumerate((80, "80", 80.0))]
    store = MemoryStore(default=spans)
    assert find(store, attributes={"server.port": "80"}) == [1, 2, 3]
    assert find(store, attributes={"server.port": 80}) == [1]
    assert find(store, attributes={"server.port": 80.0}) == [3]
    assert find(store, attributes={"server.port": 1 << 70}) == []


@pytest.mark.parametrize(
    ("wanted", "stored", "equal"),
    [
        ("007", 7, False),
        ("-0", 0, False),
        ("9223372036854775808", 9223372036854775807, False),
        ("-9223372036854775808", -(1 << 63), True),
        ("1e3", 1000.0, True),
        (" 1", 1.0, False),
        ("1_0", 10.0, False),
        ("NaN", math.nan, True),
        ("-Infinity", -math.inf, True),
        ("+Inf", math.inf, True),
        ("True", True, False),
        ("false", False, True),
        (1, True, False),
        (True, 1, False),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}, True),
        ([1], [1.0], False),
        ([1, 2], (1, 2), True),
        ('{"a":1}', {"a": 1}, True),
        (None, "", False),
        ("", None, True),
        (b"x", b"x", True),
        (b"x", "eA==", False),
    ],
)
def test_values_match_by_type_or_by_their_text(wanted: Any, stored: Any, equal: bool) -> None:
    """Scenario: values at the edges of what text can say. Guarantee: equal or not, as documented."""
    assert Wanted(wanted).equals(stored) is equal


def test_a_value_that_is_no_attribute_value_is_a_mistake() -> None:
    """Scenario: a caller passes something that OTLP has no type for. Guarantee: said at once."""
    with pytest.raises(TypeError, match="cannot be a set"):
        Wanted("x").equals({"a"})


def test_newest_first_is_the_latest_matching_span() -> None:
    """Scenario: an old trace with one late span. Guarantee: it comes first when that span matches, else last."""
    late = span(1, 2, start=100, name="late")
    store = MemoryStore(default=[span(1, 1), late, span(2, 1, start=50), span(3, 1, start=50)])
    assert find(store) == [1, 2, 3]
    assert find(store, operation_name="GET /") == [2, 3, 1]
    assert find(store, limit=1) == [1]


def test_no_limit_means_the_default() -> None:
    """Scenario: limit 0, as from a client that sets none. Guarantee: the documented number of traces."""
    store = MemoryStore(default=[span(i + 1, 1, start=i) for i in range(DEFAULT_LIMIT + 5)])
    assert len(find(store, limit=0)) == DEFAULT_LIMIT
    assert len(find(store, limit=-3)) == DEFAULT_LIMIT
    assert len(find(store, limit=22)) == 22


def test_payload_is_read_for_candidates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: a search by attribute among many spans of which few can match.

    Guarantee: clear columns first; payload of the service's spans only, newest first, and no more once enough is found.
    """
    monkeypatch.setattr(_search, "_FIRST_BLOCK", 5)
    mine = [span(i + 1, 1, start=i, attributes={"k": "v"}) for i in range(50)]
    others = [span(i + 100, 1, start=i, service="pay", attributes={"k": "v"}) for i in range(50)]
    store = SpyingStore(default=[*mine, *others])
    assert find(store, service_name="shop", attributes={"k": "v"}, limit=3) == [50, 49, 48]
    assert set(store.reads[0][0]) <= CLEAR_COLUMNS
    payload = [rows for columns, rows in store.reads if not set(columns) <= CLEAR_COLUMNS]
    assert payload == [5]


def test_services_and_summaries_read_no_payload() -> None:
    """Scenario: what the UI asks most often. Guarantee: answered from clear columns."""
    store = SpyingStore(default=[span(1, 1), span(1, 2, parent=1, service="pay")])
    reader = TraceReader(store)
    reader.services("default")
    reader.operations("default", "shop")
    reader.summaries("default", TraceQuery(attributes={"error": "false"}))
    reader.dependencies("default", NOW_NS, NOW_NS)
    assert {name for columns, _ in store.reads for name in columns} <= CLEAR_COLUMNS


def test_many_traces_are_read_in_parts() -> None:
    """Scenario: more ids than are held at a time. Guarantee: all come, in order, with every column."""
    store = MemoryStore(default=[span(i + 1, 1) for i in range(100)])
    ids = [f"{number:032x}" for number in range(100, 0, -1)]
    tables = list(TraceReader(store).traces("default", ids))
    assert [table.column("trace_id").to_pylist() for table in tables] == [[one] for one in ids]
    assert all(table.schema.names == SPANS.names for table in tables)


def test_a_trace_without_a_root_is_named_by_its_first_orphan() -> None:
    """Scenario: the root was never sent; elsewhere spans are each other's parents. Guarantee: a name, or none."""
    orphans = [span(1, 1, parent=9, start=5, name="later"), span(1, 2, parent=8, start=3, name="first")]
    circle = [span(2, 1, parent=2), span(2, 2, parent=1)]
    circular, orphaned = TraceReader(MemoryStore(default=[*orphans, *circle])).summaries("default", TraceQuery())[::-1]
    assert (orphaned.root_operation, orphaned.orphans) == ("first", 2)
    assert (circular.root_service, circular.root_operation, circular.orphans) == ("", "", 0)
