"""OTLP/JSON to span records, by the rules of the OTLP specification and not of protobuf's own JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from spanward.processor.governance.json_document import array, load, objects
from spanward.processor.governance.json_values import attributes, enum, identifier, integer, mapping, sequence, text
from spanward.processor.governance.limits import (
    INT32_MAX,
    INT32_MIN,
    UINT32_MAX,
    DecodedSpans,
    Limits,
    Position,
    RefusedError,
    check_count,
    check_time,
)
from spanward.processor.policy.span import (
    Attributes,
    AttributeValue,
    EventRecord,
    LinkRecord,
    ResourceRecord,
    ScopeRecord,
    SpanRecord,
)
from spanward.store.errors import InvalidRequestError

_TRACE_ID_DIGITS: Final = 32
_SPAN_ID_DIGITS: Final = 16
_UINT64_MAX: Final = (1 << 64) - 1


def decode_json(body: bytes, limits: Limits) -> DecodedSpans:
    """Read an ExportTraceServiceRequest in OTLP/JSON.

    Ids are hex in either case, enum values integers, 64-bit integers strings or numbers; unknown fields (those in
    snake_case are unknown) are ignored. Text that is not UTF-8 is read with U+FFFD in place of the invalid bytes.

    Raises:
        InvalidRequestError: the body is not JSON, its lists are not lists, or it holds more spans than allowed.
    """
    document = load(body)
    decoded = DecodedSpans()
    total = 0
    for group in _groups(document):
        total += len(group.spans)
        if total > limits.spans:
            raise InvalidRequestError(f"more than {limits.spans} spans in one request; send smaller batches")
        _decode_group(group, limits, decoded)
    return decoded


class _ResourceSource:
    """A resourceSpans object; makes its record once and shares it among its scopes."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._record: ResourceRecord | None = None

    def record(self, limits: Limits) -> ResourceRecord:
        """The resource's record.

        Raises:
            RefusedError: the resource is malformed, and so none of its spans can be kept.
        """
        if self._record is None:
            try:
                self._record = self._decode(limits)
            except RefusedError as error:
                raise RefusedError(f"its resource: {error}") from error
        return self._record

    def _decode(self, limits: Limits) -> ResourceRecord:
        resource = mapping(self._document.get("resource"), "resource")
        return ResourceRecord(
            _attributes(resource, limits),
            _count(resource, "droppedAttributesCount"),
            _text(self._document, "schemaUrl"),
            [_entity_ref(mapping(item, "entityRefs")) for item in sequence(resource.get("entityRefs"), "entityRefs")],
        )


class _Group(NamedTuple):
    """The spans of one scope."""

    position: Position
    resource: _ResourceSource
    scope_spans: Mapping[str, Any]
    spans: list[Any]


def _groups(document: Mapping[str, Any]) -> Iterator[_Group]:
    for r, resource_spans in enumerate(objects(document, "resourceSpans", "")):
        path = f"resourceSpans[{r}]."
        source = _ResourceSource(resource_spans)
        for s, scope_spans in enumerate(objects(resource_spans, "scopeSpans", path)):
            spans = array(scope_spans, "spans", f"{path}scopeSpans[{s}].")
            yield _Group(Position(r, s), source, scope_spans, spans)


def _decode_group(group: _Group, limits: Limits, decoded: DecodedSpans) -> None:
    position = group.position
    try:
        resource = group.resource.record(limits)
        scope = _scope(group.scope_spans, limits)
    except RefusedError as error:
        for position.span in range(len(group.spans)):
            decoded.refuse(position, str(error))
        return
    for position.span, span in enumerate(group.spans):
        try:
            decoded.records.append(_span(mapping(span, "the span"), resource, scope, limits))
        except RefusedError as error:
            decoded.refuse(position, str(error))


def _entity_ref(entity: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {
        "schema_url": _text(entity, "schemaUrl"),
        "type": _text(entity, "type"),
        "id_keys": [text(key, "idKeys") for key in sequence(entity.get("idKeys"), "idKeys")],
        "description_keys": [
            text(key, "descriptionKeys") for key in sequence(entity.get("descriptionKeys"), "descriptionKeys")
        ],
    }


def _scope(scope_spans: Mapping[str, Any], limits: Limits) -> ScopeRecord:
    try:
        scope = mapping(scope_spans.get("scope"), "scope")
        return ScopeRecord(
            _text(scope, "name"),
            _text(scope, "version"),
            _attributes(scope, limits),
            _count(scope, "droppedAttributesCount"),
            _text(scope_spans, "schemaUrl"),
        )
    except RefusedError as error:
        raise RefusedError(f"its scope: {error}") from error


def _span(span: Mapping[str, Any], resource: ResourceRecord, scope: ScopeRecord, limits: Limits) -> SpanRecord:
    status = mapping(span.get("status"), "status")
    return SpanRecord(
        trace_id=_required_id(span, "traceId", _TRACE_ID_DIGITS),
        span_id=_required_id(span, "spanId", _SPAN_ID_DIGITS),
        name=_text(span, "name"),
        start_unix_nano=_time(span, "startTimeUnixNano"),
        end_unix_nano=_time(span, "endTimeUnixNano"),
        resource=resource,
        scope=scope,
        parent_span_id=_parent_id(span),
        trace_state=_text(span, "traceState"),
        flags=_count(span, "flags"),
        kind=enum(span.get("kind"), "kind", INT32_MIN, INT32_MAX),
        status_code=enum(status.get("code"), "status.code", INT32_MIN, INT32_MAX),
        status_message=_text(status, "message"),
        attributes=_attributes(span, limits),
        dropped_attributes_count=_count(span, "droppedAttributesCount"),
        events=_events(span, limits),
        dropped_events_count=_count(span, "droppedEventsCount"),
        links=_links(span, limits),
        dropped_links_count=_count(span, "droppedLinksCount"),
    )


def _events(span: Mapping[str, Any], limits: Limits) -> list[EventRecord]:
    events = sequence(span.get("events"), "events")
    check_count(len(events), limits.events, "events")
    return [_event(mapping(event, "an event"), limits) for event in events]


def _event(event: Mapping[str, Any], limits: Limits) -> EventRecord:
    return EventRecord(
        _time(event, "timeUnixNano"),
        _text(event, "name"),
        _attributes(event, limits),
        _count(event, "droppedAttributesCount"),
    )


def _links(span: Mapping[str, Any], limits: Limits) -> list[LinkRecord]:
    links = sequence(span.get("links"), "links")
    check_count(len(links), limits.links, "links")
    return [_link(mapping(link, "a link"), limits) for link in links]


def _link(link: Mapping[str, Any], limits: Limits) -> LinkRecord:
    return LinkRecord(
        _id(link, "traceId", _TRACE_ID_DIGITS),
        _id(link, "spanId", _SPAN_ID_DIGITS),
        _text(link, "traceState"),
        _attributes(link, limits),
        _count(link, "droppedAttributesCount"),
        _count(link, "flags"),
    )


def _attributes(holder: Mapping[str, Any], limits: Limits) -> Attributes:
    return attributes(holder.get("attributes"), "attributes", limits.attributes, limits.nesting)


def _text(holder: Mapping[str, Any], name: str) -> str:
    return text(holder.get(name), name)


def _count(holder: Mapping[str, Any], name: str) -> int:
    return integer(holder.get(name), name, 0, UINT32_MAX)


def _time(holder: Mapping[str, Any], name: str) -> int:
    value = integer(holder.get(name), name, 0, _UINT64_MAX)
    check_time(value, name)
    return value


def _id(holder: Mapping[str, Any], name: str, digits: int) -> str:
    value = identifier(holder.get(name), name)
    if value and len(value) != digits:
        raise RefusedError(f"{name} has {len(value) // 2} bytes, not {digits // 2}")
    return value


def _required_id(holder: Mapping[str, Any], name: str, digits: int) -> str:
    value = _id(holder, name, digits)
    if not value.strip("0"):
        raise RefusedError(f"{name} is all zeros" if value else f"{name} has 0 bytes, not {digits // 2}")
    return value


def _parent_id(span: Mapping[str, Any]) -> str:
    value = _id(span, "parentSpanId", _SPAN_ID_DIGITS)
    return value if value.strip("0") else ""
