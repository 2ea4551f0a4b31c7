"""OTLP/JSON to records: what is refused, what is tolerated, what is kept."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from spanward.processor.governance.decode_json import decode_json
from spanward.processor.governance.limits import DecodedSpans, Limits
from spanward.store.errors import InvalidRequestError

GOOD = {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "good"}


def body(*spans: Any, **resource_spans: Any) -> bytes:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}], **resource_spans}]}
    return json.dumps(document).encode()


def decoded(*spans: Any, limits: Limits | None = None) -> DecodedSpans:
    return decode_json(body(*spans), limits or Limits())


def attribute(value: Any) -> dict[str, Any]:
    return {**GOOD, "attributes": [{"key": "k", "value": value}]}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return value


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"spanId": GOOD["spanId"]}, "traceId has 0 bytes, not 16"),
        ({**GOOD, "traceId": "0102"}, "traceId has 2 bytes, not 16"),
        ({**GOOD, "traceId": "0" * 32}, "traceId is all zeros"),
        ({**GOOD, "traceId": "AQIDBAUGBwgJCgsMDQ4PEA=="}, "traceId is not hexadecimal"),
        ({**GOOD, "traceId": "01 02030405060708090a0b0c0d0e0f1"}, "traceId is not hexadecimal"),
        ({**GOOD, "traceId": "\u0661" * 32}, "traceId is not hexadecimal"),
        ({**GOOD, "traceId": 12}, "traceId is a number, not a string"),
        ({**GOOD, "spanId": "0" * 16}, "spanId is all zeros"),
        ({**GOOD, "spanId": "012"}, "spanId is not hexadecimal"),
        ({**GOOD, "parentSpanId": "0102"}, "parentSpanId has 2 bytes, not 8"),
        ({**GOOD, "name": 5}, "name is a number, not a string"),
        ({**GOOD, "kind": "SPAN_KIND_SERVER"}, "kind is a string; OTLP/JSON writes enum values as integers"),
        ({**GOOD, "kind": True}, "kind is not a whole number"),
        ({**GOOD, "kind": 2.5}, "kind is not a whole number"),
        ({**GOOD, "kind": 1 << 31}, "kind is not within"),
        ({**GOOD, "status": []}, "status is an array, not an object"),
        ({**GOOD, "status": {"code": "2"}}, "status.code is a string"),
        ({**GOOD, "startTimeUnixNano": "-1"}, "startTimeUnixNano is not within"),
        ({**GOOD, "startTimeUnixNano": str(1 << 63)}, "startTimeUnixNano is past 2^63-1"),
        ({**GOOD, "endTimeUnixNano": "9" * 30}, "endTimeUnixNano is not a whole number"),
        ({**GOOD, "endTimeUnixNano": 10**30}, "endTimeUnixNano is not within"),
        ({**GOOD, "endTimeUnixNano": "1e9"}, "endTimeUnixNano is not a whole number"),
        ({**GOOD, "endTimeUnixNano": {}}, "endTimeUnixNano is not a whole number"),
        ({**GOOD, "flags": -1}, "flags is not within 0..4294967295"),
        ({**GOOD, "droppedEventsCount": 1 << 32}, "droppedEventsCount is not within"),
        ({**GOOD, "attributes": {"k": "v"}}, "attributes is an object, not an array"),
        ({**GOOD, "attributes": ["k"]}, "an attribute is a string, not an object"),
        ({**GOOD, "attributes": [{"key": 1}]}, "an attribute's key is a number"),
        ({**GOOD, "attributes": [{"key": "k", "value": "v"}]}, "an attribute's value is a string, not an object"),
        (attribute({"stringValue": 1}), "stringValue is a number, not a string"),
        (attribute({"intValue": "1.5"}), "intValue is not a whole number"),
        (attribute({"intValue": str(1 << 63)}), "intValue is not within"),
        (attribute({"boolValue": "true"}), "boolValue is a string, not a boolean"),
        (attribute({"doubleValue": "much"}), "doubleValue is a string that is no number"),
        (attribute({"doubleValue": []}), "doubleValue is an array, not a number"),
        (attribute({"doubleValue": "1e999"}), "doubleValue is beyond the range"),
        (attribute({"bytesValue": "not base64!"}), "bytesValue is not base64"),
        (attribute({"bytesValue": "A"}), "bytesValue is not base64"),
        (attribute({"arrayValue": []}), "arrayValue is an array, not an object"),
        (attribute({"arrayValue": {"values": {}}}), "arrayValue is an object, not an array"),
        (attribute({"kvlistValue": {"values": [1]}}), "an attribute is a number, not an object"),
        (attribute(nested(33)), "nested too deeply"),
        ({**GOOD, "attributes": [{"key": str(i)} for i in range(1025)]}, "1025 attributes, more than the 1024"),
        ({**GOOD, "events": {}}, "events is an object, not an array"),
        ({**GOOD, "events": [1]}, "an event is a number, not an object"),
        ({**GOOD, "events": [{}] * 4097}, "4097 events"),
        ({**GOOD, "events": [{"timeUnixNano": str(1 << 63)}]}, "timeUnixNano is past 2^63-1"),
        ({**GOOD, "links": [{"traceId": "01"}]}, "traceId has 1 bytes, not 16"),
        ({**GOOD, "links": [{}] * 4097}, "4097 links"),
        ("a span", "the span is a string, not an object"),
        (5, "the span is a number, not an object"),
    ],
)
def test_bad_span_is_refused_and_its_neighbours_are_kept(bad: Any, reason: str) -> None:
    """One bad span between two good ones: one refused, with its place and the reason; two kept."""
    found = decoded(GOOD, bad, GOOD)
    assert [record.name for record in found.records] == ["good", "good"]
    assert found.rejected == 1
    assert found.message.startswith("span 1 of resource 0, scope 0: ")
    assert reason in found.message


@pytest.mark.parametrize(
    ("resource", "scope", "reason"),
    [
        ("r", {}, "its resource: resource is a string"),
        ({"entityRefs": {}}, {}, "its resource: entityRefs is an object"),
        ({}, 7, "its scope: scope is a number"),
        ({}, {"attributes": [{"key": "k", "value": nested(33)}]}, "its scope: an attribute is nested"),
    ],
)
def test_bad_resource_or_scope_costs_its_own_spans_only(resource: Any, scope: Any, reason: str) -> None:
    """A malformed resource or scope beside a good one: its spans are refused, the others kept."""
    bad = {"resource": resource, "scopeSpans": [{"scope": scope, "spans": [GOOD, GOOD]}]}
    good = {"scopeSpans": [{"spans": [GOOD]}]}
    found = decode_json(json.dumps({"resourceSpans": [bad, good]}).encode(), Limits())
    assert (len(found.records), found.rejected) == (1, 2)
    assert reason in found.message


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", r"not JSON: .* at line 1, column 1"),
        (b"{", r"not JSON: .* at line 1, column 2"),
        (b'{"resourceSpans": [\n{]}', r"not JSON: .* at line 2, column 2"),
        (b"\x0a\x05abc", "not JSON"),
        (b'{"a": NaN}', 'NaN is no JSON number; OTLP/JSON writes it as "NaN"'),
        (b"[]", "the body is an array, not an OTLP"),
        (b'"text"', "the body is a string"),
        (b"null", "the body is null"),
        (b'{"resourceSpans": {}}', "resourceSpans is an object, not an array"),
        (b'{"resourceSpans": [3]}', r"resourceSpans\[0\] is a number, not an object"),
        (b'{"resourceSpans": [{"scopeSpans": "x"}]}', r"resourceSpans\[0\]\.scopeSpans is a string"),
        (b'{"resourceSpans": [{"scopeSpans": [{}, null]}]}', r"resourceSpans\[0\]\.scopeSpans\[1\] is null"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]}',
            r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans is a number",
        ),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_request_is_refused_whole(text: bytes, error: str) -> None:
    """Not JSON, not an object, lists that are none, a tower of brackets: one error that says where."""
    with pytest.raises(InvalidRequestError, match=error):
        decode_json(text, Limits())


def test_too_many_spans_are_refused_whole() -> None:
    """One span beyond the limit of a request: refused with the remedy."""
    with pytest.raises(InvalidRequestError, match="more than 1 spans in one request; send smaller batches"):
        decoded(GOOD, GOOD, limits=Limits(spans=1))


def test_number_of_a_million_digits_costs_one_span() -> None:
    """An absurd integer: the span is refused, not the request, and it takes no time to convert."""
    text = body({**GOOD, "flags": 77777}, GOOD).replace(b"77777", b"7" * 1_000_000)
    found = decode_json(text, Limits())
    assert (len(found.records), found.rejected) == (1, 1)


@pytest.mark.parametrize("text", [b"", b"null", b"{}", b"[]"])
def test_nothing_sent_is_nothing_kept(text: bytes) -> None:
    """Absent, null and empty lists at each level hold no spans."""
    for document in (b"{}", b'{"resourceSpans": %s}', b'{"resourceSpans": [{"scopeSpans": %s}]}'):
        if text in (b"[]", b"null") or b"%s" not in document:
            assert decode_json(document.replace(b"%s", text), Limits()) == DecodedSpans()


def test_ids_of_either_case_become_lowercase() -> None:
    """Uppercase hex is the same id."""
    (record,) = decoded({**GOOD, "traceId": "ABCDEF" + "0" * 25 + "1", "parentSpanId": "0" * 16}).records
    assert record.trace_id == "abcdef" + "0" * 25 + "1"
    assert record.parent_span_id == ""


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"stringValue": "v"}, "v"),
        ({"intValue": "-9223372036854775808"}, -(1 << 63)),
        ({"intValue": 7}, 7),
        ({"intValue": 7.0}, 7),
        ({"boolValue": True}, True),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "1.5"}, 1.5),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "+/8="}, b"\xfb\xff"),
        ({"bytesValue": "-_8"}, b"\xfb\xff"),
        ({"bytesValue": ""}, b""),
        ({"arrayValue": {}}, []),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}]}}, [1, None]),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": False}}, {}]}}, {"a": False, "": None}),
        ({}, None),
        (None, None),
        ({"laterValue": 1}, None),
        ({"stringValue": None, "intValue": 3}, 3),
        ({"stringValue": "a", "intValue": 3}, 3),
    ],
)
def test_every_kind_of_value_is_read(value: Any, stored: object) -> None:
    """All forms that an AnyValue takes in JSON, and what is unknown or null in it."""
    (record,) = decoded(attribute(value)).records
    assert record.attributes == {"k": stored}
    assert type(record.attributes["k"]) is type(stored)


def test_not_a_number_is_read() -> None:
    """NaN as the string that JSON needs."""
    (record,) = decoded(attribute({"doubleValue": "NaN"})).records
    value = record.attributes["k"]
    assert isinstance(value, float)
    assert math.isnan(value)


def test_every_field_is_read() -> None:
    """A whole request, with unknown and snake_case fields ignored."""
    span = {
        **GOOD,
        "parentSpanId": "1112131415161718",
        "traceState": "a=b",
        "flags": 257,
        "kind": 2,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": 2,
        "droppedAttributesCount": 3,
        "droppedEventsCount": 4,
        "droppedLinksCount": 5,
        "status": {"code": 2, "message": "boom"},
        "events": [{"timeUnixNano": "9", "name": "e", "droppedAttributesCount": 1, "attributes": []}],
        "links": [{"traceId": GOOD["traceId"], "spanId": GOOD["spanId"], "traceState": "s", "flags": 1}],
        "trace_state": "ignored",
        "later": {"x": 1},
    }
    scope = {"name": "lib", "version": "1", "droppedAttributesCount": 2}
    entity = {"type": "host", "idKeys": ["host.id"], "descriptionKeys": [], "schemaUrl": "e"}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}], "entityRefs": [entity]}
    document = {
        "resourceSpans": [
            {
                "resource": resource,
                "schemaUrl": "r",
                "scopeSpans": [{"scope": scope, "schemaUrl": "s", "spans": [span]}],
            }
        ]
    }
    (record,) = decode_json(b"\xef\xbb\xbf" + json.dumps(document).encode(), Limits()).records
    assert (record.trace_state, record.flags, record.kind, record.parent_span_id) == ("a=b", 257, 2, "1112131415161718")
    assert (record.start_unix_nano, record.end_unix_nano) == (1, 2)
    assert (record.dropped_attributes_count, record.dropped_events_count, record.dropped_links_count) == (3, 4, 5)
    assert (record.status_code, record.status_message) == (2, "boom")
    assert (record.events[0].time_unix_nano, record.events[0].name) == (9, "e")
    assert (record.links[0].trace_state, record.links[0].flags) == ("s", 1)
    assert (record.scope.name, record.scope.version, record.scope.schema_url) == ("lib", "1", "s")
    assert record.resource.attributes == {"service.name": "shop"}
    assert record.resource.schema_url == "r"
    assert record.resource.entity_refs == [
        {"schema_url": "e", "type": "host", "id_keys": ["host.id"], "description_keys": []}
    ]


def test_text_that_is_not_utf8_is_mended() -> None:
    """Invalid bytes, and escapes of half a surrogate pair, in names, keys and values: U+FFFD in their place."""
    (record,) = decode_json(body({**GOOD, "name": "a?b"}).replace(b"?", b"\xff"), Limits()).records
    assert record.name == "a\ufffdb"
    span = {"name": "x\ud800", "attributes": [{"key": "\udc00", "value": {"stringValue": "\ud83d\ude00"}}], "kind": 1}
    (record,) = decoded({**GOOD, **span}).records
    assert (record.name, record.attributes, record.kind) == ("x\ufffd", {"\ufffd": "\U0001f600"}, 1)


def test_spans_share_their_resource() -> None:
    """Two scopes of one resource: one resource record."""
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [GOOD]}, {"spans": [GOOD]}]}]}
    first, second = decode_json(json.dumps(document).encode(), Limits()).records
    assert first.resource is second.resource
