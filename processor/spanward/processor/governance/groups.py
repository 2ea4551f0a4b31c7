"""A protobuf request as groups of spans, one per scope, whatever state its bytes are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from spanward.processor.governance.limits import Position
from spanward.processor.governance.wire import MalformedError, repair, split
from spanward.store.errors import InvalidRequestError

_RESOURCE_SPANS: Final = TracesData.RESOURCE_SPANS_FIELD_NUMBER
_SCOPE_SPANS: Final = ResourceSpans.SCOPE_SPANS_FIELD_NUMBER
_SPANS: Final = ScopeSpans.SPANS_FIELD_NUMBER

M = TypeVar("M", bound=Message)


class Group(NamedTuple):
    """The spans of one scope; a message that no parser reads is replaced by the reason, in words."""

    position: Position
    resource: ResourceSpans | str
    scope: ScopeSpans | str
    spans: Sequence[Span | str]


def read_groups(body: bytes) -> Iterable[Group]:
    """Parse a request; where the parser refuses the whole, read it part by part.

    Raises:
        InvalidRequestError: even the outer lengths do not fit.
    """
    try:
        return _parsed(TracesData.FromString(body))
    except DecodeError:
        return _salvaged(body)


def _parsed(data: TracesData) -> Iterator[Group]:
    for r, resource_spans in enumerate(data.resource_spans):
        for s, scope_spans in enumerate(resource_spans.scope_spans):
            yield Group(Position(r, s), resource_spans, scope_spans, scope_spans.spans)


def _salvaged(body: bytes) -> list[Group]:
    """The same message read part by part, so that a part which no parser reads costs nothing but itself.

    Raises:
        InvalidRequestError: even the outer lengths do not fit.
    """
    groups: list[Group] = []
    try:
        for r, resource_bytes in enumerate(split(body, _RESOURCE_SPANS)[1]):
            header, scopes = split(resource_bytes, _SCOPE_SPANS)
            resource = _read(ResourceSpans, header)
            for s, scope_bytes in enumerate(scopes):
                header, spans = split(scope_bytes, _SPANS)
                scope = _read(ScopeSpans, header)
                groups.append(Group(Position(r, s), resource, scope, [_read(Span, span) for span in spans]))
    except MalformedError as error:
        raise InvalidRequestError(f"the body is not an OTLP ExportTraceServiceRequest in protobuf: {error}") from error
    return groups


def _read(kind: type[M], data: bytes) -> M | str:
    """The message, repaired if need be, or why it cannot be read."""
    try:
        return kind.FromString(data)
    except DecodeError:
        pass
    try:
        return kind.FromString(repair(data, cast("Descriptor", kind.DESCRIPTOR)))
    except (DecodeError, MalformedError) as error:
        return f"malformed {kind.DESCRIPTOR.name}: {error}"
