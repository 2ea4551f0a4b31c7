"""The recorded HotROD traffic: replay it, and hold what comes back against what was sent."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from spanward.processor.policy.privacy.tokens import TOKEN

_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_OWN_PREFIX: Final = "spanward."


def read_requests(path: Path) -> Iterator[bytes]:
    """The requests of a recording: each a u32 little-endian length and an ExportTraceServiceRequest."""
    data = path.read_bytes()
    offset = 0
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset)
        yield data[offset + 4 : offset + 4 + length]
        offset += 4 + length


def replay(requests: Iterable[bytes], endpoint: str, *, advance: Callable[[], None]) -> int:
    """Send the requests over OTLP/gRPC, calling `advance` after each; the number of spans that were rejected."""
    rejected = 0
    with grpc.insecure_channel(endpoint) as channel:
        export = channel.unary_unary(_EXPORT, _raw, ExportTraceServiceResponse.FromString)
        for body in requests:
            rejected += export(body, timeout=30).partial_success.rejected_spans
            advance()
    return rejected


def _raw(body: bytes) -> bytes:
    return body


@dataclass(slots=True)
class Census:
    """What is in some traffic, in the figures a reader can check by hand."""

    spans: int = 0
    events: int = 0
    errors: int = 0
    traces: set[bytes] = field(default_factory=set[bytes])
    services: set[str] = field(default_factory=set[str])

    def figures(self) -> dict[str, int]:
        """Spans, traces, services, events, errors."""
        return {
            "spans": self.spans,
            "traces": len(self.traces),
            "services": len(self.services),
            "events": self.events,
            "errors": self.errors,
        }


def census(messages: Iterable[TracesData | ExportTraceServiceRequest]) -> Census:
    """Count."""
    count = Census()
    for service, span in _spans_with_service(messages):
        count.spans += 1
        count.events += len(span.events)
        count.errors += span.status.code == Status.STATUS_CODE_ERROR
        count.traces.add(span.trace_id)
        count.services.add(service)
    return count


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sent against received, field by field.

    Attributes:
        equal: spans equal in every field.
        changed: values that the policy replaced by a token, by token type.
        differences: anything else, in words.
        missing: spans that did not come back.
        extra: spans that nobody sent.
    """

    equal: int
    changed: Counter[str]
    differences: list[str]
    missing: int
    extra: int

    @property
    def complete(self) -> bool:
        """Everything came back, and only the policy changed anything."""
        return not (self.differences or self.missing or self.extra)


def compare(sent: Iterable[TracesData | ExportTraceServiceRequest], received: Iterable[TracesData]) -> Comparison:
    """Compare all fields of all spans with their resource and scope; attributes compare as sets of pairs."""
    expected, actual = _by_id(sent), _by_id(received)
    equal, changed, differences = 0, Counter[str](), list[str]()
    for key in expected.keys() & actual.keys():
        before = len(differences), changed.total()
        _differ(expected[key], actual[key], f"span {key[1].hex()}", changed, differences)
        equal += before == (len(differences), changed.total())
    return Comparison(
        equal=equal,
        changed=changed,
        differences=differences,
        missing=len(expected.keys() - actual.keys()),
        extra=len(actual.keys() - expected.keys()),
    )


def _spans_with_service(messages: Iterable[TracesData | ExportTraceServiceRequest]) -> Iterator[tuple[str, Span]]:
    for message in messages:
        for resource_spans in message.resource_spans:
            names = (
                pair.value.string_value for pair in resource_spans.resource.attributes if pair.key == "service.name"
            )
            service = next(names, "")
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    yield service, span


def _by_id(messages: Iterable[TracesData | ExportTraceServiceRequest]) -> dict[tuple[bytes, bytes], dict[str, Any]]:
    found: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for message in messages:
        for resource_spans in message.resource_spans:
            resource = _plain(resource_spans.resource)
            for scope_spans in resource_spans.scope_spans:
                scope = _plain(scope_spans.scope)
                for span in scope_spans.spans:
                    found[span.trace_id, span.span_id] = {
                        "span": _plain(span),
                        "resource": resource,
                        "resource_schema_url": resource_spans.schema_url,
                        "scope": scope,
                        "scope_schema_url": scope_spans.schema_url,
                    }
    return found


def _plain(message: Any) -> Any:
    return _attributes_as_mapping(MessageToDict(message, preserving_proto_field_name=True))


def _attributes_as_mapping(node: Any) -> Any:
    if isinstance(node, list):
        return [_attributes_as_mapping(item) for item in node]
    if not isinstance(node, dict):
        return node
    mapped = {key: _attributes_as_mapping(value) for key, value in node.items()}
    if isinstance(mapped.get("attributes"), list):
        pairs = {pair["key"]: pair.get("value") for pair in mapped["attributes"]}
        # what the reader adds to show the labels is not part of what was sent
        mapped["attributes"] = {key: value for key, value in pairs.items() if not key.startswith(_OWN_PREFIX)}
    return {key: value for key, value in mapped.items() if value not in ({}, [])}


def _differ(sent: Any, received: Any, where: str, changed: Counter[str], differences: list[str]) -> None:
    if sent == received:
        return
    if isinstance(sent, dict) and isinstance(received, dict):
        for key in sent.keys() | received.keys():
            _differ(sent.get(key), received.get(key), f"{where}.{key}", changed, differences)
    elif isinstance(sent, list) and isinstance(received, list) and len(sent) == len(received):
        for index, (left, right) in enumerate(zip(sent, received, strict=True)):
            _differ(left, right, f"{where}[{index}]", changed, differences)
    elif isinstance(sent, str) and isinstance(received, str) and (token := TOKEN.search(received)):
        changed[token[1]] += 1
    else:
        differences.append(f"{where}: sent {sent!r:.80}, received {received!r:.80}")
