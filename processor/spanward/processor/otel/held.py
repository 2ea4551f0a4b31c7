"""Ended spans while they wait for their batch, where the compiled kernel holds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from spanward.processor.otel.readable import GovernedEvent, GovernedLink, GovernedSpan

_IS_REMOTE = 0x200


class HeldSpan(Protocol):
    """See `spanward.native.HeldSpan`."""

    @property
    def body(self) -> bytes:
        """The span in protobuf; no policy has seen it."""
        ...

    @property
    def context(self) -> Any:
        """The span's own."""
        ...

    @property
    def resource(self) -> Any:
        """The span's own."""
        ...

    @property
    def instrumentation_scope(self) -> Any:
        """The span's own."""
        ...


def released(held: HeldSpan) -> ReadableSpan:
    """The span as it was held, but for what no exporter sends: the trace flags and states of other spans."""
    span = SpanMessage.FromString(held.body)
    return GovernedSpan(
        name=span.name,
        context=held.context,
        parent=_context(span.trace_id, span.parent_span_id, "", span.flags) if span.parent_span_id else None,
        resource=held.resource,
        attributes=_attributes(span.attributes),
        events=[
            GovernedEvent(
                event.name, _attributes(event.attributes), event.time_unix_nano, event.dropped_attributes_count
            )
            for event in span.events
        ],
        links=[
            GovernedLink(
                _context(link.trace_id, link.span_id, link.trace_state, link.flags),
                _attributes(link.attributes),
                link.dropped_attributes_count,
            )
            for link in span.links
        ],
        kind=SpanKind(span.kind - 1),
        status=Status(StatusCode(span.status.code), span.status.message or None),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=held.instrumentation_scope,
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
        dropped_links=span.dropped_links_count,
    )


def _context(trace_id: bytes, span_id: bytes, trace_state: str, flags: int) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        bool(flags & _IS_REMOTE),
        TraceFlags(),
        TraceState.from_header([trace_state]) if trace_state else TraceState(),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    """What the kernel holds: scalars, bytes, and sequences of them, which the SDK keeps as tuples."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    return getattr(value, kind or "string_value")
