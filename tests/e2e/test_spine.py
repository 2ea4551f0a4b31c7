"""The main job through real clients: three ways in, every way out."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from spanward.extension.jaeger import storage_pb2 as storage
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub
from spanward.sidecar.demo import hotrod
from spanward.store.otlp import to_traces_data
from spanward.store.span_store import SpanStore
from spanward.store.sql import query
from tests.support.running import RunningSidecar, default_config, eventually, start_sidecar

RECORDING = Path(__file__).parents[1] / "data" / "hotrod.otlp"
FIGURES = {"spans": 1582, "traces": 42, "services": 6, "events": 2022, "errors": 100}


def recorded() -> list[ExportTraceServiceRequest]:
    """The HotROD recording."""
    return [ExportTraceServiceRequest.FromString(body) for body in hotrod.read_requests(RECORDING)]


def through_jaeger(sidecar: RunningSidecar, trace_ids: set[bytes]) -> Iterator[Any]:
    """Whole traces by id."""
    request = storage.GetTracesRequest(
        query=[storage.GetTraceParams(trace_id=trace_id) for trace_id in sorted(trace_ids)]
    )
    with grpc.insecure_channel(sidecar.jaeger) as channel:
        yield from TraceReaderStub(channel).GetTraces(request, timeout=60)


def committed(sidecar: RunningSidecar) -> bool:
    """Everything has left the hot table for the lake."""
    assert sidecar.sidecar.store is not None
    return sidecar.sidecar.store.hot_rows() == 0


@pytest.mark.parametrize("when", ["hot", "committed", "after a restart"])
def test_recorded_traffic_comes_back_field_by_field(tmp_path: Path, when: str) -> None:
    """Scenario: HotROD replayed over gRPC, read at once, after the commit, and by a new process.

    Guarantee: 1,582 spans, 42 traces, 6 services, 2,022 events, 100 errors; every field of every span as sent but for
    what the policy replaced, through Jaeger's API and through SQL.
    """
    document = default_config()
    document["exporters"]["lake"] = {"commit_interval_seconds": 3600 if when == "hot" else 0.2}
    sidecar = start_sidecar(document, tmp_path / "data")
    try:
        assert hotrod.replay(hotrod.read_requests(RECORDING), sidecar.grpc, advance=lambda: None) == 0
        if when != "hot":
            eventually(lambda: committed(sidecar))
        if when == "after a restart":
            sidecar.stop()
            sidecar = start_sidecar(document, tmp_path / "data")
        sent = recorded()
        received = list(through_jaeger(sidecar, hotrod.census(sent).traces))
        with_sql = SpanStore.open(sidecar.data, read_only=True)
        rows = query(with_sql, "select * from spans", row_limit=10_000)
        with_sql.close()
    finally:
        sidecar.stop()
    for answer in (received, [to_traces_data(rows)]):
        assert hotrod.census(answer).figures() == FIGURES
        assert hotrod.compare(sent, answer).complete, hotrod.compare(sent, answer)


def stock_exporters(sidecar: RunningSidecar) -> dict[str, SpanExporter]:
    """The stock exporters, as a user configures them."""
    return {
        "grpc": GrpcExporter(endpoint=sidecar.grpc, insecure=True),
        "grpc-gzip": GrpcExporter(endpoint=sidecar.grpc, insecure=True, compression=grpc.Compression.Gzip),
        "http": HttpExporter(endpoint=f"{sidecar.http}/v1/traces"),
    }


def test_stock_sdk_spans_are_stored_governed(sidecar: RunningSidecar) -> None:
    """Scenario: the stock SDK over gRPC, gzip and HTTP. Guarantee: same rows, personal data replaced."""
    for name, exporter in stock_exporters(sidecar).items():
        provider = TracerProvider(resource=Resource({"service.name": f"shop-{name}"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("t").start_as_current_span("order") as span:
            span.set_attribute("note", "write to alice@example.com")
        provider.shutdown()
    assert sidecar.sidecar.store is not None
    rows = query(
        sidecar.sidecar.store,
        "select service_name, attributes_str['note'] as note, pii, subjects, classification, retention "
        "from spans order by 1",
    ).to_pylist()
    assert [row["service_name"] for row in rows] == ["shop-grpc", "shop-grpc-gzip", "shop-http"]
    for row in rows:
        assert "alice" not in row["note"]
        assert row["note"].startswith("write to <email:k1:")
        assert (row["pii"], row["classification"], row["retention"]) == (["email"], "internal", "30d")
        assert len(row["subjects"]) == 1


def post(url: str, body: bytes, content_type: str, **headers: str) -> dict[str, Any]:
    """POST to a sidecar; the JSON answer, {} for protobuf."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type, **headers})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        return json.loads(answer.read()) if "json" in content_type else {}


def test_three_ways_in_give_the_same_rows(sidecar: RunningSidecar) -> None:
    """Scenario: one span by gRPC, HTTP/protobuf (gzip), HTTP/JSON, three tenants. Guarantee: equal rows but for it."""
    as_json = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "lib"},
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "name": "n",
                                "kind": 2,
                                "startTimeUnixNano": "1767225600000000001",
                                "endTimeUnixNano": "1767225600000000900",
                                "attributes": [{"key": "n", "value": {"intValue": "7"}}],
                            },
                        ],
                    },
                ],
            },
        ],
    }
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "s"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "lib"
    span = scope_spans.spans.add(
        trace_id=bytes.fromhex("5b8efff798038103d269b633813fc60c"),
        span_id=bytes.fromhex("eee19b7ec3c1b174"),
        name="n",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1767225600000000001,
        end_time_unix_nano=1767225600000000900,
    )
    span.attributes.add(key="n").value.int_value = 7
    body = message.SerializeToString()
    with grpc.insecure_channel(sidecar.grpc) as channel:
        stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]  # opentelemetry-proto types it in part
        stub.Export(message, metadata=(("x-tenant", "a"),), timeout=10)
    url = f"{sidecar.http}/v1/traces"
    post(url, gzip.compress(body), "application/x-protobuf", **{"Content-Encoding": "gzip", "X-Tenant": "b"})
    assert post(url, json.dumps(as_json).encode(), "application/json", **{"X-Tenant": "c"}) in (
        {},
        {"partialSuccess": {}},
    )
    assert sidecar.sidecar.store is not None
    rows = [
        query(sidecar.sidecar.store, "select * exclude (tenant, received_at) from spans", tenant=tenant).to_pylist()
        for tenant in "abc"
    ]
    assert len(rows[0]) == 1
    assert rows[0] == rows[1] == rows[2]


def test_metrics_are_what_prometheus_reads(sidecar: RunningSidecar) -> None:
    """Scenario: a scrape in both formats. Guarantee: it parses, counts what was accepted, has the span metrics."""
    hotrod.replay(hotrod.read_requests(RECORDING), sidecar.grpc, advance=lambda: None)
    for accept, parse in (("text/plain", prometheus), ("application/openmetrics-text; version=1.0.0", openmetrics)):
        request = urllib.request.Request(sidecar.metrics, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            samples = [sample for family in parse(answer.read().decode()) for sample in family.samples]
        accepted = [s.value for s in samples if s.name == "otelcol_receiver_accepted_spans_total"]
        assert sum(accepted) == 1582
        calls = [s.value for s in samples if s.name == "traces_span_metrics_calls_total"]
        assert sum(calls) == 1582


def test_health_says_ready_and_why_not(sidecar: RunningSidecar) -> None:
    """Scenario: all is well, then a component reports trouble. Guarantee: ready, then the trouble by name."""
    with urllib.request.urlopen(f"{sidecar.health}/ready", timeout=5) as answer:
        assert answer.status == 200
    sidecar.sidecar.health.report("exporter/lake", "degraded", "the disk is slow")
    with urllib.request.urlopen(f"{sidecar.health}/status", timeout=5) as answer:
        assert "the disk is slow" in answer.read().decode()


def test_a_repeated_body_is_stored_once(sidecar: RunningSidecar) -> None:
    """Scenario: the stock exporter's retry sends the same bytes again. Guarantee: acknowledged twice, stored once."""
    body = next(hotrod.read_requests(RECORDING))
    spans = len(list(hotrod.census([ExportTraceServiceRequest.FromString(body)]).traces))
    assert spans
    for _ in range(3):
        hotrod.replay([body], sidecar.grpc, advance=lambda: None)
    assert sidecar.sidecar.store is not None
    stored = query(sidecar.sidecar.store, "select count(*) as n, count(distinct span_id) as d from spans").to_pylist()[
        0
    ]
    assert stored["n"] == stored["d"] > 0
