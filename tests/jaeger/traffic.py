"""What the tests send: the HotROD recording, and spans of the stock Python SDK with all that a span can have."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
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
from opentelemetry.util.types import AttributeValue

from spanward.sidecar.demo import hotrod

RECORDING: Final = Path(__file__).parents[1] / "data" / "hotrod.otlp"
RAW_EMAIL: Final = "alice@example.com"
LARGE_SPANS: Final = 700
_LARGE_TEXT: Final = 10_000  # bytes a span: with `LARGE_SPANS` of them more than one gRPC message may hold

Request = ExportTraceServiceRequest


def recorded() -> list[Request]:
    """The HotROD recording."""
    return [Request.FromString(body) for body in hotrod.read_requests(RECORDING)]


def send(requests: Iterable[Request], endpoint: str) -> None:
    """Send requests to an OTLP/gRPC endpoint, all of whose spans it must take."""
    bodies = (request.SerializeToString() for request in requests)
    assert hotrod.replay(bodies, endpoint, advance=lambda: None) == 0


def send_with_stock_sdk(endpoint: str, headers: dict[str, str] | None = None) -> list[Request]:
    """Run a small shop under the stock SDK, export with the stock exporter, and return what was exported."""
    with _programs() as (spans, checkout, billing):
        _order(checkout, billing)
        _private(checkout)
        _orphan(checkout)
        _large(checkout)
    return _export(spans.get_finished_spans(), endpoint, headers)


@contextmanager
def _programs() -> Generator[tuple[InMemorySpanExporter, Tracer, Tracer]]:
    """Tracers of two services, whose ended spans are kept until they are exported."""
    spans = InMemorySpanExporter()
    resources: dict[str, dict[str, AttributeValue]] = {
        "checkout": {"service.version": "1.2.3", "host.cpu.count": 4, "shop.regions": ("eu", "us")},
        "billing": {"deployment.environment.name": "test"},
    }
    tracers: list[Tracer] = []
    providers: list[TracerProvider] = []
    for name, attributes in resources.items():
        provider = TracerProvider(resource=Resource({"service.name": name, **attributes}))
        provider.add_span_processor(SimpleSpanProcessor(spans))
        providers.append(provider)
        tracer = provider.get_tracer(f"shop.{name}", "0.9", attributes={"scope.owner": f"team-{name}"})
        assert isinstance(tracer, Tracer)
        tracers.append(tracer)
    yield spans, tracers[0], tracers[1]
    for provider in providers:
        provider.shutdown()


def _export(spans: Sequence[ReadableSpan], endpoint: str, headers: dict[str, str] | None) -> list[Request]:
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, headers=headers)
    sent: list[Request] = []
    for first in range(0, len(spans), 512):  # the stock batch processor's size
        batch = spans[first : first + 512]
        assert exporter.export(batch) is SpanExportResult.SUCCESS
        sent.append(encode_spans(batch))
    exporter.shutdown()
    return sent


def _order(checkout: Tracer, billing: Tracer) -> None:
    """All kinds and states, all types of attributes, an event, a link, an exception, a call between services."""
    attributes: dict[str, AttributeValue] = {
        "order.items": 3,
        "order.total": 0.25,
        "order.express": True,
        "order.note": "Grüße, 東京 ☕",
        "order.empty": "",
        "order.tags": ("new", "gift"),
        "order.choices": ("a<b", "x & y"),
        "order.weights": (0.5, 2.0),
        "order.huge": 9_007_199_254_740_993,
        "http.request.method": "POST",
        "http.response.status_code": 201,
    }
    with checkout.start_as_current_span("POST /checkout", kind=SpanKind.SERVER, attributes=attributes) as root:
        with checkout.start_as_current_span("price") as price:
            price.add_event("cache miss", {"cache.key": "k-17", "cache.attempt": 3})
            price.set_status(Status(StatusCode.OK))
        with (
            checkout.start_as_current_span("charge", kind=SpanKind.CLIENT),
            billing.start_as_current_span("POST /charge", kind=SpanKind.SERVER) as refused,
        ):
            refused.record_exception(ValueError("no such account"))
            refused.set_status(Status(StatusCode.ERROR, "the charge was refused"))
        with checkout.start_as_current_span("queue send", kind=SpanKind.PRODUCER) as sent:
            pass
    links = [Link(sent.get_span_context(), {"link.reason": "async"}), Link(root.get_span_context())]
    with billing.start_as_current_span("queue process", kind=SpanKind.CONSUMER, links=links):
        pass


def _private(checkout: Tracer) -> None:
    with checkout.start_as_current_span("newsletter") as span:
        span.set_attribute("newsletter.to", f"write to {RAW_EMAIL}")


def _orphan(checkout: Tracer) -> None:
    """A span whose parent, in another program, is never sent; with a trace state."""
    parent = SpanContext(
        trace_id=0x5B8EFFF798038103D269B633813FC60C,
        span_id=0xEEE19B7EC3C1B174,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState([("vendor", "abc")]),
    )
    checkout.start_span("resumed", context=set_span_in_context(NonRecordingSpan(parent))).end()


def _large(checkout: Tracer) -> None:
    """A trace that no single message of Jaeger's client may hold."""
    with checkout.start_as_current_span("import"):
        for row in range(LARGE_SPANS - 1):
            text = f"row {row} " + "x" * _LARGE_TEXT
            checkout.start_span("import row", attributes={"row.text": text}).end()
