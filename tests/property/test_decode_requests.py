"""Whatever comes in: the same rows from either encoding, and never anything but a result or a clear refusal."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.processor.governance.decode_json import decode_json
from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.limits import DecodedSpans, Limits
from spanward.processor.governance.wire import encode_varint
from spanward.processor.policy.span import Verdict
from spanward.store.errors import InvalidRequestError
from spanward.store.otlp import to_traces_data
from spanward.store.rows import build_rows
from tests.support.otlp_requests import REQUESTS, TEXT, damage, otlp_json


def rows_of(decoded: DecodedSpans) -> list[dict[str, Any]]:
    for record in decoded.records:
        record.verdict = Verdict()
    rows = build_rows(decoded.records, tenant="t", received_at_ns=0)
    rows.validate(full=True)
    return list(rows.to_pylist())


@given(REQUESTS)
@settings(max_examples=150, deadline=None)
def test_protobuf_and_json_give_the_same_rows(data: TracesData) -> None:
    """Any request in both encodings: nothing refused, and equal rows in every column."""
    protobuf = decode_protobuf(data.SerializeToString(), Limits())
    text = decode_json(otlp_json(data), Limits())
    assert (protobuf.rejected, text.rejected) == (0, 0)
    # by their text: NaN is not equal to itself
    assert repr(rows_of(protobuf)) == repr(rows_of(text))


def canonical(data: TracesData) -> list[str]:
    """Every span with its resource and scope as text, free of order and of duplicate keys."""
    found: list[str] = []
    for resource in data.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                parent = TracesData()
                holder = parent.resource_spans.add(resource=resource.resource, schema_url=resource.schema_url)
                holder.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url).spans.append(span)
                found.append(json.dumps(_sorted_attributes(MessageToDict(parent)), sort_keys=True))
    return sorted(found)


def _sorted_attributes(value: Any) -> Any:
    if isinstance(value, list):
        items = [_sorted_attributes(item) for item in value]
        if items and all(isinstance(item, dict) and "key" in item for item in items):
            last = {item["key"]: item for item in items}
            return [last[key] for key in sorted(last)]
        return items
    if isinstance(value, dict):
        # what is empty says as much as what is absent
        members = {key: _sorted_attributes(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item != {} or key not in {"status", "scope", "resource"}}
    return value


@given(REQUESTS)
@settings(max_examples=150, deadline=None)
def test_rows_hold_everything_that_was_sent(data: TracesData) -> None:
    """Any request, stored and written as OTLP again: the same spans, field by field."""
    for message in _messages_with_keys(data):
        message.key = message.key or "empty"
    decoded = decode_protobuf(data.SerializeToString(), Limits())
    for record in decoded.records:
        record.verdict = Verdict()
    again = to_traces_data(build_rows(decoded.records, tenant="t", received_at_ns=0))
    assert canonical(again) == canonical(data)


def _messages_with_keys(data: TracesData) -> list[KeyValue]:
    found: list[KeyValue] = []

    def value(item: AnyValue) -> None:
        for one in item.array_value.values:
            value(one)
        pairs(item.kvlist_value.values)

    def pairs(items: Any) -> None:
        for item in items:
            found.append(item)
            value(item.value)

    for resource in data.resource_spans:
        pairs(resource.resource.attributes)
        for scope in resource.scope_spans:
            pairs(scope.scope.attributes)
            for span in scope.spans:
                pairs(span.attributes)
                for event in span.events:
                    pairs(event.attributes)
                for link in span.links:
                    pairs(link.attributes)
    return found


@given(REQUESTS, st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_protobuf_is_decoded_or_refused(data: TracesData, draw: st.DataObject) -> None:
    """Any request with bytes changed, cut out and put in: rows, or an InvalidRequestError, and nothing else."""
    with suppress(InvalidRequestError):
        rows_of(decode_protobuf(damage(data.SerializeToString(), draw), Limits()))


@given(REQUESTS, st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_json_is_decoded_or_refused(data: TracesData, draw: st.DataObject) -> None:
    """Any request in JSON with bytes changed: rows, or an InvalidRequestError, and nothing else."""
    body = bytearray(otlp_json(data))
    for _ in range(draw.draw(st.integers(1, 3))):
        start = draw.draw(st.integers(0, len(body)))
        end = draw.draw(st.integers(start, min(len(body), start + 6)))
        body[start:end] = draw.draw(st.sampled_from([b"", b"[", b"]", b"1", b"null", b'"', b"{}", b"\\ud800", b"\xff"]))
    with suppress(InvalidRequestError):
        rows_of(decode_json(bytes(body), Limits()))


NAMES = (
    "resource", "scope", "spans", "attributes", "key", "value", "stringValue", "intValue", "doubleValue", "boolValue",
    "bytesValue", "arrayValue", "kvlistValue", "values", "events", "links", "status", "code", "message", "name", "kind",
    "flags", "traceId", "spanId", "timeUnixNano", "entityRefs", "idKeys",
)  # fmt: skip
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
GOOD = {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "good"}


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), st.dictionaries(st.sampled_from(NAMES), JSON))
@settings(max_examples=200, deadline=None)
def test_any_json_span_costs_at_most_itself(span: dict[str, Any], scope: dict[str, Any]) -> None:
    """Any JSON in place of a span's fields, between two good spans: the good ones are stored."""
    bad = {"scopeSpans": [{"scope": scope, "spans": [{**GOOD, "name": "x", "traceId": "", **span}]}]}
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [GOOD, {**GOOD, **span}, GOOD]}]}, bad]}
    decoded = decode_json(json.dumps(document).encode(), Limits())
    assert len(decoded.records) + decoded.rejected == 4
    assert [row["name"] for row in rows_of(decoded)].count("good") >= 2


def field(number: int, value: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


@given(st.binary(max_size=12), st.binary(max_size=12), st.binary(max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_string_are_read_lossily(name: bytes, key: bytes, value: bytes) -> None:
    """Any bytes as name, key and value of a span: what Python's lossy decoder makes of them."""
    pair = field(1, key) + field(2, field(1, value))
    span = field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, name) + field(9, pair)
    neighbour = field(1, b"t" * 16) + field(2, b"n" * 8)
    body = field(1, field(2, field(2, span) + field(2, neighbour)))
    decoded = decode_protobuf(body, Limits())
    assert decoded.rejected == 0
    first, second = decoded.records
    assert first.name == name.decode("utf-8", "replace")
    assert first.attributes == {key.decode("utf-8", "replace"): value.decode("utf-8", "replace")}
    assert second.span_id == (b"n" * 8).hex()
