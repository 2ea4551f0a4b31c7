"""Spans out: chunks of OTLP, lines of JSON, and files cut anywhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.processor.policy.span import SpanRecord
from spanward.store._json_rows import row_lines, rows_of
from spanward.store.errors import InvalidRequestError
from spanward.store.export import FORMATS, export, read_export
from spanward.store.otlp import to_traces_data, traces_data_chunks
from spanward.store.schema import SPANS
from tests.unit.reading.support import MemoryStore, spans, table_of

_few = settings(max_examples=100, deadline=None)
_stored = st.lists(spans, max_size=12)


def flat(data: TracesData) -> list[bytes]:
    """Each span with its resource and scope, in an order of its own."""
    return sorted(
        b"|".join(part.SerializeToString(deterministic=True) for part in (group.resource, scope.scope, one))
        for group in data.resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    )


@_few
@given(_stored, st.integers(1, 2000), st.booleans())
def test_chunks_together_are_the_whole(stored: list[SpanRecord], max_bytes: int, governance: bool) -> None:
    """Any spans and any bound: no span is lost or doubled, and only a lone span may pass the bound."""
    table = table_of(stored)
    chunks = list(traces_data_chunks(table, max_bytes=max_bytes, governance=governance))
    whole = flat(to_traces_data(table, governance=governance))
    assert sorted(one for chunk in chunks for one in flat(chunk)) == whole
    assert all(chunk.ByteSize() < max_bytes or len(flat(chunk)) == 1 for chunk in chunks)
    assert all(flat(chunk) for chunk in chunks)


@_few
@given(_stored)
def test_lines_come_back_as_the_rows_they_were(stored: list[SpanRecord]) -> None:
    """Any spans as JSON lines: schema and every cell are as before."""
    table = table_of(stored)
    lines = list(row_lines(table))
    back = rows_of(lines, SPANS)
    assert not any("\n" in line for line in lines)
    assert back.schema.equals(SPANS)
    assert list(row_lines(back)) == lines
    assert flat(to_traces_data(back)) == flat(to_traces_data(table))


@_few
@given(_stored, st.sampled_from(FORMATS), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(stored: list[SpanRecord], form: str, part: float) -> None:
    """Any export, broken off at any byte: never read as if it were whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        assert export(MemoryStore(default=stored), path, format=form) == read_export(path).num_rows == len(stored)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InvalidRequestError):
            read_export(path)
