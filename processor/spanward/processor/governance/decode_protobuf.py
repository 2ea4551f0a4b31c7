"""OTLP protobuf to span records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, EntityRef, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from spanward.processor.governance.groups import Group, read_groups
from spanward.processor.governance.limits import DecodedSpans, Limits, RefusedError, check_count, check_time
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

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_NO_TRACE = bytes(_TRACE_ID_BYTES)
_NO_SPAN = bytes(_SPAN_ID_BYTES)
_PLAIN = frozenset({"string_value", "int_value", "bool_value", "double_value", "bytes_value"})
_NESTED = frozenset({"array_value", "kvlist_value"})


def decode_protobuf(body: bytes, limits: Limits) -> DecodedSpans:
    """Read an ExportTraceServiceRequest (which is a TracesData on the wire).

    Strings that are not UTF-8 are read with U+FFFD in place of the invalid bytes. Of duplicate keys the last wins. A
    parent id of zeros is none; a link may have ids of zeros or none, as links to an invalid context do.

    Raises:
        InvalidRequestError: the bytes are no such message, or hold more spans than `limits` allows.
    """
    decoded = DecodedSpans()
    total = 0
    resources = _Shared(limits)
    for group in read_groups(body):
        total += len(group.spans)
        if total > limits.spans:
            raise InvalidRequestError(f"more than {limits.spans} spans in one request; send smaller batches")
        _decode_group(group, resources, limits, decoded)
    return decoded


class _Shared:
    """Makes one record of each resource, however many scopes share it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._index = -1
        self._record: ResourceRecord | str = ""

    def resource(self, index: int, source: ResourceSpans | str) -> ResourceRecord:
        """The record of the resource at this position.

        Raises:
            RefusedError: it cannot be read, and so none of its spans can.
        """
        if index != self._index:
            self._index = index
            self._record = self._decode(source)
        if isinstance(self._record, str):
            raise RefusedError(self._record)
        return self._record

    def _decode(self, source: ResourceSpans | str) -> ResourceRecord | str:
        if isinstance(source, str):
            return source
        try:
            return _resource(source.resource, source.schema_url, self._limits)
        except RefusedError as error:
            return f"its resource: {error}"


def _decode_group(group: Group, resources: _Shared, limits: Limits, decoded: DecodedSpans) -> None:
    position = group.position
    try:
        resource = resources.resource(position.resource, group.resource)
        scope = _scope(group.scope, limits)
    except RefusedError as error:
        for position.span in range(len(group.spans)):
            decoded.refuse(position, str(error))
        return
    for position.span, span in enumerate(group.spans):
        try:
            decoded.records.append(_span(span, resource, scope, limits))
        except RefusedError as error:
            decoded.refuse(position, str(error))


def _resource(resource: Resource, schema_url: str, limits: Limits) -> ResourceRecord:
    return ResourceRecord(
        _attributes(resource.attributes, limits),
        resource.dropped_attributes_count,
        schema_url,
        [_entity_ref(entity) for entity in resource.entity_refs],
    )


def _entity_ref(entity: EntityRef) -> dict[str, AttributeValue]:
    return {
        "schema_url": entity.schema_url,
        "type": entity.type,
        "id_keys": list(entity.id_keys),
        "description_keys": list(entity.description_keys),
    }


def _scope(source: ScopeSpans | str, limits: Limits) -> ScopeRecord:
    if isinstance(source, str):
        raise RefusedError(source)
    scope: InstrumentationScope = source.scope
    try:
        attributes = _attributes(scope.attributes, limits)
    except RefusedError as error:
        raise RefusedError(f"its scope: {error}") from error
    return ScopeRecord(scope.name, scope.version, attributes, scope.dropped_attributes_count, source.schema_url)


def _span(span: Span | str, resource: ResourceRecord, scope: ScopeRecord, limits: Limits) -> SpanRecord:
    if isinstance(span, str):
        raise RefusedError(span)
    start = span.start_time_unix_nano
    end = span.end_time_unix_nano
    check_time(start, "start_time_unix_nano")
    check_time(end, "end_time_unix_nano")
    status = span.status
    return SpanRecord(
        _trace_id(span.trace_id),
        _span_id(span.span_id),
        span.name,
        start,
        end,
        resource,
        scope,
        _parent_id(span.parent_span_id),
        span.trace_state,
        span.flags,
        span.kind,
        status.code,
        status.message,
        _attributes(span.attributes, limits),
        span.dropped_attributes_count,
        _events(span.events, limits),
        span.dropped_events_count,
        _links(span.links, limits),
        span.dropped_links_count,
    )


def _trace_id(value: bytes) -> str:
    if len(value) != _TRACE_ID_BYTES or value == _NO_TRACE:
        raise RefusedError(_bad_id("trace_id", value, _TRACE_ID_BYTES))
    return value.hex()


def _span_id(value: bytes) -> str:
    if len(value) != _SPAN_ID_BYTES or value == _NO_SPAN:
        raise RefusedError(_bad_id("span_id", value, _SPAN_ID_BYTES))
    return value.hex()


def _parent_id(value: bytes) -> str:
    if not value or value == _NO_SPAN:
        return ""
    if len(value) != _SPAN_ID_BYTES:
        raise RefusedError(_bad_id("parent_span_id", value, _SPAN_ID_BYTES))
    return value.hex()


def _bad_id(name: str, value: bytes, length: int) -> str:
    return f"{name} is all zeros" if len(value) == length else f"{name} has {len(value)} bytes, not {length}"


def _events(events: Sequence[Span.Event], limits: Limits) -> list[EventRecord]:
    if not events:
        return []
    check_count(len(events), limits.events, "events")
    return [_event(event, limits) for event in events]


def _event(event: Span.Event, limits: Limits) -> EventRecord:
    check_time(event.time_unix_nano, "an event's time_unix_nano")
    attributes = _attributes(event.attributes, limits)
    return EventRecord(event.time_unix_nano, event.name, attributes, event.dropped_attributes_count)


def _links(links: Sequence[Span.Link], limits: Limits) -> list[LinkRecord]:
    if not links:
        return []
    check_count(len(links), limits.links, "links")
    return [_link(link, limits) for link in links]


def _link(link: Span.Link, limits: Limits) -> LinkRecord:
    for name, value, length in (("trace_id", link.trace_id, 16), ("span_id", link.span_id, 8)):
        if value and len(value) != length:
            raise RefusedError(_bad_id(f"a link's {name}", value, length))
    attributes = _attributes(link.attributes, limits)
    return LinkRecord(
        link.trace_id.hex(),
        link.span_id.hex(),
        link.trace_state,
        attributes,
        link.dropped_attributes_count,
        link.flags,
    )


def _attributes(pairs: Sequence[KeyValue], limits: Limits) -> Attributes:
    if len(pairs) > limits.attributes:
        check_count(len(pairs), limits.attributes, "attributes")
    return _pairs(pairs, limits.nesting)


def _pairs(pairs: Iterable[KeyValue], room: int) -> Attributes:
    return {pair.key: _value(pair.value, room) for pair in pairs}


def _value(value: AnyValue, room: int) -> AttributeValue:
    kind = value.WhichOneof("value")
    if kind in _PLAIN:
        return getattr(value, kind)  # type: ignore[no-any-return] # the oneof's own type
    if kind not in _NESTED:  # nothing set, or an index into another signal's string table
        return None
    if room == 0:
        raise RefusedError("an attribute is nested too deeply")
    if kind == "array_value":
        return [_value(item, room - 1) for item in value.array_value.values]
    return _pairs(value.kvlist_value.values, room - 1)
