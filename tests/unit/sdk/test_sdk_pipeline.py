"""`Pipeline` over an endpoint and over a lake folder."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace import TracerProvider

from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk import EventReference, Pipeline, session
from spanward.store.errors import ConfigurationError
from spanward.store.span_store import SpanStore
from tests.unit.sdk.sdk_collector import Collector, attributes

EMAIL = "jo.frost@example.com"


def to_http(collector: Collector, **settings: Any) -> Pipeline:
    return Pipeline(collector.endpoint, protocol="http/protobuf", **settings)


def rows(folder: Path) -> list[dict[str, Any]]:
    store = SpanStore.open(folder, read_only=True)
    try:
        return list(store.snapshot().to_table(columns=None, filter=None).to_pylist())
    finally:
        store.close()


# --- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 0},
        {"batch_size": 10_001},
        {"flush_interval_seconds": 0},
        {"batch_size": 100, "queue_size": 99},
        {"attempts": 0},
        {"compression": "zip"},
        {"lake": "here"},
    ],
)
def test_wrong_settings_are_refused_at_once(settings: dict[str, Any]) -> None:
    """Out of range or contradicting: the constructor says so."""
    with pytest.raises(ConfigurationError):
        Pipeline("localhost:4317", **settings)


async def test_a_pipeline_is_used_inside_its_context(http_endpoint: Collector) -> None:
    """Before it was opened and after it was closed: an error that shows how; and it cannot be entered twice."""
    pipeline = to_http(http_endpoint)
    with pytest.raises(ConfigurationError, match="async with"):
        await pipeline.flush()
    async with pipeline:
        with pytest.raises(ConfigurationError, match="open already"):
            await pipeline.__aenter__()
    with pytest.raises(ConfigurationError, match="async with"):
        await pipeline.collect_event("a.b")
    assert pipeline.status().state == "closed"


@pytest.mark.parametrize(
    ("details", "named"),
    [
        ({"classification": "secret"}, "secret"),
        ({"parents": ["x"]}, "names no span"),
        ({"parents": "ab:cd"}, "one text"),
        ({"parents": 7}, "parents takes several; put the int in a list"),
        ({"timestamp": dt.datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - wrong on purpose
        ({"quality_score": "good"}, "quality_score='good' is no number"),
        ({"processing_time_ms": "12 ms"}, "processing_time_ms='12 ms' is no number"),
        ({"privacy_tags": "health"}, r"write privacy_tags=\['health'\]"),
        ({"metadata": ["x"]}, "metadata takes a mapping, not a list"),
    ],
)
async def test_wrong_fields_of_an_event_are_refused(
    http_endpoint: Collector, details: dict[str, Any], named: str
) -> None:
    """A label, a parent, a number or a time that is none: an error that names it, and no half-made event."""
    async with to_http(http_endpoint) as pipeline:
        with pytest.raises(ConfigurationError, match=named):
            await pipeline.collect_event("a.b", **details)
        with pytest.raises(ConfigurationError, match="one text"):
            await pipeline.register("event", privacy_tags="health")
        assert pipeline.status().accepted == 0


async def test_an_endpoint_that_refuses_is_told_in_the_result(http_endpoint: Collector) -> None:
    """Two answers of 400, one attempt each: stored=False, counted; the third goes through."""
    http_endpoint.refuse = 2
    async with to_http(http_endpoint, attempts=1) as pipeline:
        results = [await pipeline.process_operation("a.b", "c", str(number)) for number in range(3)]
        status = pipeline.status()
    assert [result.stored for result in results] == [False, False, True]
    assert (status.failed, status.stored) == (2, 1)
    assert http_endpoint.endpoint in status.last_error


async def test_a_slow_destination_does_not_hold_the_caller_for_ever(http_endpoint: Collector) -> None:
    """The result's patience is spent before the write: stored=False now, and the event arrives all the same."""
    async with to_http(http_endpoint, result_timeout_seconds=1e-9) as pipeline:
        result = await pipeline.process_operation("a.b", "c", "slow")
        assert (result.accepted, result.stored) == (True, False)
        assert await pipeline.flush()
    assert [span.name for span in http_endpoint.spans()] == ["slow"]


async def test_with_the_sdk_disabled_nothing_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
    http_endpoint: Collector,
) -> None:
    """OTEL_SDK_DISABLED: calls work and say that they were not accepted."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with to_http(http_endpoint) as pipeline:
        result = await pipeline.process_operation("a.b", "c", "d")
        reference = await pipeline.collect_event("a.b")
    assert (result.accepted, reference.span_id) == (False, "")
    assert http_endpoint.spans() == []


# --- the event record -------------------------------------------------------------------------------------------------


async def test_every_field_of_an_event_arrives_where_the_table_says(http_endpoint: Collector) -> None:
    """All fields at once: docs/event-record.md, on the wire; and the result has the policy's verdict."""
    parent = EventReference("b" * 16, "a" * 32, "b" * 16)
    start = dt.datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
    async with to_http(http_endpoint, service_name="engine") as pipeline:
        with session(session_id="s1", user_id="u1"):
            result = await pipeline.process_operation(
                "model.call",
                "llm",
                "answer",
                {"question": f"who is {EMAIL}?"},
                "nobody",
                {"attempt": 1, "flags": ["a", "b"]},
                timestamp=start,
                classification=Classification.CONFIDENTIAL,
                retention="365d",
                contains_pii=True,
                privacy_tags=["contact"],
                processing_time_ms=12,
                memory_mb=1,
                cpu_percent=50,
                quality_score=1,
                success=True,
                event_id="event-1",
                request_id="r1",
                parents=[parent],
            )
    (span,) = http_endpoint.spans()
    found = attributes(span)
    expected = {
        "spanward.event.id": "event-1",
        "spanward.event.type": "model.call",
        "spanward.component": "llm",
        "spanward.operation": "answer",
        "spanward.output": "nobody",
        "spanward.metadata.attempt": 1,
        "spanward.classification": "confidential",
        "spanward.retention": "365d",
        "spanward.contains_pii": True,
        "spanward.processing_time_ms": 12.0,
        "spanward.memory_mb": 1.0,
        "spanward.cpu_percent": 50.0,
        "spanward.quality.score": 1.0,
        "session.id": "s1",
        "spanward.request.id": "r1",
    }
    assert expected.items() <= found.items()
    assert EMAIL not in found["spanward.input"]
    assert (span.name, span.status.code) == ("answer", Status.STATUS_CODE_OK)
    assert span.start_time_unix_nano == int(start.timestamp() * 1e6) * 1000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 12_000_000
    assert span.links[0].span_id.hex() == "b" * 16
    assert (result.event_id, result.trace_id, result.span_id) == ("event-1", span.trace_id.hex(), span.span_id.hex())
    assert (result.accepted, result.stored) == (True, True)
    assert (result.classification, result.retention) == (Classification.CONFIDENTIAL, Retention(365))
    assert result.pii == ("declared", "email")
    assert 0 <= result.quality_score <= 1


async def test_failures_are_failed_spans(http_endpoint: Collector) -> None:
    """An exception, a message, or just no success: three ways to say it, one status."""
    async with to_http(http_endpoint) as pipeline:
        await pipeline.process_operation("a.b", "c", "one", error=KeyError("gone"))
        await pipeline.process_operation("a.b", "c", "two", error="it broke")
        await pipeline.process_operation("a.b", "c", "three", success=False)
        await pipeline.collect_event("a.b", processing_time_ms=-5.0)
    spans = {span.name: span for span in http_endpoint.spans()}
    failed = [spans[name] for name in ("one", "two", "three")]
    assert {span.status.code for span in failed} == {Status.STATUS_CODE_ERROR}
    assert [attributes(span)["error.type"] for span in failed] == ["KeyError", "_OTHER", "_OTHER"]
    assert [[event.name for event in span.events] for span in failed] == [["exception"], ["exception"], []]
    assert spans["a.b"].start_time_unix_nano == spans["a.b"].end_time_unix_nano


async def test_an_event_is_a_child_of_the_current_span(http_endpoint: Collector) -> None:
    """Inside anybody's span, of whatever provider: the event belongs to that trace."""
    provider = TracerProvider(shutdown_on_exit=False)
    async with to_http(http_endpoint) as pipeline:
        with provider.get_tracer("test").start_as_current_span("outer") as outer:
            first = await pipeline.collect_event("a.b")
        start = 1_700_000_000_000_000_000
        await pipeline.collect_event("a.b", "second", parents=[first], timestamp=start)
    one, two = sorted(http_endpoint.spans(), key=lambda span: span.name)
    context = outer.get_span_context()
    assert one.trace_id.hex() == f"{context.trace_id:032x}" == first.trace_id
    assert one.parent_span_id.hex() == f"{context.span_id:016x}"
    assert first.event_id == first.span_id == one.span_id.hex()
    assert two.links[0].span_id == one.span_id
    assert two.start_time_unix_nano == start


async def test_a_registration_travels_as_a_span(http_endpoint: Collector) -> None:
    """Over an endpoint: `spanward.register` names its target, carries the labels and links to the event."""
    async with to_http(http_endpoint) as pipeline:
        event = await pipeline.collect_event("a.b", "event")
        result = await pipeline.register(event, classification="restricted", retention="7d", privacy_tags=["health"])
        await pipeline.register("lake/spans/part-1.parquet")
    spans = {attributes(span).get("spanward.registration.target", span.name): span for span in http_endpoint.spans()}
    registered = spans[event.event_id]
    assert registered.name == "spanward.register"
    assert attributes(registered)["spanward.classification"] == "restricted"
    assert registered.links[0].span_id.hex() == event.span_id
    assert (result.stored, result.classification) == (True, Classification.RESTRICTED)
    assert not spans["lake/spans/part-1.parquet"].links


# --- a lake -----------------------------------------------------------------------------------------------------------


async def test_two_hundred_operations_at_once_are_all_stored(tmp_path: Path) -> None:
    """200 concurrent operations through small batches and a small queue: every one is stored, once."""
    async with Pipeline(lake=tmp_path / "lake", batch_size=16, queue_size=32, flush_interval_seconds=30) as pipeline:
        results = await asyncio.gather(
            *(pipeline.process_operation("load.test", "engine", f"operation {number}") for number in range(200)),
        )
        status = pipeline.status()
    assert all(result.stored for result in results)
    assert (status.accepted, status.stored, status.failed, status.waiting) == (200, 200, 0, 0)
    stored = rows(tmp_path / "lake")
    assert sorted(row["name"] for row in stored) == sorted(f"operation {number}" for number in range(200))
    assert {row["span_id"] for row in stored} == {result.span_id for result in results}


async def test_events_are_governed_before_they_are_stored(tmp_path: Path) -> None:
    """An address in the input: the verdict names it, and no file of the folder has it."""
    async with Pipeline(lake=tmp_path / "lake", service_name="engine") as pipeline:
        result = await pipeline.process_operation("a.b", "c", "d", input=EMAIL, retention=7, classification="public")
    assert result.pii == ("email",)
    (row,) = rows(tmp_path / "lake")
    assert (row["service_name"], row["retention"], row["classification"]) == ("engine", "7d", "public")
    assert row["spanward_input"].startswith("<email:")
    files = [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if EMAIL.encode() in path.read_bytes()]


async def test_a_registration_goes_into_the_compliance_store(tmp_path: Path) -> None:
    """With a lake: events and files are on record with their labels."""
    async with Pipeline(lake=tmp_path / "lake") as pipeline:
        event = await pipeline.process_operation("a.b", "c", "d")
        done = await pipeline.register(event, classification="restricted", retention=7, privacy_tags=["health"])
        await pipeline.register(tmp_path / "lake" / "spans" / "part-1.parquet")
        assert done.stored
    store = SpanStore.open(tmp_path / "lake")
    registrations = {entry.subject: entry for entry in store.compliance.registrations()}
    store.close()
    entry = registrations.pop(event.event_id)
    assert (entry.kind, entry.classification, entry.retention) == ("event", Classification.RESTRICTED, Retention(7))
    assert tuple(entry.privacy_tags) == ("health",)
    assert [entry.kind for entry in registrations.values()] == ["file"]


async def test_a_registration_keeps_the_labels_it_does_not_change(tmp_path: Path) -> None:
    """Scenario: only tags are registered of a restricted event. Guarantee: the record does not call it internal."""
    async with Pipeline(lake=tmp_path / "lake") as pipeline:
        event = await pipeline.process_operation("a.b", "c", "d", classification="restricted", retention=7)
        await pipeline.register(event, privacy_tags=["health"])
        await pipeline.register(event, retention=365)
    store = SpanStore.open(tmp_path / "lake", read_only=True)
    entries = store.compliance.registrations(event.event_id)
    store.close()
    labels = [(entry.classification, entry.retention) for entry in entries]
    assert labels == [(Classification.RESTRICTED, Retention(7)), (Classification.RESTRICTED, Retention(365))]


async def test_a_lake_in_use_by_another_process_is_explained(tmp_path: Path) -> None:
    """A sidecar holds the folder: the error says to send to it instead."""
    store = SpanStore.open(tmp_path / "lake")
    try:
        with pytest.raises(ConfigurationError, match="endpoint="):
            await Pipeline(lake=tmp_path / "lake").__aenter__()
    finally:
        store.close()
