"""Protobuf bytes to records: what is refused, what is mended, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.limits import DecodedSpans, Limits
from spanward.processor.governance.wire import MalformedError, encode_varint, fields, repair
from spanward.store.errors import InvalidRequestError

TRACE = bytes(range(1, 17))
SPAN = bytes(range(1, 9))


def span(**changes: Any) -> Span:
    values: dict[str, Any] = {"trace_id": TRACE, "span_id": SPAN, "name": "op", **changes}
    return Span(**values)


def request(*spans: Span) -> TracesData:
    return TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])


def decoded(*spans: Span, limits: Limits | None = None) -> DecodedSpans:
    return decode_protobuf(request(*spans).SerializeToString(), limits or Limits())


def nested(levels: int, *, maps: bool) -> AnyValue:
    value = AnyValue(string_value="deep")
    for _ in range(levels):
        if maps:
            value = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=value)]))
        else:
            value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


GOOD = span(name="good")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (span(trace_id=b""), "trace_id has 0 bytes, not 16"),
        (span(trace_id=TRACE[:15]), "trace_id has 15 bytes, not 16"),
        (span(trace_id=TRACE + b"1"), "trace_id has 17 bytes, not 16"),
        (span(trace_id=bytes(16)), "trace_id is all zeros"),
        (span(span_id=b""), "span_id has 0 bytes, not 8"),
        (span(span_id=SPAN[:7]), "span_id has 7 bytes, not 8"),
        (span(span_id=bytes(8)), "span_id is all zeros"),
        (span(parent_span_id=b"abc"), "parent_span_id has 3 bytes, not 8"),
        (span(start_time_unix_nano=1 << 63), "start_time_unix_nano is past 2^63-1"),
        (span(end_time_unix_nano=(1 << 64) - 1), "end_time_unix_nano is past 2^63-1"),
        (span(events=[Span.Event(time_unix_nano=1 << 63)]), "an event's time_unix_nano is past 2^63-1"),
        (span(links=[Span.Link(trace_id=b"abc", span_id=SPAN)]), "a link's trace_id has 3 bytes, not 16"),
        (span(links=[Span.Link(trace_id=TRACE, span_id=TRACE)]), "a link's span_id has 16 bytes, not 8"),
        (span(attributes=[KeyValue(key="k", value=nested(33, maps=False))]), "nested too deeply"),
        (span(attributes=[KeyValue(key=str(i)) for i in range(1025)]), "1025 attributes, more than the 1024 allowed"),
        (span(events=[Span.Event()] * 4097), "4097 events, more than the 4096 allowed"),
        (span(links=[Span.Link()] * 4097), "4097 links, more than the 4096 allowed"),
        (span(links=[Span.Link(attributes=[KeyValue(key="k", value=nested(40, maps=False))])]), "nested too deeply"),
    ],
)
def test_bad_span_is_refused_and_its_neighbours_are_kept(bad: Span, reason: str) -> None:
    """One bad span between two good ones: one refused, with its place and the reason; two kept."""
    found = decoded(GOOD, bad, GOOD)
    assert [record.name for record in found.records] == ["good", "good"]
    assert found.rejected == 1
    assert found.message.startswith("span 1 of resource 0, scope 0: ")
    assert reason in found.message


@pytest.mark.parametrize(
    ("place", "prefix"),
    [("resource", "its resource: an attribute is nested"), ("scope", "its scope: an attribute is nested")],
)
def test_bad_resource_or_scope_costs_its_own_spans_only(place: str, prefix: str) -> None:
    """A resource (or scope) that breaks a limit, beside a good one: all its spans are refused, the others kept."""
    data = request(GOOD, GOOD)
    data.resource_spans.append(ResourceSpans(scope_spans=[ScopeSpans(spans=[GOOD])]))
    parent = data.resource_spans[0].resource if place == "resource" else data.resource_spans[0].scope_spans[0].scope
    parent.attributes.append(KeyValue(key="k", value=nested(33, maps=False)))
    found = decode_protobuf(data.SerializeToString(), Limits())
    assert (len(found.records), found.rejected) == (1, 2)
    assert prefix in found.message


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field on the wire; messages that are too deep for any library have to be written so."""
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def deep_attribute(levels: int) -> bytes:
    """A KeyValue whose value is that many arrays in one another."""
    value = b""
    for _ in range(levels):
        value = field(5, field(1, value))
    return field(1, b"k") + field(2, value)


GOOD_BYTES = field(2, GOOD.SerializeToString())


@pytest.mark.parametrize(
    ("scope_spans", "expected"),
    [
        (field(2, GOOD.SerializeToString() + field(9, deep_attribute(300))), 1),
        (field(1, field(3, deep_attribute(300))) + GOOD_BYTES * 2, 2),
    ],
)
@pytest.mark.parametrize("invalid_text", [b"", field(5, b"\xff")])
def test_span_or_scope_that_no_parser_reads_costs_itself_only(
    scope_spans: bytes, expected: int, invalid_text: bytes
) -> None:
    """Nested past what protobuf parsers go, with and without bad text beside: refused, its neighbours kept."""
    good = field(2, field(2, GOOD.SerializeToString() + invalid_text))
    body = field(1, good) + field(1, field(2, scope_spans))
    found = decode_protobuf(body, Limits())
    assert (len(found.records), found.rejected) == (1, expected)
    assert "span 0 of resource 1, scope 0: malformed" in found.message
    assert "messages are nested deeper than 100 levels" in found.message


def test_resource_that_no_parser_reads_costs_its_own_spans_only() -> None:
    """A resource nested past what protobuf parsers go: its spans are refused, those of the others kept."""
    bad = field(1, field(1, deep_attribute(300))) + field(2, GOOD_BYTES * 2)
    found = decode_protobuf(field(1, bad) + field(1, field(2, GOOD_BYTES)), Limits())
    assert (len(found.records), found.rejected) == (1, 2)
    assert "span 0 of resource 0, scope 0: malformed ResourceSpans" in found.message


@pytest.mark.parametrize(
    "body",
    [
        b"hello, this is no protobuf",
        b'{"resourceSpans": []}',
        b"<html></html>",
        b"\x00",
        b"\xff" * 20,
        b"\x0a\x05abc",
        request(GOOD).SerializeToString()[:-1],
        request(GOOD).SerializeToString()[:7],
        b"\x0f\x01",
    ],
)
def test_what_is_no_request_is_refused_whole(body: bytes) -> None:
    """Other formats, garbage, and a body cut short: one error that says what and where, and quotes nothing."""
    with pytest.raises(InvalidRequestError, match=r"not an OTLP ExportTraceServiceRequest in protobuf: .* byte"):
        decode_protobuf(body, Limits())


def test_span_with_damaged_inside_costs_itself_only() -> None:
    """The lengths around a span fit, but not those inside it: that span is refused, its neighbour kept."""
    inner = b"\x0a\x7f"  # a trace_id that claims 127 bytes
    scope = ScopeSpans(spans=[GOOD]).SerializeToString() + b"\x12" + bytes([len(inner)]) + inner
    resource = b"\x12" + encode_varint(len(scope)) + scope
    found = decode_protobuf(b"\x0a" + encode_varint(len(resource)) + resource, Limits())
    assert (len(found.records), found.rejected) == (1, 1)
    assert "malformed Span: the field at byte 0 ends 127 bytes past the end" in found.message


def test_too_many_spans_are_refused_whole() -> None:
    """One span beyond the limit of a request: refused with the remedy; exactly the limit is taken."""
    limits = Limits(spans=2)
    assert len(decoded(GOOD, GOOD, limits=limits).records) == 2
    with pytest.raises(InvalidRequestError, match="more than 2 spans in one request; send smaller batches"):
        decoded(GOOD, GOOD, GOOD, limits=limits)


def test_reasons_are_few_and_in_one_line() -> None:
    """Ten bad spans: three reasons, and how many more there are."""
    found = decoded(*[span(trace_id=b"")] * 10)
    assert found.rejected == 10
    assert found.message.count("trace_id") == 3
    assert found.message.endswith("; and 7 more")
    assert "\n" not in found.message


def bad_text(build: Callable[[str], Span]) -> bytes:
    """A request whose strings "BAD" are replaced by bytes that are not UTF-8."""
    return request(build("BAD"), GOOD).SerializeToString().replace(b"BAD", b"\xffA\xc3")


@pytest.mark.parametrize(
    ("build", "read"),
    [
        (lambda text: span(name=text), lambda record: record.name),
        (lambda text: span(trace_state=text), lambda record: record.trace_state),
        (lambda text: span(status=Status(message=text)), lambda record: record.status_message),
        (lambda text: span(events=[Span.Event(name=text)]), lambda record: record.events[0].name),
        (lambda text: span(links=[Span.Link(trace_state=text)]), lambda record: record.links[0].trace_state),
        (
            lambda text: span(attributes=[KeyValue(key="k", value=AnyValue(string_value=text))]),
            lambda record: record.attributes["k"],
        ),
        (lambda text: span(attributes=[KeyValue(key=text)]), lambda record: next(iter(record.attributes))),
        (
            lambda text: span(
                attributes=[
                    KeyValue(
                        key="k",
                        value=AnyValue(
                            kvlist_value=KeyValueList(values=[KeyValue(key="i", value=AnyValue(string_value=text))])
                        ),
                    )
                ]
            ),
            lambda record: record.attributes["k"]["i"],
        ),
    ],
)
def test_text_that_is_not_utf8_is_mended(build: Callable[[str], Span], read: Callable[[Any], str]) -> None:
    """Invalid bytes in any string of a span: kept with U+FFFD in their place, nothing refused, neighbours untouched."""
    found = decode_protobuf(bad_text(build), Limits())
    assert (found.rejected, len(found.records)) == (0, 2)
    assert read(found.records[0]) == "\ufffdA\ufffd"
    assert found.records[1].name == "good"


def test_bad_text_in_resource_and_scope_is_mended() -> None:
    """Invalid bytes in resource, scope and schema URLs, while a span beside them is bad as well."""
    data = request(GOOD, span(span_id=b"x"))
    resource = data.resource_spans[0]
    resource.schema_url = "BAD"
    resource.resource.attributes.append(KeyValue(key="BAD", value=AnyValue(string_value="v")))
    resource.scope_spans[0].scope.name = "BAD"
    resource.scope_spans[0].schema_url = "BAD"
    found = decode_protobuf(data.SerializeToString().replace(b"BAD", b"a\xffb"), Limits())
    (record,) = found.records
    assert record.resource.attributes == {"a\ufffdb": "v"}
    assert {record.resource.schema_url, record.scope.name, record.scope.schema_url} == {"a\ufffdb"}
    assert found.rejected == 1


def test_unknown_fields_survive_a_repair_and_are_ignored() -> None:
    """Fields of a later version, of every wire type, beside invalid text: passed over."""
    extra = b"\xa8\x06\x05" + b"\xb1\x06" + bytes(8) + b"\xbd\x06" + bytes(4) + b"\xa2\x06\x03\xff\xfe\xfd"
    bad = span(name="BAD").SerializeToString().replace(b"BAD", b"\xff\xff\xff") + extra
    assert Span.FromString(repair(bad, Span.DESCRIPTOR)).name == "\ufffd" * 3
    assert repair(bad, Span.DESCRIPTOR).endswith(extra)
    assert [field.wire_type for field in fields(extra)] == [0, 1, 5, 2]


def test_repair_leaves_a_sound_message_as_it_is() -> None:
    """Nothing to mend: the very same bytes."""
    sound = request(GOOD).SerializeToString()
    assert repair(sound, TracesData.DESCRIPTOR) is sound


@pytest.mark.parametrize("data", [b"\x80" * 11, b"\x08", b"\x0d\x01", b"\x07"])
def test_wire_that_ends_early_is_malformed(data: bytes) -> None:
    """A number without end, a missing value, a short fixed field, a wire type that is none."""
    with pytest.raises(MalformedError, match="byte"):
        list(fields(data))


def test_duplicate_keys_keep_the_last() -> None:
    """The same key twice: the last value wins, in attributes and in maps."""
    pairs = [KeyValue(key="k", value=AnyValue(int_value=1)), KeyValue(key="k", value=AnyValue(int_value=2))]
    value = AnyValue(kvlist_value=KeyValueList(values=pairs))
    (record,) = decoded(span(attributes=[*pairs, KeyValue(key="m", value=value)])).records
    assert record.attributes == {"k": 2, "m": {"k": 2}}


def test_every_kind_of_value_is_read() -> None:
    """All of AnyValue: string, bool, int, double, bytes, array, map, empty, absent."""
    values = {
        "s": AnyValue(string_value=""),
        "b": AnyValue(bool_value=False),
        "i": AnyValue(int_value=-(1 << 63)),
        "d": AnyValue(double_value=0.0),
        "y": AnyValue(bytes_value=b""),
        "a": AnyValue(array_value=ArrayValue()),
        "m": AnyValue(kvlist_value=KeyValueList()),
        "e": AnyValue(),
    }
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    (record,) = decoded(span(attributes=[*pairs, KeyValue(key="n")])).records
    assert record.attributes == {
        "s": "",
        "b": False,
        "i": -(1 << 63),
        "d": 0.0,
        "y": b"",
        "a": [],
        "m": {},
        "e": None,
    } | {"n": None}
    assert decoded(span(attributes=[KeyValue(key="k", value=nested(32, maps=True))])).rejected == 0


def test_root_and_invalid_links_are_no_fault() -> None:
    """A parent of zeros is a root; a link to an invalid context, with zeros or nothing as ids, is kept."""
    (record,) = decoded(
        span(parent_span_id=bytes(8), links=[Span.Link(trace_id=bytes(16), span_id=bytes(8)), Span.Link()])
    ).records
    assert record.parent_span_id == ""
    assert [(link.trace_id, link.span_id) for link in record.links] == [("0" * 32, "0" * 16), ("", "")]


def test_spans_share_their_resource() -> None:
    """Two scopes of one resource: one resource record, so that the policy looks at it once."""
    data = request(GOOD)
    data.resource_spans[0].scope_spans.append(ScopeSpans(spans=[GOOD]))
    first, second = decode_protobuf(data.SerializeToString(), Limits()).records
    assert first.resource is second.resource
    assert first.scope is not second.scope


def test_empty_body_holds_no_spans() -> None:
    """The empty message is a message."""
    assert decode_protobuf(b"", Limits()) == DecodedSpans()
