"""ReadableSpan to the policy's span record and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, TraceState, format_span_id, format_trace_id

from spanward.processor.otel.readable import GovernedEvent, GovernedLink, GovernedSpan
from spanward.processor.policy.span import EventRecord, LinkRecord, ResourceRecord, ScopeRecord, SpanRecord

_MAX_SHARED: Final = 64
_LATEST: Final = 2**63 - 1  # nanoseconds, in the year 2262
_HAS_IS_REMOTE: Final = 0x100  # OTLP SpanFlags
_IS_REMOTE: Final = 0x200


class Converter:
    """Converts span after span, each resource and scope once; not safe to share between threads.

    The records of resources and scopes are kept, bounded, so that the policy looks at them once in their life.
    """

    def __init__(self) -> None:
        # by id() of the key object, which the entry itself keeps alive
        self._resources: dict[int, tuple[Resource, ResourceRecord]] = {}
        self._scopes: dict[int, tuple[InstrumentationScope, ScopeRecord]] = {}
        self._fresh_resources: dict[int, tuple[ResourceRecord, Resource]] = {}
        self._fresh_scopes: dict[int, tuple[ScopeRecord, InstrumentationScope]] = {}

    def to_record(self, span: ReadableSpan) -> SpanRecord:
        """The span as the policy sees it; kind and flags as OTLP numbers, an absent time as 0.

        What no encoder could write, for which it would give up the whole batch, is mended or refused here: half
        surrogate pairs become U+FFFD.

        Raises:
            ValueError: the span has no context, or a time that OTLP cannot carry.
        """
        context = span.get_span_context()
        if context is None:
            raise ValueError("the span has no context")
        parent = span.parent
        return SpanRecord(
            trace_id=format_trace_id(context.trace_id),
            span_id=format_span_id(context.span_id),
            name=_text(span.name),
            start_unix_nano=_time(span.start_time or 0),
            end_unix_nano=_time(span.end_time or 0),
            resource=self._resource(span.resource),
            scope=self._scope(span.instrumentation_scope),
            parent_span_id="" if parent is None else format_span_id(parent.span_id),
            trace_state=context.trace_state.to_header(),
            flags=_flags(context, parent),
            kind=span.kind.value + 1,
            status_code=span.status.status_code.value,
            status_message=_text(span.status.description or ""),
            attributes=dict(span.attributes or {}),
            dropped_attributes_count=span.dropped_attributes,
            events=[_event(event) for event in span.events],
            dropped_events_count=span.dropped_events,
            links=[_link(link) for link in span.links],
            dropped_links_count=span.dropped_links,
        )

    def to_readable(self, record: SpanRecord, original: ReadableSpan) -> ReadableSpan:
        """A fresh span with the texts and attributes of the record and, for the rest, what the original has.

        Args:
            record: made of `original` by `to_record` and governed since.
            original: stays as it is.
        """
        context = original.get_span_context()
        assert context is not None
        fresh = _context(context, record.trace_state)
        return GovernedSpan(
            name=record.name,
            context=fresh,
            parent=None if original.parent is None else _parent(original.parent, context, fresh),
            resource=self._fresh_resource(record.resource, original.resource),
            attributes=record.attributes,
            events=[_fresh_event(new, old) for new, old in zip(record.events, original.events, strict=True)],
            links=[_fresh_link(new, old) for new, old in zip(record.links, original.links, strict=True)],
            kind=original.kind,
            status=_status(record, original.status),
            start_time=original.start_time,
            end_time=original.end_time,
            instrumentation_scope=self._fresh_scope(record.scope, original.instrumentation_scope),
            dropped_attributes=record.dropped_attributes_count,
            dropped_events=record.dropped_events_count,
            dropped_links=record.dropped_links_count,
        )

    def _resource(self, resource: Resource) -> ResourceRecord:
        known = self._resources.get(id(resource))
        if known is None:
            record = ResourceRecord(dict(resource.attributes), schema_url=resource.schema_url)
            known = _remember(self._resources, resource, record)
        return known[1]

    def _scope(self, scope: InstrumentationScope | None) -> ScopeRecord:
        if scope is None:
            return ScopeRecord()
        known = self._scopes.get(id(scope))
        if known is None:
            attributes: Mapping[str, Any] = getattr(scope, "attributes", None) or {}
            record = ScopeRecord(scope.name, scope.version or "", dict(attributes), schema_url=scope.schema_url or "")
            known = _remember(self._scopes, scope, record)
        return known[1]

    def _fresh_resource(self, record: ResourceRecord, original: Resource) -> Resource:
        known = self._fresh_resources.get(id(record))
        if known is None:
            same = record.attributes == dict(original.attributes) and record.schema_url == original.schema_url
            fresh = original if same else Resource(record.attributes, record.schema_url)
            known = _remember(self._fresh_resources, record, fresh)
        return known[1]

    def _fresh_scope(self, record: ScopeRecord, original: InstrumentationScope | None) -> InstrumentationScope | None:
        if original is None:
            return None
        known = self._fresh_scopes.get(id(record))
        if known is None:
            fresh = InstrumentationScope(record.name, record.version or None, record.schema_url, record.attributes)
            known = _remember(self._fresh_scopes, record, fresh)
        return known[1]


def to_record(span: ReadableSpan) -> SpanRecord:
    """The span as the policy sees it.

    Raises:
        ValueError: the span has no context, or a time that OTLP cannot carry.
    """
    return Converter().to_record(span)


def to_readable(record: SpanRecord, original: ReadableSpan) -> ReadableSpan:
    """A fresh span with the record's texts and attributes and the original's ids, times, kind and order."""
    return Converter().to_readable(record, original)


def _remember(cache: dict[int, tuple[Any, Any]], key: object, value: object) -> tuple[Any, Any]:
    if len(cache) >= _MAX_SHARED:
        cache.clear()
    cache[id(key)] = entry = (key, value)
    return entry


def _text(text: str) -> str:
    """The text as UTF-8 can carry it."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _time(unix_nano: int) -> int:
    if not 0 <= unix_nano <= _LATEST:
        raise ValueError(f"the time {unix_nano} is not within 1970 and 2262")
    return unix_nano


def _flags(context: SpanContext, parent: SpanContext | None) -> int:
    return int(context.trace_flags) | _HAS_IS_REMOTE | (_IS_REMOTE if parent is not None and parent.is_remote else 0)


def _event(event: Event) -> EventRecord:
    return EventRecord(
        _time(event.timestamp), _text(event.name), dict(event.attributes or {}), event.dropped_attributes
    )


def _link(link: Link) -> LinkRecord:
    context = link.context
    return LinkRecord(
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        trace_state=context.trace_state.to_header(),
        attributes=dict(link.attributes or {}),
        dropped_attributes_count=link.dropped_attributes,
        flags=_flags(context, context),
    )


def _fresh_event(record: EventRecord, original: Event) -> Event:
    if record.name == original.name and record.attributes == dict(original.attributes or {}):
        return original
    return GovernedEvent(record.name, record.attributes, original.timestamp, record.dropped_attributes_count)


def _fresh_link(record: LinkRecord, original: Link) -> Link:
    context = _context(original.context, record.trace_state)
    if context is original.context and record.attributes == dict(original.attributes or {}):
        return original
    return GovernedLink(context, record.attributes, record.dropped_attributes_count)


def _context(context: SpanContext, trace_state: str) -> SpanContext:
    if context.trace_state.to_header() == trace_state:
        return context
    state = TraceState.from_header([trace_state]) if trace_state else TraceState()
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)


def _parent(parent: SpanContext, context: SpanContext, fresh: SpanContext) -> SpanContext:
    """The parent, with the state that its child inherited; a state of its own, which nobody looked at, is left out."""
    if not parent.trace_state or (fresh is context and parent.trace_state == context.trace_state):
        return parent
    state = fresh.trace_state if parent.trace_state == context.trace_state else TraceState()
    return SpanContext(parent.trace_id, parent.span_id, parent.is_remote, parent.trace_flags, state)


def _status(record: SpanRecord, original: Status) -> Status:
    if record.status_message == (original.description or ""):
        return original
    return Status(original.status_code, record.status_message or None)
