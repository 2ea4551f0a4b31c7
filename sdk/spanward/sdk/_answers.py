"""How a Pipeline makes its answers from what became of an event."""

from __future__ import annotations

import os

from spanward.sdk._batcher import Item
from spanward.sdk._event import EventRecord
from spanward.sdk._links import LinkSource, to_span_context
from spanward.sdk._results import EventReference, OperationResult
from spanward.store.errors import ConfigurationError


def registered_subject(target: EventReference | str | os.PathLike[str]) -> list[LinkSource]:
    """The event that is registered, when it names its span; a bare id and a file do not."""
    try:
        to_span_context(target if isinstance(target, EventReference) else os.fspath(target))
    except ConfigurationError:
        return []
    return [target if isinstance(target, EventReference) else os.fspath(target)]


def reference(event: EventRecord, item: Item) -> EventReference:
    """The names of an event."""
    record = item.record
    return EventReference(event_id=event.event_id or record.span_id, trace_id=record.trace_id, span_id=record.span_id)


def result(event: EventRecord, item: Item, *, stored: bool) -> OperationResult:
    """The policy's verdict on an event, and whether it is stored."""
    named = reference(event, item)
    verdict = item.verdict
    if verdict is None:  # the destination is so slow that the policy has not been asked yet
        return OperationResult(named.event_id, named.trace_id, named.span_id, accepted=True)
    return OperationResult(
        named.event_id,
        named.trace_id,
        named.span_id,
        accepted=not verdict.dropped,
        stored=stored,
        classification=verdict.classification,
        retention=verdict.retention,
        pii=verdict.pii,
        quality_score=verdict.quality_score,
        violations=verdict.quality_violations,
    )
