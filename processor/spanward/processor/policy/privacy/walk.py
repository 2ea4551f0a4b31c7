"""Everything in a span that can hold text."""

from __future__ import annotations

from spanward.processor.policy.privacy.entities import UNCHECKED, WITHHELD
from spanward.processor.policy.privacy.redact import Redactor
from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord


def redact_span(span: SpanRecord, redactor: Redactor) -> None:
    """Name, status message, trace state, attributes, events and links; not the resource and the scope."""
    text = redactor.text
    span.name = text(span.name)
    if span.status_message:
        span.status_message = text(span.status_message)
    if span.trace_state:
        span.trace_state = text(span.trace_state)
    span.attributes, dropped = redactor.attributes(span.attributes)
    span.dropped_attributes_count += dropped
    for event in span.events:
        event.name = text(event.name)
        event.attributes, dropped = redactor.attributes(event.attributes)
        event.dropped_attributes_count += dropped
    for link in span.links:
        if link.trace_state:
            link.trace_state = text(link.trace_state)
        link.attributes, dropped = redactor.attributes(link.attributes)
        link.dropped_attributes_count += dropped


def redact_shared(shared: ResourceRecord | ScopeRecord, redactor: Redactor) -> None:
    """What all spans of one resource or scope share."""
    shared.attributes, dropped = redactor.attributes(shared.attributes)
    shared.dropped_attributes_count += dropped
    shared.schema_url = redactor.text(shared.schema_url)
    if isinstance(shared, ScopeRecord):
        shared.name = redactor.text(shared.name)
        shared.version = redactor.value_of("version", shared.version)
        return
    shared.entity_refs = [redactor.attributes(ref)[0] for ref in shared.entity_refs]


def withhold_span(span: SpanRecord) -> None:
    """Leave ids, times, kind and status code of a span, and nothing that could hold text."""
    span.name = WITHHELD
    span.status_message = ""
    span.trace_state = ""
    span.dropped_attributes_count += len(span.attributes)
    span.attributes = {}
    for event in span.events:
        event.name = WITHHELD
        event.dropped_attributes_count += len(event.attributes)
        event.attributes = {}
    for link in span.links:
        link.trace_state = ""
        link.dropped_attributes_count += len(link.attributes)
        link.attributes = {}


def withhold_shared(shared: ResourceRecord | ScopeRecord) -> None:
    """Leave nothing that could hold text of a resource or scope."""
    shared.dropped_attributes_count += len(shared.attributes)
    shared.attributes = {}
    shared.schema_url = ""
    shared.pii = (UNCHECKED,)
    shared.subjects = ()
    if isinstance(shared, ScopeRecord):
        shared.name = shared.version = ""
    else:
        shared.entity_refs = []
