"""The event record of a Pipeline as a span: docs/event-record.md is the table."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk import attributes as names
from spanward.sdk._links import LinkSource, to_links
from spanward.sdk._operation import record_failure
from spanward.sdk._options import label_attributes, mapping, several
from spanward.sdk._values import to_attribute, to_text
from spanward.sdk.context import SessionContext, current_session
from spanward.store.errors import ConfigurationError

_LATEST: Final = 2**63 - 1  # nanoseconds since the epoch that a table can hold


class EventDetails(TypedDict, total=False):
    """The fields of an event that a Pipeline's methods take by keyword; `EventRecord` says what they mean."""

    timestamp: int | dt.datetime | None
    classification: Classification | str | None
    retention: Retention | str | int | None
    contains_pii: bool | None
    privacy_tags: Iterable[str]
    processing_time_ms: float | None
    memory_mb: float | None
    cpu_percent: float | None
    quality_score: float | None
    success: bool | None
    error: BaseException | str | None
    event_id: str | None
    session_id: str | None
    request_id: str | None
    user_id: str | None
    parents: Iterable[LinkSource]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """What a caller tells of one event; None where it tells nothing.

    Attributes:
        name: of the operation, and of the span.
        event_type: such as "model.call".
        timestamp: when it began, nanoseconds since the epoch or an aware datetime; None for now, or, with
            `processing_time_ms`, for so long ago.
        input, output: text, or anything that JSON shows.
        metadata: each entry becomes `spanward.metadata.<key>`.
        success: None means that it succeeded unless there is an error.
        error: an exception, or its message.
        parents: the spans that it was made from.
        relation: what the parents are to it, `spanward.link.relation`.
    """

    name: str
    event_type: str | None = None
    component: str | None = None
    timestamp: int | dt.datetime | None = None
    input: Any = None
    output: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    classification: Classification | str | None = None
    retention: Retention | str | int | None = None
    contains_pii: bool | None = None
    privacy_tags: Iterable[str] = ()
    processing_time_ms: float | None = None
    memory_mb: float | None = None
    cpu_percent: float | None = None
    quality_score: float | None = None
    success: bool | None = None
    error: BaseException | str | None = None
    event_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    parents: Iterable[LinkSource] = ()
    relation: str = "parent"
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def make_span(tracer: Tracer, event: EventRecord) -> ApiSpan:
    """The event as an ended span, child of the current one.

    Raises:
        ConfigurationError: a label, number, time or parent is not one.
    """
    start, end = _times(event)
    span = tracer.start_span(
        event.name,
        kind=SpanKind.INTERNAL,
        attributes=_attributes(event),
        links=to_links(several("parents", event.parents), event.relation),
        start_time=start,
    )
    _set_status(span, event)
    span.end(end)
    return span


def _times(event: EventRecord) -> tuple[int, int]:
    """Start and end in nanoseconds since the epoch."""
    milliseconds = _double("processing_time_ms", event.processing_time_ms)
    duration = int((milliseconds or 0.0) * 1e6) if _is_duration(milliseconds) else 0
    if event.timestamp is None:
        end = time.time_ns()
        return end - duration, end
    start = event.timestamp
    if isinstance(start, dt.datetime):
        if start.tzinfo is None:
            raise ConfigurationError(f"timestamp {start} has no time zone; use datetime.now(timezone.utc)")
        start = int(start.timestamp() * 1_000_000) * 1000
    if not 0 <= start <= _LATEST - duration:
        raise ConfigurationError(f"timestamp {start} is not in nanoseconds since 1970, or is past 2262")
    return start, start + duration


def _is_duration(milliseconds: float | None) -> bool:
    """Whether a span can last so long; what cannot is for the quality rules to say, not for us to refuse."""
    return milliseconds is not None and 0 <= milliseconds < 1e12  # noqa: PLR2004 - thirty years


def _attributes(event: EventRecord) -> dict[str, AttributeValue]:
    ids = (
        current_session().attributes()
        | SessionContext(
            session_id=event.session_id or "",
            request_id=event.request_id or "",
            user_id=event.user_id or "",
        ).attributes()
    )
    told: dict[str, Any] = {
        names.EVENT_ID: event.event_id,
        names.EVENT_TYPE: event.event_type,
        names.COMPONENT: event.component,
        names.OPERATION: event.name,
        names.INPUT: None if event.input is None else to_text(event.input),
        names.OUTPUT: None if event.output is None else to_text(event.output),
        names.CONTAINS_PII: event.contains_pii,
        names.PRIVACY_TAGS: list(several("privacy_tags", event.privacy_tags)) or None,
        names.PROCESSING_TIME_MS: _double("processing_time_ms", event.processing_time_ms),
        names.MEMORY_MB: _double("memory_mb", event.memory_mb),
        names.CPU_PERCENT: _double("cpu_percent", event.cpu_percent),
        names.QUALITY_SCORE: _double("quality_score", event.quality_score),
        **{names.METADATA_PREFIX + str(key): value for key, value in mapping("metadata", event.metadata).items()},
        **event.attributes,
        **label_attributes(event.classification, event.retention),
    }
    return {**ids, **{key: to_attribute(value) for key, value in told.items() if value is not None}}


def _double(name: str, number: float | None) -> float | None:
    """These attributes are of type double, whatever kind of number the caller has."""
    try:
        return None if number is None else float(number)
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(f"{name}={number!r} is no number") from None


def _set_status(span: ApiSpan, event: EventRecord) -> None:
    if isinstance(event.error, BaseException):
        record_failure(span, event.error)
    elif event.error is not None or event.success is False:
        message = event.error or ""
        span.set_attribute(names.ERROR_TYPE, "_OTHER")  # the conventions' word for an error without a type
        span.set_status(Status(StatusCode.ERROR, to_text(message)))
        if message:
            span.add_event("exception", {"exception.type": "_OTHER", "exception.message": to_text(message)})
    elif event.success:
        span.set_status(Status(StatusCode.OK))
