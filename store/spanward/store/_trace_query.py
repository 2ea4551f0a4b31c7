"""What is asked of a trace reader, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spanward.processor.policy.span import AttributeValue

DEFAULT_LIMIT: Final = 20


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Conditions that one span of a trace must satisfy, all of them.

    Attributes:
        service_name, operation_name: exact; "" for any.
        attributes: each must be found on the span, its scope, its resource, or one of its events or links. A string
            also matches integers, doubles and booleans that are written that way; any other value matches values of
            its own type. Some keys mean something else than an attribute: `error` (true or false: the status is or is
            not ERROR), `span.status`, `span.kind` (words, in any case), `scope.name`, `scope.version`, and
            `resource.KEY` (the attribute KEY of the resource only).
        start_min_ns, start_max_ns: bounds of the span's start, inclusive, nanoseconds since the Unix epoch.
        duration_min_ns, duration_max_ns: bounds of the span's duration, inclusive, nanoseconds.
        limit: at most so many traces; 0 or less means `DEFAULT_LIMIT`.
    """

    service_name: str = ""
    operation_name: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    start_min_ns: int | None = None
    start_max_ns: int | None = None
    duration_min_ns: int | None = None
    duration_max_ns: int | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class FoundTrace:
    """A trace that a query found.

    Attributes:
        trace_id: lowercase hex.
        start_ns, end_ns: first start and last end of all its spans, nanoseconds since the Unix epoch.
    """

    trace_id: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """One service's share of a trace; `name` is "" for spans whose resource names none."""

    name: str
    spans: int
    errors: int


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace in one line.

    Attributes:
        trace_id: lowercase hex.
        root_service, root_operation: of the earliest span without a parent; where there is none, of the earliest
            orphan; "" where there is neither.
        start_ns, end_ns: first start and last end of all its spans, nanoseconds since the Unix epoch.
        spans, errors: how many spans, and how many of these with status ERROR.
        orphans: spans that name a parent which the trace does not contain.
        services: by name.
    """

    trace_id: str
    root_service: str
    root_operation: str
    start_ns: int
    end_ns: int
    spans: int
    errors: int
    orphans: int
    services: tuple[ServiceSummary, ...]


@dataclass(frozen=True, slots=True)
class Dependency:
    """Service `parent` called service `child` so many times."""

    parent: str
    child: str
    call_count: int
