"""Jaeger's storage API over the wire."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterable
from typing import Any, cast

import grpc
import grpc.aio
import pyarrow as pa
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.extension.jaeger import storage_pb2 as pb
from spanward.extension.jaeger.config import JaegerConfig
from spanward.extension.jaeger.jaeger import JaegerExtension
from spanward.processor.policy.span import SpanRecord
from spanward.store.errors import ConfigurationError, OverloadedError, StoreError
from spanward.store.span_store import SpanStore
from tests.unit.extension_jaeger.conftest import Connect
from tests.unit.reading.support import NOW_NS, MemorySnapshot, MemoryStore, span

LOGGER = logging.getLogger("spanward.extension/jaeger")
GIGA = 1_000_000_000


def hotel() -> list[SpanRecord]:
    """Two traces: an order that fails in another service, and later a health check."""
    return [
        span(1, 1, service="shop", name="POST /order", kind=2, duration=100, attributes={"http.route": "/order"}),
        span(1, 2, service="pay", name="charge", kind=3, parent=1, start=10, status_code=2, attributes={"attempt": 3}),
        span(1, 3, service="pay", name="refund", parent=9, start=20, duration=200),
        span(2, 1, service="shop", name="GET /health", start=5 * GIGA),
    ]


def spans_of(data: TracesData) -> list[Any]:
    return [one for resource in data.resource_spans for scope in resource.scope_spans for one in scope.spans]


def ids_in(chunks: Iterable[TracesData]) -> list[str]:
    """The trace of each chunk; every chunk must have spans, of one trace only."""
    found: list[str] = []
    for chunk in chunks:
        (trace_id,) = {one.trace_id.hex() for one in spans_of(chunk)}
        found.append(trace_id)
    return found


def params(**fields: Any) -> pb.TraceQueryParameters:
    """A query as Jaeger's client sends it: unset times are in the year 1, unset durations zero."""
    unset = Timestamp(seconds=-62_135_596_800)
    defaults: dict[str, Any] = {
        "start_time_min": unset,
        "start_time_max": unset,
        "duration_min": Duration(),
        "duration_max": Duration(),
        "search_depth": 20,
    }
    return pb.TraceQueryParameters(**{**defaults, **fields})


def text_attribute(key: str, value: str) -> pb.KeyValue:
    return pb.KeyValue(key=key, value=pb.AnyValue(string_value=value))


class BrokenStore:
    """A store whose every look-up fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def snapshot(self, _tenant: str | None = "default") -> MemorySnapshot:
        """Fail."""
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (StoreError("lake/spans: key is gone; restore DATA/keys"), grpc.StatusCode.INTERNAL, "restore DATA/keys"),
        (OverloadedError("too many readers; try again"), grpc.StatusCode.UNAVAILABLE, "try again"),
        (RuntimeError("secret detail"), grpc.StatusCode.UNKNOWN, "its log says how"),
    ],
)
async def test_a_failing_store_is_told_in_one_line(
    connect: Connect, caplog: pytest.LogCaptureFixture, error: Exception, code: grpc.StatusCode, line: str
) -> None:
    """Scenario: the store fails, planned or not. Guarantee: the right code and one line, no traceback for clients."""
    client = await connect(BrokenStore(error))
    for call in (
        client.traces.GetServices(pb.GetServicesRequest()),
        client.traces.FindTraceIDs(pb.FindTraceIDsRequest(query=params())),
        client.dependencies.GetDependencies(pb.GetDependenciesRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=line) as told:
            await call
        assert told.value.code() is code
        assert "\n" not in str(told.value.details())
        assert "secret" not in str(told.value.details())
    assert ("secret detail" in caplog.text) == isinstance(error, RuntimeError)


@pytest.mark.parametrize("length", [0, 8, 15, 17])
async def test_an_id_of_wrong_length_is_refused(connect: Connect, length: int) -> None:
    """Scenario: a trace id that is not 16 bytes. Guarantee: INVALID_ARGUMENT that says so, and no answer at all."""
    client = await connect(MemoryStore(default=hotel()))
    request = pb.GetTracesRequest(query=[pb.GetTraceParams(trace_id=b"\1" * length)])
    with pytest.raises(grpc.aio.AioRpcError, match=f"{length} bytes; it must have 16") as told:
        [_ async for _ in client.traces.GetTraces(request)]
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_port_in_use_is_named() -> None:
    """Scenario: another process listens there. Guarantee: an error with endpoint and remedy; shutdown is harmless."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        endpoint = f"127.0.0.1:{other.getsockname()[1]}"
        extension = JaegerExtension(JaegerConfig(endpoint=endpoint), cast("SpanStore", MemoryStore()), LOGGER)
        with pytest.raises(ConfigurationError, match=f"{endpoint}; free the port"):
            await extension.start()
        await extension.shutdown()


async def test_a_malformed_endpoint_is_refused() -> None:
    """Scenario: an endpoint without a port. Guarantee: the option is named before anything is bound."""
    extension = JaegerExtension(JaegerConfig(endpoint="localhost"), cast("SpanStore", MemoryStore()), LOGGER)
    with pytest.raises(ConfigurationError, match="not host:port"):
        await extension.start()


async def test_services_and_operations(connect: Connect) -> None:
    """Scenario: the search form is opened. Guarantee: services, and the operations of each with Jaeger's kind words."""
    client = await connect(MemoryStore(default=hotel()))
    assert list((await client.traces.GetServices(pb.GetServicesRequest())).services) == ["pay", "shop"]
    answer = await client.traces.GetOperations(pb.GetOperationsRequest(service="shop"))
    assert [(one.name, one.span_kind) for one in answer.operations] == [("GET /health", ""), ("POST /order", "server")]
    answer = await client.traces.GetOperations(pb.GetOperationsRequest(service="pay", span_kind="CLIENT"))
    assert [(one.name, one.span_kind) for one in answer.operations] == [("charge", "client")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (params(), [2, 1]),
        (params(search_depth=1), [2]),
        (params(search_depth=0), [2, 1]),
        (params(service_name="pay"), [1]),
        (params(service_name="pay", operation_name="POST /order"), []),  # no one span has both
        (params(attributes=[text_attribute("attempt", "3")]), [1]),
        (params(attributes=[pb.KeyValue(key="attempt", value=pb.AnyValue(int_value=3))]), [1]),
        (params(attributes=[pb.KeyValue(key="attempt", value=pb.AnyValue(double_value=3))]), []),
        (params(attributes=[text_attribute("error", "true")]), [1]),
        (params(attributes=[text_attribute("span.kind", "server")]), [1]),
        (params(start_time_min=Timestamp(seconds=NOW_NS // GIGA + 5)), [2]),
        (params(start_time_max=Timestamp(seconds=NOW_NS // GIGA, nanos=19)), [1]),
        (params(duration_min=Duration(nanos=200)), [1]),
        (params(duration_max=Duration(nanos=10)), [2, 1]),
    ],
)
async def test_searches_find_whole_traces(
    connect: Connect, query: pb.TraceQueryParameters, expected: list[int]
) -> None:
    """Scenario: searches as the UI sends them. Guarantee: ids, summaries and whole traces agree, newest first."""
    client = await connect(MemoryStore(default=hotel()))
    wanted = [f"{number:032x}" for number in expected]
    found = await client.traces.FindTraceIDs(pb.FindTraceIDsRequest(query=query))
    assert [one.trace_id.hex() for one in found.trace_ids] == wanted
    chunks = [chunk async for chunk in client.traces.FindTraces(pb.FindTracesRequest(query=query))]
    assert ids_in(chunks) == wanted
    assert sum(len(spans_of(chunk)) for chunk in chunks) == sum({1: 3, 2: 1}[number] for number in expected)
    request = pb.FindTraceSummariesRequest(query=query)
    summaries = [one async for answer in client.traces.FindTraceSummaries(request) for one in answer.summaries]
    assert [one.trace_id.hex() for one in summaries] == wanted


async def test_nested_values_of_a_query_are_understood(connect: Connect) -> None:
    """Scenario: a typed query for an array and for a map. Guarantee: equal ones match, in any order of keys."""
    nested: dict[str, Any] = {"list": [1, True, b"x"], "map": {"a": 1, "b": None}}
    client = await connect(MemoryStore(default=[span(1, 1, attributes=nested)]))
    items = [pb.AnyValue(int_value=1), pb.AnyValue(bool_value=True), pb.AnyValue(bytes_value=b"x")]
    entries = [pb.KeyValue(key="b"), pb.KeyValue(key="a", value=pb.AnyValue(int_value=1))]
    right = [
        pb.KeyValue(key="list", value=pb.AnyValue(array_value=pb.ArrayValue(values=items))),
        pb.KeyValue(key="map", value=pb.AnyValue(kvlist_value=pb.KeyValueList(values=entries))),
    ]
    wrong = pb.KeyValue(key="list", value=pb.AnyValue(array_value=pb.ArrayValue(values=items[:2])))
    for attributes, count in ((right, 1), ([wrong], 0)):
        request = pb.FindTraceIDsRequest(query=params(attributes=attributes))
        assert len((await client.traces.FindTraceIDs(request)).trace_ids) == count


async def test_a_summary_says_what_the_search_page_shows(connect: Connect) -> None:
    """Scenario: a trace with an error and an orphan. Guarantee: every figure of its line."""
    client = await connect(MemoryStore(default=hotel()))
    request = pb.FindTraceSummariesRequest(query=params(service_name="pay"))
    (answer,) = [one async for one in client.traces.FindTraceSummaries(request)]
    (found,) = answer.summaries
    assert (found.root_service_name, found.root_operation_name) == ("shop", "POST /order")
    assert (found.min_start_time_unix_nano, found.max_end_time_unix_nano) == (NOW_NS, NOW_NS + 220)
    assert (found.span_count, found.error_span_count, found.orphan_span_count) == (3, 1, 1)
    parts = [(part.name, part.span_count, part.error_span_count) for part in found.services]
    assert parts == [("pay", 2, 1), ("shop", 1, 0)]


async def test_traces_by_id_come_once_and_unknown_ones_not(connect: Connect) -> None:
    """Scenario: an unknown id among known ones. Guarantee: it yields nothing, and is no error."""
    client = await connect(MemoryStore(default=hotel()))
    wanted = [pb.GetTraceParams(trace_id=bytes.fromhex(f"{number:032x}")) for number in (2, 77, 1)]
    chunks = [chunk async for chunk in client.traces.GetTraces(pb.GetTracesRequest(query=wanted))]
    assert [int(one, 16) for one in ids_in(chunks)] == [2, 1]
    unknown = pb.GetTracesRequest(query=wanted[1:2])
    assert [chunk async for chunk in client.traces.GetTraces(unknown)] == []


async def test_a_large_trace_comes_in_chunks(connect: Connect) -> None:
    """Scenario: 6 MB in two traces. Guarantee: each message below the bound, traces never interleaved, no span lost."""
    large = [span(1 + i % 2, i + 1, attributes={"blob": "x" * 3000}) for i in range(2000)]
    client = await connect(MemoryStore(default=large), max_message_mib=1)
    chunks = [chunk async for chunk in client.traces.FindTraces(pb.FindTracesRequest(query=params()))]
    assert all(chunk.ByteSize() < 1 << 20 for chunk in chunks)
    order = ids_in(chunks)
    assert order == sorted(order)
    assert len(order) > 6
    assert len({one.span_id for chunk in chunks for one in spans_of(chunk)}) == 2000


async def test_tenants_are_kept_apart(connect: Connect) -> None:
    """Scenario: calls with and without the tenant header. Guarantee: each sees its own; without it, `default`."""
    store = MemoryStore(default=[span(1, 1, service="a")], acme=[span(2, 1, service="b")])
    client = await connect(store)
    headed = await connect(store, tenant_header="X-Org")
    alone = await connect(store, tenant_header="")
    cases = [
        (client, None, ["a"]),
        (client, (("x-tenant", ""),), ["a"]),
        (client, (("x-tenant", "acme"),), ["b"]),
        (client, (("x-tenant", "nobody"),), []),
        (headed, (("x-org", "acme"),), ["b"]),
        (alone, (("x-tenant", "acme"),), ["a"]),
    ]
    for one, metadata, expected in cases:
        answer = await one.traces.GetServices(pb.GetServicesRequest(), metadata=metadata)
        assert list(answer.services) == expected


async def test_governance_is_shown_or_not(connect: Connect) -> None:
    """Scenario: the option on and off. Guarantee: the labels are tags of the span, or are not."""
    store = MemoryStore(default=[span(1, 1)])
    for on in (True, False):
        client = await connect(store, governance=on)
        (chunk,) = [one async for one in client.traces.FindTraces(pb.FindTracesRequest(query=params()))]
        keys = {attribute.key for attribute in spans_of(chunk)[0].attributes}
        assert ("spanward.classification" in keys) is on


async def test_dependencies_in_a_window(connect: Connect) -> None:
    """Scenario: the dependency graph, for all time and for a window without calls. Guarantee: calls across services."""
    client = await connect(MemoryStore(default=hotel()))
    answer = await client.dependencies.GetDependencies(pb.GetDependenciesRequest())
    assert [(one.parent, one.child, one.call_count) for one in answer.dependencies] == [("shop", "pay", 1)]
    later = pb.GetDependenciesRequest(start_time=Timestamp(seconds=NOW_NS // GIGA + 1))
    assert list((await client.dependencies.GetDependencies(later)).dependencies) == []


class CountingStore(MemoryStore):
    """Counts how many whole traces were read, and lets the test hold them back."""

    def __init__(self, spans: list[SpanRecord]) -> None:
        super().__init__(default=spans)
        self.reads = 0
        self.reading = threading.Event()
        self.go = threading.Event()

    def snapshot(self, tenant: str | None = "default") -> MemorySnapshot:
        """The tenant's rows, with a spy on reads of whole traces."""
        held = super().snapshot(tenant)
        whole = held.to_table

        def to_table(*, columns: Any = None, filter: Any = None) -> pa.Table:  # noqa: A002 - the interface
            if columns is None:
                self.reads += 1
                self.reading.set()
                self.go.wait(30)
            return whole(columns=columns, filter=filter)

        held.to_table = to_table  # type: ignore[method-assign]  # a spy
        return held


async def test_a_cancelled_call_stops_reading(connect: Connect) -> None:
    """Scenario: the client goes away while the first traces are read. Guarantee: no further ones are read."""
    store = CountingStore([span(i + 1, 1, start=i) for i in range(100)])
    client = await connect(store)
    call = client.traces.FindTraces(pb.FindTracesRequest(query=params(search_depth=100)))
    reading = asyncio.ensure_future(call.read())
    assert await asyncio.to_thread(store.reading.wait, 30)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    store.go.set()
    await client.traces.GetServices(pb.GetServicesRequest())
    assert store.reads == 1


async def test_shutdown_ends_calls_in_flight_and_is_idempotent() -> None:
    """Scenario: shutdown without a start, and twice. Guarantee: no error; the port is free for the next one."""
    extension = JaegerExtension(JaegerConfig(endpoint="127.0.0.1:0"), cast("SpanStore", MemoryStore()), LOGGER)
    await extension.shutdown()
    await extension.start()
    again = JaegerConfig(endpoint=f"127.0.0.1:{extension.port}")
    await extension.shutdown()
    await extension.shutdown()
    successor = JaegerExtension(again, cast("SpanStore", MemoryStore()), LOGGER)
    await successor.start()
    await successor.shutdown()
