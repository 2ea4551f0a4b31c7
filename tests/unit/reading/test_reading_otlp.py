"""Rows back to OTLP."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.processor.policy.labels import PERMANENT, Classification
from spanward.processor.policy.span import EventRecord, ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.store.otlp import to_traces_data, traces_data_chunks
from tests.unit.reading.support import span, table_of


def spans_of(data: TracesData) -> list[Any]:
    return [one for resource in data.resource_spans for scope in resource.scope_spans for one in scope.spans]


def attributes_of(message: Any) -> dict[str, Any]:
    return {one.key: one.value for one in message.attributes}


def test_a_missing_column_is_named() -> None:
    """Scenario: rows read with some columns only. Guarantee: refused by the column's name, not half a span."""
    with pytest.raises(ValueError, match="lack the column 'events'"):
        to_traces_data(table_of([span()]).drop_columns(["events"]))


def test_no_rows_make_an_empty_message() -> None:
    """Scenario: an empty table and batch. Guarantee: an empty message, and no chunk."""
    assert to_traces_data(table_of([])) == TracesData()
    assert list(traces_data_chunks(table_of([]), max_bytes=100)) == []


def test_spans_are_grouped_and_keep_their_order() -> None:
    """Scenario: spans of two resources and scopes, interleaved. Guarantee: each resource and scope once, order kept."""
    shop, pay = ResourceRecord({"service.name": "shop"}, schema_url="u"), ResourceRecord({"service.name": "pay"})
    one, two = ScopeRecord("one"), ScopeRecord("two", schema_url="u")
    made = [span(1, number) for number in range(1, 7)]
    for number, record in enumerate(made):
        record.resource = pay if number in {1, 4} else shop
        record.scope = two if number in {2, 5} else one
    data = to_traces_data(table_of(made))
    layout = [
        (group.schema_url, scope.scope.name, scope.schema_url, [int.from_bytes(found.span_id) for found in scope.spans])
        for group in data.resource_spans
        for scope in group.scope_spans
    ]
    assert layout == [("u", "one", "", [1, 4]), ("u", "two", "u", [3, 6]), ("", "one", "", [2, 5])]


@pytest.mark.parametrize("kind", [0, 5, 6, 77])
def test_unknown_numbers_survive(kind: int) -> None:
    """Scenario: a kind, and a status, that has no word yet. Guarantee: the number comes back."""
    (found,) = spans_of(to_traces_data(table_of([span(kind=kind, status_code=kind)])))
    assert (found.kind, found.status.code) == (kind, kind)


def test_a_clock_that_went_back_survives() -> None:
    """Scenario: a span that ends before it starts. Guarantee: both times come back."""
    record = span(duration=-5)
    (found,) = spans_of(to_traces_data(table_of([record])))
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (record.start_unix_nano, record.end_unix_nano)


def test_integers_beyond_64_bits_become_digits() -> None:
    """Scenario: Python integers that OTLP has no place for, nested and not. Guarantee: their digits, no error."""
    record = span(attributes={"n": 1 << 70}, events=[EventRecord(1, "e", {"n": [1 << 70, -1]})])
    (found,) = spans_of(to_traces_data(table_of([record])))
    assert attributes_of(found)["n"].string_value == str(1 << 70)
    big, small = attributes_of(found.events[0])["n"].array_value.values
    assert (big.string_value, small.int_value) == (str(1 << 70), -1)


def test_nested_values_keep_their_types() -> None:
    """Scenario: a map of every type, empty ones among them. Guarantee: each comes back as what it was."""
    nested = {"s": "x", "b": True, "i": 1, "d": 1.0, "y": b"x", "n": None, "m": {}, "l": []}
    (found,) = spans_of(to_traces_data(table_of([span(attributes={"k": nested})])))
    members = {one.key: one.value.WhichOneof("value") for one in attributes_of(found)["k"].kvlist_value.values}
    kinds = ("string", "bool", "int", "double", "bytes", None, "kvlist", "array")
    assert members == {key: kind and f"{kind}_value" for key, kind in zip(nested, kinds, strict=True)}


def test_all_forms_of_rows_give_the_same_message() -> None:
    """Scenario: a batch, a table of slices, `resource` as plain text. Guarantee: one and the same message."""
    table = table_of([span(1, number, resource={"n": number % 2}, attributes={"k": number}) for number in range(1, 9)])
    expected = to_traces_data(table)
    position = table.schema.get_field_index("resource")
    plain = table.set_column(position, "resource", table.column("resource").cast(pa.string()))
    pieces = pa.concat_tables([table.slice(0, 3), table.slice(3, 1), table.slice(4)])
    (batch,) = table.to_batches()
    for rows in (plain, pieces, batch, table.select(sorted(table.column_names))):
        assert to_traces_data(rows) == expected
    in_order = {found.span_id[-1]: found for found in spans_of(expected)}
    assert spans_of(to_traces_data(batch.slice(2, 3))) == [in_order[number] for number in (3, 5, 4)]


def test_the_labels_in_force_are_shown_and_not_what_the_span_claimed() -> None:
    """Scenario: a governed span, one that claims a lower label, one without findings. Guarantee: what counts, once."""
    verdict = Verdict(Classification.RESTRICTED, PERMANENT, ("email", "ip"), (), 0.25, ("range",))
    claim = {"spanward.classification": "public", "mine": "1", "spanward.pii": "none", "spanward.quality.score": 0.9}
    records = [span(1, 1, verdict=verdict), span(1, 2, verdict=verdict, attributes=claim), span(1, 3)]
    full, own, plain = map(attributes_of, spans_of(to_traces_data(table_of(records), governance=True)))
    assert full["spanward.classification"].string_value == "restricted"
    assert full["spanward.retention"].string_value == "permanent"
    assert full["spanward.quality.score"].double_value == 0.25
    assert [one.string_value for one in full["spanward.pii"].array_value.values] == ["email", "ip"]
    assert [one.string_value for one in full["spanward.quality.violations"].array_value.values] == ["range"]
    assert own["spanward.classification"].string_value == "restricted"
    assert [one.string_value for one in own["spanward.pii"].array_value.values] == ["email", "ip"]
    assert (own["mine"].string_value, own["spanward.quality.score"].double_value) == ("1", 0.9)
    assert len(own) == 6
    assert "spanward.pii" not in plain
    assert attributes_of(spans_of(to_traces_data(table_of(records)))[0]) == {}


def records_of_sizes(sizes: list[int]) -> list[SpanRecord]:
    return [span(1, number + 1, attributes={"blob": "x" * size}) for number, size in enumerate(sizes)]


def test_a_span_larger_than_the_bound_comes_alone() -> None:
    """Scenario: one huge span among small ones. Guarantee: it is sent, alone; all others stay below the bound."""
    chunks = list(traces_data_chunks(table_of(records_of_sizes([10, 5000, 10, 10])), max_bytes=1000))
    sizes = [(len(spans_of(chunk)), chunk.ByteSize()) for chunk in chunks]
    assert [count for count, size in sizes if size >= 1000] == [1]
    assert sum(count for count, _ in sizes) == 4


def test_chunks_keep_the_order_and_lose_nothing() -> None:
    """Scenario: more rows than are converted at a time, of very different size. Guarantee: all spans, in order."""
    records = records_of_sizes([(7 * number) % 300 for number in range(9000)])
    chunks = list(traces_data_chunks(table_of(records), max_bytes=50_000, governance=True))
    assert all(chunk.ByteSize() < 50_000 for chunk in chunks)
    found = [int.from_bytes(one.span_id) for chunk in chunks for one in spans_of(chunk)]
    assert found == list(range(1, 9001))
