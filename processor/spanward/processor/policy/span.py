"""A span while the policy works on it: plain Python values, without Arrow and without protobuf.

Receivers make these from OTLP, the SDK from ReadableSpans; the policy changes them in place and leaves its verdict on
each. Field names and meanings are those of `opentelemetry.proto.trace.v1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from spanward.processor.policy.labels import DEFAULT_CLASSIFICATION, DEFAULT_RETENTION, Classification, Retention

AttributeValue: TypeAlias = (
    "str | bool | int | float | bytes | Sequence[AttributeValue] | Mapping[str, AttributeValue] | None"
)
"""An OTLP AnyValue as Python sees it; None is the empty value."""

Attributes: TypeAlias = dict[str, AttributeValue]


@dataclass(slots=True)
class EventRecord:
    """A span event."""

    time_unix_nano: int
    name: str
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes_count: int = 0


@dataclass(slots=True)
class LinkRecord:
    """A link to another span; ids are lowercase hex."""

    trace_id: str
    span_id: str
    trace_state: str = ""
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes_count: int = 0
    flags: int = 0


@dataclass(slots=True)
class ResourceRecord:
    """What sent the span. Shared by all spans of one ResourceSpans: the policy looks at it once.

    Attributes:
        entity_refs: OTLP's EntityRef messages as mappings with the proto's field names.
        pii: entity types that the policy found in it (filled by the policy).
        subjects: `keyid:hmac` of the identifying values in it (filled by the policy).
        governed: True once the policy has been over it.
    """

    attributes: Attributes = field(default_factory=dict)
    dropped_attributes_count: int = 0
    schema_url: str = ""
    entity_refs: list[dict[str, AttributeValue]] = field(default_factory=list)
    pii: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    governed: bool = False


@dataclass(slots=True)
class ScopeRecord:
    """The instrumentation scope, shared like the resource."""

    name: str = ""
    version: str = ""
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes_count: int = 0
    schema_url: str = ""
    pii: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    governed: bool = False


@dataclass(slots=True)
class Verdict:
    """What the policy said of one span.

    Attributes:
        classification, retention: the labels in force.
        pii: sorted entity types found anywhere in the span, its resource and scope.
        subjects: sorted `keyid:hmac`, one per person id and per detected identifying value.
        quality_score: 0..1, 1 when no rule was broken.
        quality_violations: sorted `rule` names that the span broke.
        dropped: True when a rule says that the span must not be stored.
    """

    classification: Classification = DEFAULT_CLASSIFICATION
    retention: Retention = DEFAULT_RETENTION
    pii: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    quality_score: float = 1.0
    quality_violations: tuple[str, ...] = ()
    dropped: bool = False


@dataclass(slots=True)
class SpanRecord:
    """One span.

    Attributes:
        trace_id, span_id, parent_span_id: lowercase hex; parent_span_id is "" for a root.
        kind, status_code: the OTLP enum numbers; unknown numbers are kept.
        verdict: None until the policy has been over the span.
    """

    trace_id: str
    span_id: str
    name: str
    start_unix_nano: int
    end_unix_nano: int
    resource: ResourceRecord
    scope: ScopeRecord
    parent_span_id: str = ""
    trace_state: str = ""
    flags: int = 0
    kind: int = 0
    status_code: int = 0
    status_message: str = ""
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes_count: int = 0
    events: list[EventRecord] = field(default_factory=list)
    dropped_events_count: int = 0
    links: list[LinkRecord] = field(default_factory=list)
    dropped_links_count: int = 0
    verdict: Verdict | None = None
