"""Jaeger's messages to trace queries and back.

Jaeger's client always sends all fields: an unset time arrives as one before 1970 and an unset duration as zero, so that
both mean "no bound" here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from spanward.extension.jaeger import storage_pb2 as pb
from spanward.store.errors import InvalidRequestError
from spanward.store.query import Dependency, FoundTrace, TraceQuery, TraceSummary

_TRACE_ID_BYTES: Final = 16
_NANOS: Final = 1_000_000_000
_INT64_MAX: Final = (1 << 63) - 1
_UNSPECIFIED: Final = "unspecified"  # the table's word for the kind that Jaeger calls ""


def trace_id(raw: bytes) -> str:
    """A trace id as hex.

    Raises:
        InvalidRequestError: it has not 16 bytes.
    """
    if len(raw) != _TRACE_ID_BYTES:
        raise InvalidRequestError(f"trace_id has {len(raw)} bytes; it must have {_TRACE_ID_BYTES}")
    return raw.hex()


def trace_query(message: pb.TraceQueryParameters) -> TraceQuery:
    """The query that a search asks; of attributes with the same key the last counts."""
    return TraceQuery(
        service_name=message.service_name,
        operation_name=message.operation_name,
        attributes={attribute.key: _value(attribute.value) for attribute in message.attributes},
        start_min_ns=nanos(message.start_time_min),
        start_max_ns=nanos(message.start_time_max),
        duration_min_ns=nanos(message.duration_min),
        duration_max_ns=nanos(message.duration_max),
        limit=message.search_depth,
    )


def nanos(message: Timestamp | Duration) -> int | None:
    """Nanoseconds, at most what 63 bits hold; None for zero and less, which is how unset ones arrive."""
    total = message.seconds * _NANOS + message.nanos
    return min(total, _INT64_MAX) if total > 0 else None


def _value(message: pb.AnyValue) -> Any:
    which = message.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in message.array_value.values]
    if which == "kvlist_value":
        return {item.key: _value(item.value) for item in message.kvlist_value.values}
    return getattr(message, which) if which else None


def kind_word(span_kind: str) -> str | None:
    """The table's word for a kind in a request; None for "", which asks for any."""
    return span_kind.lower() or None


def operations(found: Iterable[tuple[str, str]]) -> pb.GetOperationsResponse:
    """(name, kind word) pairs as Jaeger takes them."""
    return pb.GetOperationsResponse(
        operations=[pb.Operation(name=name, span_kind="" if kind == _UNSPECIFIED else kind) for name, kind in found],
    )


def found_trace_ids(found: Iterable[FoundTrace]) -> pb.FindTraceIDsResponse:
    """Found traces with their first start and last end."""
    return pb.FindTraceIDsResponse(
        trace_ids=[
            pb.FoundTraceID(
                trace_id=bytes.fromhex(trace.trace_id), start=_timestamp(trace.start_ns), end=_timestamp(trace.end_ns)
            )
            for trace in found
        ],
    )


def _timestamp(unix_nano: int) -> Timestamp:
    seconds, rest = divmod(unix_nano, _NANOS)
    return Timestamp(seconds=seconds, nanos=rest)


def summary(trace: TraceSummary) -> pb.TraceSummary:
    """A trace in one line."""
    return pb.TraceSummary(
        trace_id=bytes.fromhex(trace.trace_id),
        root_service_name=trace.root_service,
        root_operation_name=trace.root_operation,
        min_start_time_unix_nano=trace.start_ns,
        max_end_time_unix_nano=trace.end_ns,
        span_count=trace.spans,
        error_span_count=trace.errors,
        orphan_span_count=trace.orphans,
        services=[
            pb.ServiceSummary(name=part.name, span_count=part.spans, error_span_count=part.errors)
            for part in trace.services
        ],
    )


def dependencies(found: Iterable[Dependency]) -> pb.GetDependenciesResponse:
    """Edges between services, `source` naming who counted them."""
    return pb.GetDependenciesResponse(
        dependencies=[
            pb.Dependency(parent=edge.parent, child=edge.child, call_count=edge.call_count, source="spanward")
            for edge in found
        ],
    )


def window(request: pb.GetDependenciesRequest) -> tuple[int, int]:
    """The window asked for, an unset end meaning all that is stored."""
    end = nanos(request.end_time)
    return nanos(request.start_time) or 0, _INT64_MAX if end is None else end
