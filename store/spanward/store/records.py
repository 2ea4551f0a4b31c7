"""What is inside a log record.

    version 1 byte | kind 1 byte | length of the header 4 bytes, big-endian | header, JSON | body

SPANS: the header lists the requests that share the record, the body is one Arrow IPC stream of all their rows in one
LZ4 frame. One stream for all, since a stream repeats the schema: alone, a request of one span takes 5.4 KB. Compressed
as a whole, since the schema and a hundred short buffers are most of a small record: buffer by buffer, as Arrow itself
offers it, the same span took 18 KB and ten times as long, and large records came out equal.
DEDUP: the header lists the answers that must outlive the records they were given with; no body.
ERASURE and PURGE are numbers set aside for deletions that must take effect in the order of the log; a reader that
meets a kind or version it does not know stops with an error instead of skipping what it should have obeyed.

docs/log-format.md has the tables.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyarrow import ipc

from spanward.store.errors import StoreError
from spanward.store.schema import SPANS

_VERSION: Final = 1
_PREFIX: Final = struct.Struct(">BBI")
_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


class RecordKind(IntEnum):
    """The kind byte."""

    SPANS = 1
    DEDUP = 2
    ERASURE = 3
    PURGE = 4


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """One request of a SPANS record.

    Attributes:
        tenant: whose spans these are.
        dedup_key: the request's digest, lowercase hex.
        first_row, rows: its slice of the record's rows; `rows` is 0 when all its spans were refused or dropped.
        received_at_ns: Unix time.
        rejected, message: the answer that was given.
    """

    tenant: str
    dedup_key: str
    first_row: int
    rows: int
    received_at_ns: int
    rejected: int
    message: str


@dataclass(frozen=True, slots=True)
class SpansRecord:
    """Governed spans, and the requests that brought them.

    Attributes:
        rows: in the schema SPANS.
        requests: in the order of their rows.
    """

    rows: pa.RecordBatch
    requests: Sequence[RequestEntry]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer given within the dedup window.

    Attributes:
        dedup_key: the request's digest, lowercase hex.
        received_at_ns: Unix time.
        rejected, message: what the client was told.
    """

    dedup_key: str
    received_at_ns: int
    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class DedupRecord:
    """Answers carried over from records that were truncated."""

    answers: Sequence[Answer]


LogRecord: TypeAlias = SpansRecord | DedupRecord


def encode(record: LogRecord) -> bytes:
    """The payload of a record.

    Raises:
        ValueError: the rows have another schema than SPANS.
    """
    if isinstance(record, DedupRecord):
        entries = [
            [answer.dedup_key, answer.received_at_ns, answer.rejected, answer.message] for answer in record.answers
        ]
        return _frame(RecordKind.DEDUP, entries)
    if not record.rows.schema.equals(SPANS):
        raise ValueError("the rows of a log record have the schema SPANS")
    requests = [
        [r.tenant, r.dedup_key, r.first_row, r.rows, r.received_at_ns, r.rejected, r.message] for r in record.requests
    ]
    return _frame(RecordKind.SPANS, requests, _encode_rows(record.rows))


def decode(payload: bytes) -> LogRecord:
    """The inverse of `encode`.

    Raises:
        StoreError: a newer version wrote it, or it is not a record at all.
    """
    kind, header, body = _open(payload)
    try:
        if kind is RecordKind.DEDUP:
            return DedupRecord([Answer(*entry) for entry in header])
        return SpansRecord(_decode_rows(body), [RequestEntry(*entry) for entry in header])
    except (pa.ArrowException, OSError, StopIteration, TypeError, ValueError) as error:
        # Arrow says OSError when bytes run out, StopIteration when a stream has no batch
        raise StoreError(f"a log record of kind {kind.name} is malformed: {error}") from error


def decode_rows(payload: bytes) -> pa.RecordBatch | None:
    """Only the rows of a SPANS record; None for any other.

    Raises:
        StoreError: as `decode`.
    """
    record = decode(payload)
    return record.rows if isinstance(record, SpansRecord) else None


def decode_answers(payload: bytes) -> list[Answer]:
    """Only the answers that a record of any kind holds, without touching its rows.

    Raises:
        StoreError: as `decode`.
    """
    kind, header, _ = _open(payload)
    try:
        if kind is RecordKind.DEDUP:
            return [Answer(*entry) for entry in header]
        requests = [RequestEntry(*entry) for entry in header]
    except TypeError as error:
        raise StoreError(f"a log record of kind {kind.name} is malformed: {error}") from error
    return [Answer(r.dedup_key, r.received_at_ns, r.rejected, r.message) for r in requests]


def concatenate(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All rows in one batch; dictionaries that differ from batch to batch are unified.

    Args:
        batches: at least one, all in the schema SPANS.
    """
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _frame(kind: RecordKind, header: list[list[Any]], body: pa.Buffer | bytes = b"") -> bytes:
    # "surrogatepass": a lone surrogate in a tenant or message must not cost the whole group its record
    text = _JSON.encode(header).encode("utf-8", "surrogatepass")
    return b"".join((_PREFIX.pack(_VERSION, kind, len(text)), text, memoryview(body)))


def _open(payload: bytes) -> tuple[RecordKind, list[list[Any]], memoryview]:
    if len(payload) < _PREFIX.size:
        raise StoreError("a log record is shorter than its prefix; it was not written by spanward")
    version, number, length = _PREFIX.unpack_from(payload)
    if version != _VERSION or number not in (RecordKind.SPANS, RecordKind.DEDUP):
        raise StoreError(
            f"a log record has version {version} and kind {number}, which this version does not know; upgrade spanward"
        )
    end = _PREFIX.size + length
    try:
        header = json.loads(payload[_PREFIX.size : end].decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise StoreError(f"a log record's header is malformed: {error}") from error
    if end > len(payload) or not isinstance(header, list):
        raise StoreError("a log record's header is malformed: it is cut short or no list")
    return RecordKind(number), header, memoryview(payload)[end:]


def _encode_rows(rows: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as compressed, ipc.new_stream(compressed, rows.schema) as writer:
        writer.write_batch(rows)
    return sink.getvalue()


def _decode_rows(body: memoryview) -> pa.RecordBatch:
    source = pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(body)), "lz4")
    with source, ipc.open_stream(source) as reader:
        rows = reader.read_next_batch()
    if not rows.schema.equals(SPANS):
        raise ValueError("its rows have another schema")
    return rows
