"""Log records to encoded OTLP requests. Runs in worker threads: it reads files and builds messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.store.log import LogReader
from spanward.store.otlp import traces_data_chunks
from spanward.store.records import decode_rows

_MAX_READ_BYTES = 8 << 20  # of payloads that are held at one time
_MAX_READ_RECORDS = 64


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send.

    Attributes:
        tenant: whose spans these are; "" when tenants are not told apart.
        body: an encoded ExportTraceServiceRequest.
        spans: how many are in it.
    """

    tenant: str
    body: bytes
    spans: int


def read_payloads(log: LogReader, after: int) -> list[tuple[int, bytes]]:
    """The next few records of the log, as (sequence, payload); none at its end.

    Raises:
        StoreError: the log cannot be read.
    """
    found: list[tuple[int, bytes]] = []
    size = 0
    for sequence, payload in log.records(after):
        found.append((sequence, payload))
        size += len(payload)
        if size >= _MAX_READ_BYTES or len(found) >= _MAX_READ_RECORDS:
            break
    return found


def requests_of(payload: bytes, *, max_bytes: int, governance: bool, by_tenant: bool) -> list[Request]:
    """The requests that carry the spans of one record; none for a record without spans.

    Raises:
        StoreError: a newer version wrote the record, or it is damaged.
    """
    rows = decode_rows(payload)
    if rows is None:
        return []
    return [
        Request(tenant, data.SerializeToString(), _spans(data))
        for tenant, part in _parts(rows, by_tenant=by_tenant)
        for data in traces_data_chunks(part, max_bytes=max_bytes, governance=governance)
    ]


def _parts(rows: pa.RecordBatch, *, by_tenant: bool) -> Iterator[tuple[str, pa.RecordBatch]]:
    if not by_tenant:
        yield "", rows
        return
    for tenant in rows.column("tenant").unique().to_pylist():
        yield tenant, rows.filter(pc.field("tenant") == tenant)


def _spans(data: TracesData) -> int:
    return sum(len(scope.spans) for resource in data.resource_spans for scope in resource.scope_spans)
