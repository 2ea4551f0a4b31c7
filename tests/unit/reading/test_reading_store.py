"""Reading from the real store: encrypted files, hot rows, tenants, all in one answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.labels import PERMANENT, Classification
from spanward.processor.policy.span import SpanRecord, Verdict
from spanward.sidecar.demo.hotrod import read_requests
from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock
from spanward.store.export import FORMATS, export, read_export, row_lines
from spanward.store.otlp import to_traces_data, traces_data_chunks
from spanward.store.query import TraceQuery, TraceReader
from spanward.store.rows import build_rows
from spanward.store.span_store import SpanStore
from spanward.store.sql import query
from tests.unit.reading.support import NOW_NS, span

RECORDING = Path(__file__).parents[2] / "data" / "hotrod.otlp"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpanStore]:
    """A store whose data folder is new."""
    opened = SpanStore.open(tmp_path / "data", clock=ManualClock(NOW_NS))
    yield opened
    opened.close()


def append(store: SpanStore, sequence: int, spans: list[SpanRecord], *, tenant: str = "default") -> None:
    rows = build_rows(spans, tenant=tenant, received_at_ns=NOW_NS)
    store.append(Batch(Signal.TRACES, rows, sequence))


def recorded() -> list[list[SpanRecord]]:
    """The recorded requests, decoded, with the default verdict."""
    requests = list[list[SpanRecord]]()
    for body in read_requests(RECORDING):
        decoded = decode_protobuf(body, Limits())
        for record in decoded.records:
            record.verdict = Verdict()
        requests.append(decoded.records)
    return requests


def test_one_trace_over_files_and_memory(store: SpanStore) -> None:
    """Scenario: half a trace is in the lake in two partitions, half still hot; another tenant has the same id.

    Guarantee: queries, SQL and exports see one whole trace of their own tenant.
    """
    secret = Verdict(Classification.RESTRICTED, PERMANENT)
    append(store, 1, [span(1, 1, kind=2), span(1, 2, parent=1, service="pay", verdict=secret, attributes={"k": 7})])
    append(store, 2, [span(1, 1, service="other")], tenant="acme")
    store.commit()
    append(store, 3, [span(1, 3, parent=2, service="bank", start=5, attributes={"k": 8}, status_code=2)])
    reader = TraceReader(store)
    assert reader.services("default") == ["bank", "pay", "shop"]
    for wanted in ("7", "8"):
        (found,) = reader.trace_ids("default", TraceQuery(attributes={"k": wanted}))
        assert (found.start_ns, found.end_ns) == (NOW_NS, NOW_NS + 15)
    (table,) = reader.traces("default", [found.trace_id])
    assert table.column("span_id").to_pylist() == [f"{number:016x}" for number in (1, 2, 3)]
    edges = [(edge.parent, edge.child) for edge in reader.dependencies("default", NOW_NS, NOW_NS + 5)]
    assert edges == [("pay", "bank"), ("shop", "pay")]
    (row,) = query(store, "SELECT spans, errors, services, root_service FROM traces").to_pylist()
    assert row == {"spans": 3, "errors": 1, "services": ["bank", "pay", "shop"], "root_service": "shop"}
    found_in_map = query(
        store, "SELECT sum(attributes_int['k']) AS total FROM spans WHERE classification = 'restricted'"
    )
    assert found_in_map.column("total").to_pylist() == [7]
    assert query(store, "SELECT * FROM percentiles").num_rows == 0


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_holds_files_and_memory(store: SpanStore, tmp_path: Path, form: str) -> None:
    """Scenario: exported while part of it is hot. Guarantee: every span once, every column, decrypted."""
    append(store, 1, [span(1, number, attributes={"k": f"value {number}"}) for number in range(1, 50)])
    store.commit()
    append(store, 2, [span(2, number, attributes={"k": f"value {number}"}) for number in range(1, 50)])
    assert export(store, tmp_path / "out", format=form) == 98
    stored = store.snapshot().to_table(columns=None, filter=None)
    assert sorted(row_lines(read_export(tmp_path / "out"))) == sorted(row_lines(stored))
    assert (
        export(store, tmp_path / "some", format=form, where="trace_id LIKE '%2' AND attributes_str['k'] = 'value 7'")
        == 1
    )


@pytest.mark.parametrize("committed", [False, True])
def test_recorded_traffic_comes_back(store: SpanStore, committed: bool) -> None:
    """Scenario: the recorded requests, hot or in the lake. Guarantee: all spans equal what the rows were made of."""
    requests = recorded()
    for number, records in enumerate(requests):
        append(store, number + 1, records)
    if committed:
        store.commit()
    reader = TraceReader(store)
    found = reader.trace_ids("default", TraceQuery(limit=1000))
    tables = list(reader.traces("default", [trace.trace_id for trace in found]))
    assert (len(found), sum(table.num_rows for table in tables), len(reader.services("default"))) == (42, 1582, 6)
    sent = build_rows([record for one in requests for record in one], tenant="default", received_at_ns=NOW_NS)
    assert spans_by_id([to_traces_data(sent)]) == spans_by_id(
        chunk for table in tables for chunk in traces_data_chunks(table, max_bytes=100_000)
    )
    assert spans_by_id([to_traces_data(query(store, "SELECT * FROM spans"))]) == spans_by_id([to_traces_data(sent)])
    summaries = reader.summaries("default", TraceQuery(limit=1000))
    assert [one.trace_id for one in summaries] == [one.trace_id for one in found]
    assert sum(one.errors for one in summaries) == 100
    assert sum(one.spans for one in summaries) == 1582


def spans_by_id(messages: Iterable[TracesData]) -> list[tuple[bytes, ...]]:
    """Every span with its resource and scope, as bytes in an order of their own."""
    return sorted(
        (
            one.SerializeToString(deterministic=True),
            group.resource.SerializeToString(deterministic=True),
            scope.scope.SerializeToString(deterministic=True),
        )
        for message in messages
        for group in message.resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    )


def test_a_result_of_sql_is_plain_arrow(store: SpanStore) -> None:
    """Scenario: all columns through SQL. Guarantee: the types that reading and OTLP out build on."""
    append(store, 1, [span(1, 1)])
    store.commit()
    table = query(store, "SELECT * FROM spans")
    stored = store.snapshot().to_table(columns=None, filter=None)
    assert table.schema.names == stored.schema.names
    assert table.cast(stored.schema).equals(pa.Table.from_batches(stored.to_batches()))
