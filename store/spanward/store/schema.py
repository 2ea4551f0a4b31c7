"""The tables' columns: the one place where they are named.

Readers and writers of the lake, the intake log and the kernel all build on this schema; changing a name or a type is a
migration for every user and takes a decision record. docs/table.md explains the columns to users.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import pyarrow as pa

_STR_MAP = pa.map_(pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string()))
_INT_MAP = pa.map_(pa.field("key", pa.string(), nullable=False), pa.field("value", pa.int64()))
_DOUBLE_MAP = pa.map_(pa.field("key", pa.string(), nullable=False), pa.field("value", pa.float64()))
_BOOL_MAP = pa.map_(pa.field("key", pa.string(), nullable=False), pa.field("value", pa.bool_()))
_TIMESTAMP = pa.timestamp("us", tz="UTC")

EVENT: Final = pa.struct(
    [
        pa.field("time_unix_nano", pa.int64()),
        pa.field("name", pa.string()),
        pa.field("attributes", pa.string()),  # JSON object, see `spanward.store.values`
        pa.field("dropped_attributes_count", pa.int64()),
    ],
)
LINK: Final = pa.struct(
    [
        pa.field("trace_id", pa.string()),
        pa.field("span_id", pa.string()),
        pa.field("trace_state", pa.string()),
        pa.field("attributes", pa.string()),  # JSON object
        pa.field("dropped_attributes_count", pa.int64()),
        pa.field("flags", pa.int64()),
    ],
)

PROMOTED_STRINGS: Final = MappingProxyType(
    {
        "http.request.method": "http_request_method",
        "http.route": "http_route",
        "url.full": "url_full",
        "url.path": "url_path",
        "url.query": "url_query",
        "url.scheme": "url_scheme",
        "server.address": "server_address",
        "client.address": "client_address",
        "network.peer.address": "network_peer_address",
        "network.protocol.version": "network_protocol_version",
        "user_agent.original": "user_agent_original",
        "db.system.name": "db_system_name",
        "db.namespace": "db_namespace",
        "db.operation.name": "db_operation_name",
        "db.query.text": "db_query_text",
        "rpc.system.name": "rpc_system_name",
        "rpc.method": "rpc_method",
        "messaging.system": "messaging_system",
        "messaging.destination.name": "messaging_destination_name",
        "code.function.name": "code_function_name",
        "error.type": "error_type",
        "session.id": "session_id",
        "user.id": "user_id",
        "enduser.id": "enduser_id",
        "gen_ai.operation.name": "gen_ai_operation_name",
        "gen_ai.provider.name": "gen_ai_provider_name",
        "gen_ai.request.model": "gen_ai_request_model",
        "gen_ai.response.model": "gen_ai_response_model",
        "gen_ai.conversation.id": "gen_ai_conversation_id",
        "gen_ai.input.messages": "gen_ai_input_messages",
        "gen_ai.output.messages": "gen_ai_output_messages",
        "spanward.event.type": "spanward_event_type",
        "spanward.component": "spanward_component",
        "spanward.operation": "spanward_operation",
        "spanward.request.id": "spanward_request_id",
        "spanward.input": "spanward_input",
        "spanward.output": "spanward_output",
    },
)
"""Attribute key -> its own column, for values of type string. A value of another type goes to its typed map."""

PROMOTED_INTS: Final = MappingProxyType(
    {
        "http.response.status_code": "http_response_status_code",
        "server.port": "server_port",
        "network.peer.port": "network_peer_port",
        "gen_ai.usage.input_tokens": "gen_ai_usage_input_tokens",
        "gen_ai.usage.output_tokens": "gen_ai_usage_output_tokens",
    },
)
"""Attribute key -> its own column, for values of type int."""

PROMOTED_DOUBLES: Final = MappingProxyType(
    {
        "spanward.processing_time_ms": "spanward_processing_time_ms",
        "spanward.memory_mb": "spanward_memory_mb",
        "spanward.cpu_percent": "spanward_cpu_percent",
    },
)
"""Attribute key -> its own column, for values of type double."""

_IDENTITY = [
    pa.field("tenant", pa.string(), nullable=False),
    pa.field("received_at", _TIMESTAMP, nullable=False),
    pa.field("trace_id", pa.string(), nullable=False),
    pa.field("span_id", pa.string(), nullable=False),
    pa.field("parent_span_id", pa.string()),  # null for a root
    pa.field("trace_state", pa.string()),  # null for ""
    pa.field("flags", pa.int64(), nullable=False),
    pa.field("name", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),  # `KINDS`; a number unknown today is kept as its digits
    pa.field("start_time", _TIMESTAMP, nullable=False),
    pa.field("start_unix_nano", pa.int64(), nullable=False),
    pa.field("duration_ns", pa.int64(), nullable=False),  # end - start, negative when a clock went back
    pa.field("status_code", pa.string(), nullable=False),  # `STATUSES`, or the digits
    pa.field("status_message", pa.string()),
    pa.field("service_name", pa.string()),  # null when the resource has none
]
_GOVERNANCE = [
    pa.field("expires_on", pa.date32()),  # null for permanent
    pa.field("pii", pa.list_(pa.string())),
    pa.field("subjects", pa.list_(pa.string())),
    pa.field("quality_score", pa.float64(), nullable=False),
    pa.field("quality_violations", pa.list_(pa.string())),
]
_PAYLOAD = [
    pa.field("dropped_attributes_count", pa.int64(), nullable=False),
    pa.field("attributes_str", _STR_MAP),
    pa.field("attributes_int", _INT_MAP),
    pa.field("attributes_double", _DOUBLE_MAP),
    pa.field("attributes_bool", _BOOL_MAP),
    pa.field("attributes_json", _STR_MAP),  # arrays, maps, bytes and the empty value, each as JSON
    pa.field("events", pa.list_(EVENT)),
    pa.field("dropped_events_count", pa.int64(), nullable=False),
    pa.field("links", pa.list_(LINK)),
    pa.field("dropped_links_count", pa.int64(), nullable=False),
    pa.field("resource", pa.dictionary(pa.int32(), pa.string()), nullable=False),  # JSON object of its attributes
    pa.field("resource_dropped_attributes_count", pa.int64(), nullable=False),
    pa.field("resource_schema_url", pa.string()),
    pa.field("resource_entity_refs", pa.string()),  # JSON array, null when there are none
    pa.field("scope_name", pa.string()),
    pa.field("scope_version", pa.string()),
    pa.field("scope_attributes", pa.string()),  # JSON object, null when empty
    pa.field("scope_dropped_attributes_count", pa.int64(), nullable=False),
    pa.field("scope_schema_url", pa.string()),
]
_PARTITIONS = [
    pa.field("date", pa.date32(), nullable=False),  # UTC day of receipt
    pa.field("retention", pa.string(), nullable=False),
    pa.field("classification", pa.string(), nullable=False),
]

SPANS: Final = pa.schema(
    [
        *_PARTITIONS,
        *_IDENTITY,
        *_GOVERNANCE,
        *(pa.field(column, pa.string()) for column in PROMOTED_STRINGS.values()),
        *(pa.field(column, pa.int64()) for column in PROMOTED_INTS.values()),
        *(pa.field(column, pa.float64()) for column in PROMOTED_DOUBLES.values()),
        *_PAYLOAD,
    ],
)
"""One row a span."""

PARTITION_COLUMNS: Final = tuple(field.name for field in _PARTITIONS)

CLEAR_COLUMNS: Final = frozenset(
    {
        *PARTITION_COLUMNS,
        *(field.name for field in _IDENTITY if field.name not in {"trace_state", "status_message"}),
        *(field.name for field in _GOVERNANCE),
        "dropped_attributes_count",
        "dropped_events_count",
        "dropped_links_count",
        "http_request_method",
        "http_route",
        "http_response_status_code",
        "rpc_system_name",
        "rpc_method",
        "db_system_name",
        "db_operation_name",
        "error_type",
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "gen_ai_request_model",
        "gen_ai_response_model",
        "gen_ai_usage_input_tokens",
        "gen_ai_usage_output_tokens",
        "spanward_event_type",
        "spanward_component",
        "spanward_operation",
        "spanward_processing_time_ms",
        "spanward_memory_mb",
        "spanward_cpu_percent",
    },
)
"""Readable without any key in every class; all others are payload, encrypted from INTERNAL up."""

PAYLOAD_COLUMNS: Final = tuple(name for name in SPANS.names if name not in CLEAR_COLUMNS)

STATISTICS_COLUMNS: Final = (
    "tenant", "received_at", "trace_id", "span_id", "parent_span_id", "name", "kind", "start_time", "start_unix_nano",
    "duration_ns", "status_code", "service_name", "http_route", "http_response_status_code", "error_type",
    "gen_ai_request_model", "quality_score", "expires_on",
)  # fmt: skip
"""Clear columns whose minimum and maximum go into the Delta log and the Parquet footer, so that readers skip files."""

PERCENTILES: Final = pa.schema(
    [
        pa.field("date", pa.date32(), nullable=False),  # UTC day of `minute`
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("service_name", pa.string(), nullable=False),  # "" when the resource has none
        pa.field("name", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("status_code", pa.string(), nullable=False),
        pa.field("minute", _TIMESTAMP, nullable=False),  # of span end
        pa.field("scale", pa.int32(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("sum_ns", pa.float64(), nullable=False),
        pa.field("min_ns", pa.int64(), nullable=False),
        pa.field("max_ns", pa.int64(), nullable=False),
        pa.field("zero_count", pa.int64(), nullable=False),  # durations <= 0
        pa.field("bucket_index", pa.list_(pa.int32()), nullable=False),  # ascending
        pa.field("bucket_count", pa.list_(pa.int64()), nullable=False),
        pa.field("app_id", pa.string(), nullable=False),  # who wrote this partial, and from which log records
        pa.field("sequence_first", pa.int64(), nullable=False),
        pa.field("sequence_last", pa.int64(), nullable=False),
    ],
)
"""One row a sketch: additive partials, to be merged by (tenant, service_name, name, kind, status_code, window)."""

PERCENTILES_PARTITION_COLUMNS: Final = ("date",)

KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""OTLP SpanKind by its number."""

STATUSES: Final = ("unset", "ok", "error")
"""OTLP Status.StatusCode by its number."""


def enum_word(words: tuple[str, ...], number: int) -> str:
    """The word of an OTLP enum number; the digits of a number that has no word yet."""
    return words[number] if 0 <= number < len(words) else str(number)


def enum_number(words: tuple[str, ...], word: str) -> int:
    """The inverse of `enum_word`.

    Raises:
        ValueError: `word` is neither one of `words` nor a number.
    """
    return words.index(word) if word in words else int(word)
