"""The lake's tables: how each is stored, which is not quite how it is in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from spanward.store.schema import (
    PARTITION_COLUMNS,
    PAYLOAD_COLUMNS,
    PERCENTILES,
    PERCENTILES_PARTITION_COLUMNS,
    SPANS,
    STATISTICS_COLUMNS,
)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """How a table is stored.

    Attributes:
        name: its folder.
        schema: all columns, as they are stored and read back.
        partition_by: columns that are in the path of a file instead of in the file.
        sort_by: order of the rows of a file that was merged.
        statistics: columns whose bounds are recorded, so that readers skip files.
        payload: columns that are encrypted in partitions that are not public.
        plain: columns of many distinct values, for which a dictionary costs and saves nothing (leaf paths).
        delta: integer columns that are stored as differences (leaf paths).
        times: integer columns that are stored as differences where neighbours came at the same time (leaf paths).
        lengths: strings without anything in common, such as random ids, stored apart from their lengths: four bytes of
            length before each value cost a compressor more than they are worth (leaf paths).
        prefixes: distinct strings that begin alike, stored as what differs from the one before (leaf paths).
        text: free text, worth a compressor's effort where it stays (leaf paths).
    """

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...]
    sort_by: tuple[str, ...]
    statistics: tuple[str, ...]
    payload: tuple[str, ...] = ()
    plain: frozenset[str] = frozenset()
    delta: frozenset[str] = frozenset()
    times: frozenset[str] = frozenset()
    lengths: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    text: frozenset[str] = frozenset()

    @property
    def file_schema(self) -> pa.Schema:
        """The columns that are in the files."""
        return pa.schema([field for field in self.schema if field.name not in self.partition_by])


def _without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """A dictionary is a way to hold a column in memory; a table has the type of its values."""
    return pa.schema(
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema
    )


SPANS_TABLE: Final = TableSpec(
    name="spans",
    schema=_without_dictionaries(SPANS),
    partition_by=PARTITION_COLUMNS,
    sort_by=("tenant", "trace_id", "start_unix_nano"),
    statistics=STATISTICS_COLUMNS,
    payload=PAYLOAD_COLUMNS,
    plain=frozenset(
        {
            "trace_id", "url_full", "url_query", "db_query_text", "gen_ai_input_messages", "gen_ai_output_messages",
            "spanward_input", "spanward_output", "spanward_processing_time_ms", "attributes_int.key_value.value",
            "attributes_double.key_value.value", "attributes_json.key_value.value", "events.list.element.attributes",
            "links.list.element.attributes",
        },
    ),
    delta=frozenset(
        {
            "duration_ns", "events.list.element.time_unix_nano",
            "gen_ai_usage_input_tokens", "gen_ai_usage_output_tokens",
        },
    ),
    times=frozenset({"start_time", "start_unix_nano", "received_at"}),
    lengths=frozenset(
        {
            "span_id", "parent_span_id", "links.list.element.trace_id", "links.list.element.span_id",
            "gen_ai_conversation_id", "spanward_request_id", "attributes_str.key_value.value",
        },
    ),
    prefixes=frozenset({"subjects.list.element", "enduser_id", "user_id", "session_id"}),
    text=frozenset(
        {
            "attributes_str.key_value.value", "attributes_json.key_value.value", "events.list.element.attributes",
            "db_query_text", "gen_ai_input_messages", "gen_ai_output_messages", "spanward_input", "spanward_output",
        },
    ),
)  # fmt: skip
"""One row a span; `resource` is read back as plain string."""

PERCENTILES_TABLE: Final = TableSpec(
    name="percentiles",
    schema=PERCENTILES,
    partition_by=PERCENTILES_PARTITION_COLUMNS,
    sort_by=("tenant", "service_name", "name", "minute"),
    statistics=("tenant", "service_name", "name", "minute", "sequence_first", "sequence_last"),
)
"""One row a sketch."""

DERIVED_TABLES: Final = {PERCENTILES_TABLE.name: PERCENTILES_TABLE}
"""Tables that are computed from the log and rebuilt by a replay, each with its own application transaction."""
