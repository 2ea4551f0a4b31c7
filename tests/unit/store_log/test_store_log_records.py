"""The record codec: what it refuses, and that everything else comes back."""

from __future__ import annotations

import struct

import pyarrow as pa
import pytest

from spanward.store.errors import StoreError
from spanward.store.records import (
    Answer,
    DedupRecord,
    RequestEntry,
    SpansRecord,
    concatenate,
    decode,
    decode_answers,
    decode_rows,
    encode,
)
from spanward.store.schema import SPANS
from tests.unit.store_log.support import make_rows

DEDUP = DedupRecord([Answer("ab" * 32, 5, 2, "two were refused: ü \ud800"), Answer("cd" * 32, 6)])


def spans_record() -> SpansRecord:
    rows = concatenate([make_rows(2, name="a", service="shop"), make_rows(3, name="b", service="bank")])
    return SpansRecord(
        rows,
        [
            RequestEntry("default", "aa" * 32, 0, 2, 10, 0, ""),
            RequestEntry("other", "bb" * 32, 2, 3, 11, 1, "one"),
            RequestEntry("other", "cc" * 32, 5, 0, 12, 7, "all of them"),
        ],
    )


@pytest.mark.parametrize("kind", [0, 3, 4, 200])
def test_records_of_an_unknown_kind_are_refused(kind: int) -> None:
    """ERASURE and PURGE are numbers set aside: a version that does not know them must not skip what they demand."""
    with pytest.raises(StoreError, match=f"kind {kind}, which this version does not know; upgrade"):
        decode(struct.pack(">BBI", 1, kind, 2) + b"[]")


@pytest.mark.parametrize("read", [decode, decode_answers, decode_rows])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x01",
        struct.pack(">BBI", 2, 1, 2) + b"[]",
        struct.pack(">BBI", 1, 2, 9) + b"[]",
        struct.pack(">BBI", 1, 2, 2) + b"{}",
        struct.pack(">BBI", 1, 2, 2) + b"\xff\xfe",
        struct.pack(">BBI", 1, 2, 5) + b"[[1]]",
        struct.pack(">BBI", 1, 1, 5) + b"[[1]]" + b"not arrow",
    ],
)
def test_records_that_are_malformed_are_refused(read: object, content: bytes) -> None:
    """Cut short, of another version, no JSON, no list, fields missing: one kind of error, in all readers."""
    assert callable(read)
    with pytest.raises(StoreError):
        read(content)


def test_records_with_a_damaged_body_are_refused() -> None:
    """The header is good and the Arrow stream is not; the answers can still be read."""
    payload = encode(spans_record())
    with pytest.raises(StoreError, match="SPANS is malformed"):
        decode(payload[:-400])
    assert len(decode_answers(payload[:-400])) == 3


def test_records_with_rows_of_another_schema_are_refused() -> None:
    """Neither written nor read: what the lake cannot hold must not be in the log."""
    strange = pa.record_batch({"x": [1]})
    with pytest.raises(ValueError, match="schema SPANS"):
        encode(SpansRecord(strange, []))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as compressed, pa.ipc.new_stream(compressed, strange.schema) as writer:
        writer.write_batch(strange)
    with pytest.raises(StoreError, match="another schema"):
        decode(struct.pack(">BBI", 1, 1, 2) + b"[]" + sink.getvalue().to_pybytes())


def test_records_of_spans_come_back() -> None:
    """Rows of batches with different dictionaries, and every field of every request."""
    record = spans_record()
    again = decode(encode(record))
    assert isinstance(again, SpansRecord)
    assert again.rows.equals(record.rows)
    assert again.rows.schema.equals(SPANS)
    assert list(again.requests) == list(record.requests)
    assert again.rows["name"].to_pylist() == ["a-0", "a-1", "b-0", "b-1", "b-2"]
    assert ["shop" in text for text in again.rows["resource"].to_pylist()] == [True, True, False, False, False]
    rows = decode_rows(encode(record))
    assert rows is not None
    assert rows.equals(record.rows)


def test_records_of_answers_come_back() -> None:
    """Texts survive, lone surrogates included; such a record has no rows."""
    assert decode(encode(DEDUP)) == DEDUP
    assert decode_answers(encode(DEDUP)) == DEDUP.answers
    assert decode_rows(encode(DEDUP)) is None


def test_records_give_the_answers_of_requests() -> None:
    """What the dedup window is rebuilt from."""
    assert decode_answers(encode(spans_record()))[1:] == [
        Answer("bb" * 32, 11, 1, "one"),
        Answer("cc" * 32, 12, 7, "all of them"),
    ]


def test_records_of_a_slice_hold_the_slice_only() -> None:
    """A slice of a large batch costs what the slice costs."""
    large = make_rows(2000)
    part = encode(SpansRecord(large.slice(5, 2), []))
    assert len(part) < len(encode(SpansRecord(large, []))) / 5
    rows = decode_rows(part)
    assert rows is not None
    assert rows["name"].to_pylist() == ["work-5", "work-6"]


def test_records_of_one_span_are_small() -> None:
    """A quiet sidecar writes a record for each span: the schema that comes along must not cost more than it needs."""
    assert len(encode(SpansRecord(make_rows(1), []))) < 7000
