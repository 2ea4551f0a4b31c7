"""What Jaeger must answer, worked out from the messages that were sent and from nothing else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

KINDS: Final = ("", "internal", "server", "client", "producer", "consumer")
STATUSES: Final = ("unset", "ok", "error")


@dataclass(frozen=True, slots=True)
class SentSpan:
    """A span with what stands around it.

    Attributes:
        resource: its attributes by key, in Python's types.
    """

    span: Span
    scope: InstrumentationScope
    resource: Mapping[str, Any]

    @property
    def service(self) -> str:
        """The service's name."""
        return str(self.resource.get("service.name", ""))

    @property
    def trace_id(self) -> str:
        """In hex."""
        return self.span.trace_id.hex()

    @property
    def duration(self) -> int:
        """Nanoseconds."""
        return self.span.end_time_unix_nano - self.span.start_time_unix_nano

    def has(self, key: str, text: str) -> bool:
        """Whether it, its scope, resource, events or links have an attribute that is written like the text."""
        places = [self.span.attributes, self.scope.attributes, *(event.attributes for event in self.span.events)]
        places += [link.attributes for link in self.span.links]
        values = [value for place in places for name, value in as_python(place).items() if name == key]
        return text in map(written, [*values, *([self.resource[key]] if key in self.resource else [])])


Condition = Callable[[SentSpan], bool]


def spans_of(messages: Iterable[ExportTraceServiceRequest | TracesData]) -> Iterator[SentSpan]:
    """All spans of some messages."""
    for message in messages:
        for resource_spans in message.resource_spans:
            resource = as_python(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    yield SentSpan(span, scope_spans.scope, resource)


def matching(spans: Iterable[SentSpan], condition: Condition, limit: int = 1_000) -> list[str]:
    """Ids of the traces with a span for which the condition holds, the one whose matching span started last first."""
    newest: dict[str, int] = {}
    for one in spans:
        if condition(one):
            newest[one.trace_id] = max(one.span.start_time_unix_nano, newest.get(one.trace_id, 0))
    return sorted(newest, key=lambda trace_id: (-newest[trace_id], trace_id))[:limit]


def calls(spans: Iterable[SentSpan]) -> dict[tuple[str, str], int]:
    """How often a service called another: spans whose parent is of another one."""
    known = list(spans)
    services = {(one.span.trace_id, one.span.span_id): one.service for one in known}
    edges = ((services.get((one.span.trace_id, one.span.parent_span_id)), one.service) for one in known)
    return Counter((parent, child) for parent, child in edges if parent and parent != child)


def by_trace(spans: Iterable[SentSpan]) -> dict[str, list[SentSpan]]:
    """The spans of each trace."""
    found: defaultdict[str, list[SentSpan]] = defaultdict(list)
    for one in spans:
        found[one.trace_id].append(one)
    return dict(found)


def as_python(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes by key, in Python's types."""
    return {pair.key: _value(pair.value) for pair in attributes}


def written(value: Any) -> str:
    """How a user writes an attribute's value into a search box."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _value(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return as_python(value.kvlist_value.values)
    return getattr(value, which) if which else None
