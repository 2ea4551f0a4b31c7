"""Record payloads: any answers come back, and no bytes do anything but decode or raise StoreError."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from spanward.store.errors import StoreError
from spanward.store.records import Answer, DedupRecord, RequestEntry, SpansRecord, decode, decode_answers, encode
from tests.unit.store_log.support import make_rows

ANSWERS = st.builds(
    Answer, st.text(), st.integers(0, 2**63), st.integers(0, 2**31), st.text(st.characters(exclude_categories=()))
)
ROWS = make_rows(3)
ENTRIES = st.builds(
    RequestEntry,
    st.text(st.characters(exclude_categories=())),
    st.text("0123456789abcdef", max_size=64),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 2**63),
    st.integers(0, 10),
    st.text(),
)


@given(st.lists(ANSWERS))
def test_any_answers_come_back(answers: list[Answer]) -> None:
    """Whatever was answered, also with text that has no UTF-8 form."""
    assert decode(encode(DedupRecord(answers))) == DedupRecord(answers)


@given(st.lists(ENTRIES))
def test_any_requests_come_back(entries: list[RequestEntry]) -> None:
    """Whatever tenants and messages the group has."""
    record = decode(encode(SpansRecord(ROWS, entries)))
    assert isinstance(record, SpansRecord)
    assert list(record.requests) == entries
    assert record.rows.equals(ROWS)


@settings(max_examples=300)
@given(st.data())
def test_changed_payloads_raise_store_error_only(data: st.DataObject) -> None:
    """A payload whose version, kind, header or length was changed decodes or raises StoreError, nothing else."""
    content = bytearray(encode(DedupRecord([Answer("ab", 1, 0, "x")])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for read in (decode, decode_answers):
        try:
            read(cut)
        except StoreError:
            continue
