"""The policy inside an application, with the stock SDK around it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from spanward.processor.otel import GovernedSpanExporter, GovernedSpanProcessor, to_readable, to_record
from spanward.processor.otel.convert import Converter
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.privacy.tokens import digest

KEY = HashKey("k1", b"0123456789abcdef0123456789abcdef")
MAIL = "alice@example.com"
REMOTE = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "alice")]))


def governor(**policy: Any) -> Governor:
    return Governor(Policy.model_validate(policy), [KEY])


def provider_with(processor: SpanProcessor, **arguments: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **arguments)
    provider.add_span_processor(processor)
    return provider


def record_everything(provider: TracerProvider, state: TraceState | None = None) -> None:
    tracer = provider.get_tracer("lib", "1.2.3.4", "https://schema", {"scope": MAIL})
    parent = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state or TraceState())
    with tracer.start_as_current_span(
        f"GET {MAIL}",
        context=set_span_in_context(NonRecordingSpan(parent)),
        kind=SpanKind.SERVER,
        attributes={"note": MAIL, "password": "hunter2", "n": 1, "list": ["a", MAIL]},
        links=[Link(parent, {"l": MAIL}), Link(parent, {"clean": 1})],
    ) as span:
        span.add_event(f"event {MAIL}", {"e": MAIL}, timestamp=7)
        span.add_event("clean", {"e": 1}, timestamp=8)
        span.set_status(Status(StatusCode.ERROR, f"no {MAIL}"))


def exported(**policy: Any) -> tuple[ReadableSpan, GovernedSpanExporter]:
    memory = InMemorySpanExporter()
    exporter = GovernedSpanExporter(memory, governor(**policy))
    provider = provider_with(SimpleSpanProcessor(exporter), resource=Resource({"service.name": "s", "owner": MAIL}))
    record_everything(provider, TraceState([("v", MAIL)]))
    (span,) = memory.get_finished_spans()
    return span, exporter


def test_no_raw_value_leaves_by_the_exporter() -> None:
    """A span with an email in every place the SDK has for text: none is in what is exported, by any accessor."""
    span, _ = exported()

    seen = span.to_json() + repr([span.links, span.context, span.parent, span.instrumentation_scope])
    seen += repr([(e.name, dict(e.attributes or {})) for e in span.events])
    seen += repr([(link.context, dict(link.attributes or {})) for link in span.links]) + str(encode_spans([span]))
    assert "alice" not in seen
    assert "hunter2" not in seen


def test_what_holds_no_text_is_kept() -> None:
    """Ids, parent, kind, times, status code, order, counts, limits, scope: as the application set them."""
    span, _ = exported()

    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id, span.parent.is_remote) == (0xA1, 0xB2, True)
    assert (span.kind, span.status.status_code) == (SpanKind.SERVER, StatusCode.ERROR)
    assert span.start_time is not None
    assert span.end_time is not None
    assert [event.timestamp for event in span.events] == [7, 8]
    assert [event.name for event in span.events][1] == "clean"
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (1, 0, 0)
    assert span.attributes is not None
    assert span.attributes["n"] == 1
    assert span.resource.attributes["service.name"] == "s"
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("lib", "1.2.3.4")
    encoded = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
    assert encoded.dropped_attributes_count == 1
    assert encoded.trace_state.startswith("v=<email:k1:")


def test_the_verdict_travels_as_attributes_and_is_read_again() -> None:
    """Labels, types and subjects on the exported span: a second pass gives the same verdict and the same span."""
    span, _ = exported()
    attributes = dict(span.attributes or {})

    assert attributes["spanward.classification"] == "internal"
    assert attributes["spanward.retention"] == "30d"
    assert attributes["spanward.pii"] == ("credential", "email")
    assert attributes["spanward.subjects"] == (digest(KEY, MAIL),)
    assert "spanward.quality.score" not in attributes
    record = to_record(span)
    governor().govern([record])
    assert record.verdict is not None
    assert record.verdict.pii == ("credential", "email")
    assert record.verdict.subjects == (digest(KEY, MAIL),)
    assert record.attributes == attributes
    assert record.dropped_attributes_count == 1


def test_violations_travel_with_a_score_unless_the_application_has_its_own() -> None:
    """A broken claim, without and with a score of the application: the score is added, and left, respectively."""
    memory = InMemorySpanExporter()
    tracer = provider_with(SimpleSpanProcessor(GovernedSpanExporter(memory, governor()))).get_tracer("t")
    tracer.start_span("a", attributes={"spanward.classification": "?"}).end()
    tracer.start_span("b", attributes={"spanward.classification": "?", "spanward.quality.score": 0.25}).end()
    first, second = (dict(span.attributes or {}) for span in memory.get_finished_spans())

    assert first["spanward.quality.violations"] == ("claims",)
    assert first["spanward.quality.score"] == round(1 - 1 / 7, 4)
    assert second["spanward.quality.score"] == 0.25


def test_a_clean_span_comes_back_as_it_was() -> None:
    """No personal data, no governing: record and back is equal in all that is exported."""
    memory = InMemorySpanExporter()
    record_everything(provider_with(SimpleSpanProcessor(memory)))
    (span,) = memory.get_finished_spans()

    copy = to_readable(to_record(span), span)

    assert copy is not span
    assert encode_spans([copy]) == encode_spans([span])
    assert copy.events[0] is span.events[0]


def test_the_record_has_the_numbers_of_the_wire() -> None:
    """Kind, flags, ids and counts of a remote child under limits: as OTLP has them."""
    memory = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=2, max_events=1, max_links=1)
    record_everything(provider_with(SimpleSpanProcessor(memory), span_limits=limits))
    record = to_record(memory.get_finished_spans()[0])

    assert (record.kind, record.status_code, record.flags) == (2, 2, 0x301)
    assert (record.trace_id, record.parent_span_id) == ("0" * 30 + "a1", "0" * 14 + "b2")
    assert (record.dropped_attributes_count, record.dropped_events_count, record.dropped_links_count) == (2, 1, 1)
    assert record.links[0].flags == 0x301
    assert (record.scope.name, record.scope.version, record.scope.schema_url) == ("lib", "1.2.3.4", "https://schema")


def test_spans_of_one_resource_share_its_record() -> None:
    """Two spans of one tracer, then more resources than are remembered: shared, and bounded."""
    converter = Converter()
    memory = InMemorySpanExporter()
    tracer = provider_with(SimpleSpanProcessor(memory)).get_tracer("t")
    tracer.start_span("a").end()
    tracer.start_span("b").end()
    first, second = map(converter.to_record, memory.get_finished_spans())

    assert first.resource is second.resource
    assert first.scope is second.scope
    for n in range(200):
        converter.to_record(ReadableSpan("x", context=REMOTE, resource=Resource({"n": n})))
    assert len(converter._resources) <= 64


def test_spans_without_scope_times_or_context() -> None:
    """Bare ReadableSpans: the first is converted, the one without a context is refused."""
    bare = ReadableSpan("x", context=REMOTE, resource=Resource({}))

    record = to_record(bare)
    copy = to_readable(record, bare)

    assert (record.start_unix_nano, record.end_unix_nano, record.scope.name) == (0, 0, "")
    assert (copy.start_time, copy.instrumentation_scope) == (None, None)
    with pytest.raises(ValueError, match="context"):
        to_record(ReadableSpan("x", resource=Resource({})))


def test_a_parent_with_a_state_of_its_own_loses_it() -> None:
    """A parent whose trace state is not its child's: nobody looked at it, so it is not handed on."""
    context = SpanContext(0xA1, 0xC3, is_remote=False)
    span = ReadableSpan("x", context=context, parent=REMOTE, resource=Resource({}))

    copy = to_readable(to_record(span), span)

    assert copy.parent is not None
    assert copy.parent.span_id == REMOTE.span_id
    assert not copy.parent.trace_state


class Failing(SpanExporter, SpanProcessor):
    """An exporter and processor that raises in every method."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Raises."""
        raise RuntimeError("export")

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Raises."""
        raise RuntimeError("on_start")

    def _on_ending(self, span: Span) -> None:
        raise RuntimeError("_on_ending")

    def on_end(self, span: ReadableSpan) -> None:
        """Raises."""
        raise RuntimeError("on_end")

    def shutdown(self) -> None:
        """Raises."""
        raise RuntimeError("shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Raises."""
        raise RuntimeError("force_flush")


def test_failures_of_the_inner_exporter_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    """An inner exporter that raises in every method: failure is answered, nothing is raised, each is logged."""
    exporter = GovernedSpanExporter(Failing(), governor())
    span = ReadableSpan("x", context=REMOTE, resource=Resource({}))

    assert exporter.export([span]) is SpanExportResult.FAILURE
    assert exporter.force_flush() is False
    exporter.shutdown()
    assert len(caplog.records) == 3


def test_failures_of_the_inner_processor_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    """An inner processor that raises in every method: the application's span is started, ended and flushed in peace."""
    processor = GovernedSpanProcessor(Failing(), governor())
    provider = provider_with(processor)
    provider.get_tracer("t").start_span("a").end()

    assert processor.force_flush() is False
    processor.shutdown()
    words = ("on_start", "on_end", "shutdown", "force_flush")
    assert all(any(word in record.getMessage() for record in caplog.records) for word in words)


@pytest.mark.parametrize("target", ["to_record", "to_readable"])
def test_a_span_that_cannot_be_converted_is_not_exported(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    target: str,
) -> None:
    """Conversion fails for one of three spans, on the way in or out: the others go out, it is counted, logged once."""
    real = getattr(Converter, target)

    def sometimes(self: Converter, first: Any, *rest: Any) -> Any:
        if first.name == "bad":
            raise RuntimeError("boom alice@example.com")
        return real(self, first, *rest)

    monkeypatch.setattr(Converter, target, sometimes)
    memory = InMemorySpanExporter()
    exporter = GovernedSpanExporter(memory, governor())
    spans = [ReadableSpan(name, context=REMOTE, resource=Resource({})) for name in ("good", "bad", "bad", "fine")]
    with caplog.at_level(logging.ERROR):
        result = exporter.export(spans)

    assert result is SpanExportResult.SUCCESS
    assert [span.name for span in memory.get_finished_spans()] == ["good", "fine"]
    assert exporter.failed == 2
    assert len(caplog.records) == 1
    assert "alice" not in caplog.text


def test_nothing_is_exported_when_the_governor_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy as a whole fails: no span goes out raw, all are counted."""
    memory = InMemorySpanExporter()
    policy = governor()
    exporter = GovernedSpanExporter(memory, policy)
    monkeypatch.setattr(policy, "govern", lambda _records: 1 / 0)

    assert exporter.export([ReadableSpan("x", context=REMOTE, resource=Resource({}))]) is SpanExportResult.SUCCESS
    assert memory.get_finished_spans() == ()
    assert exporter.failed == 1


def test_dropped_spans_are_not_exported() -> None:
    """A rule that drops health checks: they are counted, and the inner exporter is not even called for them alone."""
    memory = InMemorySpanExporter()
    exporter = GovernedSpanExporter(memory, governor(labels=[{"match": {"operation": "GET /healthz"}, "drop": True}]))
    tracer = provider_with(SimpleSpanProcessor(exporter)).get_tracer("t")
    tracer.start_span("GET /healthz").end()
    tracer.start_span("GET /").end()

    assert [span.name for span in memory.get_finished_spans()] == ["GET /"]
    assert (exporter.dropped, exporter.failed) == (1, 0)


def test_the_batch_processor_works_with_the_wrapped_exporter() -> None:
    """500 spans through the stock batch processor: all arrive, governed; flush and shutdown pass through."""
    memory = InMemorySpanExporter()
    provider = provider_with(BatchSpanProcessor(GovernedSpanExporter(memory, governor())))
    tracer = provider.get_tracer("t")
    for n in range(500):
        tracer.start_span(f"op {n}", attributes={"e": f"user{n}@example.com"}).end()

    assert provider.force_flush()
    provider.shutdown()
    spans = memory.get_finished_spans()
    assert len(spans) == 500
    assert all(str((span.attributes or {})["e"]).startswith("<email:k1:") for span in spans)


class Recording(SpanProcessor):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Keeps and writes."""
        span.set_attribute("added", "on start")
        self.calls.append(("on_start", span))

    def _on_ending(self, span: Span) -> None:
        self.calls.append(("_on_ending", span))

    def on_end(self, span: ReadableSpan) -> None:
        """Keeps."""
        self.calls.append(("on_end", span))

    def shutdown(self) -> None:
        """Keeps."""
        self.calls.append(("shutdown", None))

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Keeps."""
        self.calls.append(("force_flush", timeout_millis))
        return True


def test_the_processor_hands_on_a_governed_copy() -> None:
    """A processor behind the wrapper: it can write at the start, and sees a governed copy at the end."""
    inner = Recording()
    processor = GovernedSpanProcessor(inner, governor(labels=[{"match": {"operation": "gone"}, "drop": True}]))
    tracer = provider_with(processor).get_tracer("t")
    live = tracer.start_span("a", attributes={"e": MAIL})
    live.end()
    tracer.start_span("gone").end()
    processor.force_flush(5)
    processor.shutdown()

    ended = [span for name, span in inner.calls if name == "on_end"]
    assert len(ended) == 1
    assert ended[0] is not live
    assert ended[0].attributes["added"] == "on start"
    assert MAIL not in str(dict(ended[0].attributes))
    assert inner.calls[-2:] == [("force_flush", 5), ("shutdown", None)]
    assert (processor.dropped, processor.failed) == (1, 0)


def test_an_event_that_was_governed_keeps_its_time() -> None:
    """Events with and without personal data: only the first is replaced; dropped counts are kept."""
    event = Event("e", {"password": "x", "k": 1}, timestamp=9)
    span = ReadableSpan("x", context=REMOTE, resource=Resource({}), events=[event])
    record = to_record(span)
    governor().govern([record])

    copy = to_readable(record, span).events[0]

    assert (copy.timestamp, dict(copy.attributes or {}), copy.dropped_attributes) == (9, {"k": 1}, 1)
