"""The form in which Jaeger's UI reads a trace, worked out from OTLP spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.jaeger.oracle import KINDS, SentSpan, as_python, written

_TYPES: Final = {bool: "bool", int: "int64", float: "float64", str: "string"}
_MAX_SAFE_INTEGER: Final = (1 << 53) - 1  # JavaScript's: Jaeger writes larger ones as text
_STATUS_TAGS: Final = ((), (("otel.status_code", "OK"),), (("otel.status_code", "ERROR"), ("error", True)))


def shown(trace: Mapping[str, Any]) -> list[Any]:
    """A trace of the UI's API with its processes put into the spans and everything without order sorted."""
    processes = {
        key: [process["serviceName"], _sorted(_pairs(process["tags"]))] for key, process in trace["processes"].items()
    }
    return _sorted(
        [
            span["spanID"],
            span["operationName"],
            span["startTime"],
            span["duration"],
            [[ref["refType"], ref["traceID"], ref["spanID"]] for ref in span["references"]],
            _sorted(_pairs(span["tags"])),
            [[log["timestamp"], _sorted(_pairs(log["fields"]))] for log in span["logs"]],
            processes[span["processID"]],
        ]
        for span in trace["spans"]
    )


def expected(spans: Iterable[SentSpan]) -> list[Any]:
    """The same from OTLP."""
    return _sorted(
        [
            one.span.span_id.hex(),
            one.span.name,
            one.span.start_time_unix_nano // 1000,
            one.duration // 1000,
            _references(one.span),
            _sorted(_tag(key, value) for key, value in _span_tags(one)),
            [_log(event) for event in one.span.events],
            [one.service, _sorted(_tag(key, value) for key, value in one.resource.items() if key != "service.name")],
        ]
        for one in spans
    )


def _references(span: Span) -> list[list[str]]:
    parent = [["CHILD_OF", span.trace_id.hex(), span.parent_span_id.hex()]] if span.parent_span_id else []
    return parent + [["FOLLOWS_FROM", link.trace_id.hex(), link.span_id.hex()] for link in span.links]


def _span_tags(one: SentSpan) -> Iterable[tuple[str, Any]]:
    yield from as_python(one.span.attributes).items()
    yield from _STATUS_TAGS[one.span.status.code]
    texts = {
        "otel.scope.name": one.scope.name,
        "otel.scope.version": one.scope.version,
        "otel.status_description": one.span.status.message,
        "span.kind": KINDS[one.span.kind],
        "w3c.tracestate": one.span.trace_state,
    }
    yield from ((key, text) for key, text in texts.items() if text)


def _log(event: Span.Event) -> list[Any]:
    fields = {"event": event.name, **as_python(event.attributes)}
    return [event.time_unix_nano // 1000, _sorted(_tag(key, value) for key, value in fields.items())]


def _tag(key: str, value: Any) -> list[Any]:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_SAFE_INTEGER:
        return [key, "int64", str(value)]
    kind = _TYPES.get(type(value))
    return [key, kind, value] if kind else [key, "string", _go_json(value)]


def _go_json(value: Any) -> str:
    """An array as Go writes it: some characters escaped, whole doubles without a point."""
    text = written([int(item) if isinstance(item, float) and item.is_integer() else item for item in value])
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _pairs(tags: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    return [[tag["key"], tag["type"], tag["value"]] for tag in tags]


def _sorted(items: Iterable[Any]) -> list[Any]:
    return sorted(items, key=repr)
