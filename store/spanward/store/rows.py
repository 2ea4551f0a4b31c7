"""Governed spans to rows of the table: the one place where a span becomes columns.

Columns are filled as lists and handed to Arrow whole; a dict per row would cost more than everything else together.
`spanward.store.otlp` is the inverse. Conventions beyond those in `spanward.store.schema`: an optional text that is ""
is null, except inside events and links, where nothing is null; list and map columns are empty, never null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from spanward.processor.policy.span import EventRecord, LinkRecord, ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.store.attribute_columns import attribute_columns
from spanward.store.clock import utc_date
from spanward.store.schema import EVENT, KINDS, LINK, SPANS, STATUSES, enum_word
from spanward.store.text import string_array
from spanward.store.values import dumps, dumps_attributes

_Columns = dict[str, pa.Array]


def build_rows(records: Sequence[SpanRecord], *, tenant: str, received_at_ns: int) -> pa.RecordBatch:
    """Make one row of each span that the policy did not drop, in order.

    Args:
        records: governed spans; those whose verdict says `dropped` make no row.
        tenant: whose spans these are.
        received_at_ns: when the request came, nanoseconds since the Unix epoch; its UTC day is the partition and the
            day from which the retention counts.

    Returns:
        A batch of the schema `SPANS`, empty when there is nothing to keep.

    Raises:
        ValueError: a record has no verdict: what the policy has not seen must not be stored.
    """
    verdicts = [_verdict(record) for record in records]
    kept = [record for record, verdict in zip(records, verdicts, strict=True) if not verdict.dropped]
    columns = {
        **_receipt(len(kept), tenant, received_at_ns),
        **_governance([verdict for verdict in verdicts if not verdict.dropped], received_at_ns),
        **_identity(kept),
        **_events(kept),
        **_links(kept),
        **_resources(kept),
        **_scopes(kept),
        **attribute_columns([record.attributes for record in kept]),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in SPANS.names], schema=SPANS)


def _verdict(record: SpanRecord) -> Verdict:
    if record.verdict is None:
        raise ValueError(f"span {record.span_id} has no verdict; run the policy over it before it is stored")
    return record.verdict


def _receipt(count: int, tenant: str, received_at_ns: int) -> _Columns:
    constants = {"tenant": tenant, "received_at": received_at_ns // 1000, "date": utc_date(received_at_ns)}
    return {
        name: pa.repeat(pa.scalar(value, SPANS.field(name).type), count)  # a constant column
        for name, value in constants.items()
    }


def _governance(verdicts: Sequence[Verdict], received_at_ns: int) -> _Columns:
    received = utc_date(received_at_ns)
    terms = {verdict.retention for verdict in verdicts}
    words = {term: str(term) for term in terms}
    ends = {term: term.expires_on(received) for term in terms}
    return {
        "retention": pa.array([words[verdict.retention] for verdict in verdicts], pa.string()),
        "classification": pa.array([verdict.classification.value for verdict in verdicts], pa.string()),
        "expires_on": pa.array([ends[verdict.retention] for verdict in verdicts], pa.date32()),
        "quality_score": pa.array([verdict.quality_score for verdict in verdicts], pa.float64()),
        "pii": _text_lists([verdict.pii for verdict in verdicts]),
        "subjects": _text_lists([verdict.subjects for verdict in verdicts]),
        "quality_violations": _text_lists([verdict.quality_violations for verdict in verdicts]),
    }


def _text_lists(lists: Sequence[Sequence[str]]) -> pa.Array:
    items = string_array([item for one in lists for item in one])
    return pa.ListArray.from_arrays(_offsets(map(len, lists)), items)


def _offsets(lengths: Iterable[int]) -> pa.Array:
    offsets = [0]
    position = 0
    for length in lengths:
        position += length
        offsets.append(position)
    return pa.array(offsets, pa.int32())


def _identity(records: Sequence[SpanRecord]) -> _Columns:
    starts = [record.start_unix_nano for record in records]
    ends = [record.end_unix_nano for record in records]
    return {
        "trace_id": pa.array([record.trace_id for record in records], pa.string()),
        "span_id": pa.array([record.span_id for record in records], pa.string()),
        "parent_span_id": pa.array([record.parent_span_id or None for record in records], pa.string()),
        "trace_state": string_array([record.trace_state or None for record in records]),
        "flags": pa.array([record.flags for record in records], pa.int64()),
        "name": string_array([record.name for record in records]),
        "kind": pa.array([enum_word(KINDS, record.kind) for record in records], pa.string()),
        "start_time": pa.array([start // 1000 for start in starts], SPANS.field("start_time").type),
        "start_unix_nano": pa.array(starts, pa.int64()),
        "duration_ns": pa.array([end - start for start, end in zip(starts, ends, strict=True)], pa.int64()),
        "status_code": pa.array([enum_word(STATUSES, record.status_code) for record in records], pa.string()),
        "status_message": string_array([record.status_message or None for record in records]),
        "dropped_attributes_count": pa.array([record.dropped_attributes_count for record in records], pa.int64()),
        "dropped_events_count": pa.array([record.dropped_events_count for record in records], pa.int64()),
        "dropped_links_count": pa.array([record.dropped_links_count for record in records], pa.int64()),
    }


def _events(records: Sequence[SpanRecord]) -> _Columns:
    events = [event for record in records for event in record.events]
    return {"events": _struct_lists(EVENT, events, (len(record.events) for record in records))}


def _links(records: Sequence[SpanRecord]) -> _Columns:
    links = [link for record in records for link in record.links]
    return {"links": _struct_lists(LINK, links, (len(record.links) for record in records))}


def _struct_lists(
    struct: pa.StructType, items: Sequence[EventRecord] | Sequence[LinkRecord], lengths: Iterable[int]
) -> pa.Array:
    """A list column of `struct`, whose fields are named as the attributes of `items`."""
    children = [_struct_child(field, items) for field in struct]
    values = pa.StructArray.from_arrays(children, fields=list(struct))
    return pa.ListArray.from_arrays(_offsets(lengths), values)


def _struct_child(field: pa.Field, items: Sequence[EventRecord] | Sequence[LinkRecord]) -> pa.Array:
    if field.name == "attributes":
        return string_array([_object(item.attributes) for item in items])
    values = list(map(attrgetter(field.name), items))
    return string_array(values) if field.type == pa.string() else pa.array(values, field.type)


def _object(attributes: dict[str, Any]) -> str:
    return dumps_attributes(attributes) if attributes else "{}"


def _resources(records: Sequence[SpanRecord]) -> _Columns:
    """Each resource is written once, however many spans share it."""
    shared, index = _distinct(record.resource for record in records)
    texts: dict[str, int] = {}
    codes = [texts.setdefault(_object(resource.attributes), len(texts)) for resource in shared]
    return {
        "resource": pa.DictionaryArray.from_arrays(
            pa.array([codes[i] for i in index], pa.int32()), string_array(list(texts))
        ),
        "service_name": _texts(shared, index, _service_name),
        "resource_dropped_attributes_count": _counts(shared, index),
        "resource_schema_url": _texts(shared, index, lambda resource: resource.schema_url),
        "resource_entity_refs": _texts(shared, index, _entity_refs),
    }


def _service_name(resource: ResourceRecord) -> str:
    name = resource.attributes.get("service.name")
    return name if isinstance(name, str) else ""


def _entity_refs(resource: ResourceRecord) -> str:
    return dumps(resource.entity_refs) if resource.entity_refs else ""


def _scopes(records: Sequence[SpanRecord]) -> _Columns:
    shared, index = _distinct(record.scope for record in records)
    return {
        "scope_name": _texts(shared, index, lambda scope: scope.name),
        "scope_version": _texts(shared, index, lambda scope: scope.version),
        "scope_attributes": _texts(
            shared, index, lambda scope: dumps_attributes(scope.attributes) if scope.attributes else ""
        ),
        "scope_dropped_attributes_count": _counts(shared, index),
        "scope_schema_url": _texts(shared, index, lambda scope: scope.schema_url),
    }


def _distinct(objects: Iterable[Any]) -> tuple[list[Any], list[int]]:
    """The distinct objects (by identity: equality of whole resources costs too much) and, per row, which one."""
    shared: list[Any] = []
    positions: dict[int, int] = {}
    index: list[int] = []
    for item in objects:
        position = positions.setdefault(id(item), len(shared))
        if position == len(shared):
            shared.append(item)
        index.append(position)
    return shared, index


def _texts(shared: Sequence[Any], index: Sequence[int], read: Callable[[Any], str]) -> pa.Array:
    values = [read(item) or None for item in shared]
    return string_array([values[i] for i in index])


def _counts(shared: Sequence[ResourceRecord] | Sequence[ScopeRecord], index: Sequence[int]) -> pa.Array:
    values = [item.dropped_attributes_count for item in shared]
    return pa.array([values[i] for i in index], pa.int64())
