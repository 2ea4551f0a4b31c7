"""Spans with one planted value each in every place that can hold text, and the forms in which it could come out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkNzg5MCJ9.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

PLANTED: dict[str, tuple[str, str]] = {
    # type: (how it is written, what must not be found again)
    "email": ("alice.planted@example.org", "alice.planted@example.org"),
    "phone": ("+14155552671", "4155552671"),
    "card": ("4111 1111 1111 1111", "4111 1111 1111 1111"),
    "us_ssn": ("123-45-6789", "123-45-6789"),
    "ipv4": ("93.184.216.34", "93.184.216.34"),
    "ipv6": ("2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::8a2e:370:7334"),
    "iban": ("DE89370400440532013000", "DE89370400440532013000"),
    "jwt": (JWT, JWT),
    "api_key": ("ghp_" + "a1B2" * 9, "a1B2" * 9),
    "bearer_token": ("Bearer pl4ntedToken0123", "pl4ntedToken0123"),
    "credential_url": ("postgres://app:pl4ntedWord@db.example.org/x", "pl4ntedWord"),
    "credential": ("password=hunter2planted", "hunter2planted"),
}


def forms(value: str) -> set[bytes]:
    """The value as text, in a URL, in JSON, with every character escaped, in UTF-16, and in base64 at any offset."""
    texts = {
        value,
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        "".join(f"%{ord(character):02X}" for character in value),
        "".join(f"\\u{ord(character):04x}" for character in value),
    }
    raw = value.encode()
    # without the characters that the bytes around share
    coded = {base64.b64encode(bytes(offset) + raw)[(4 if offset else 0) : -4] for offset in range(3)}
    return {text.encode() for text in texts} | coded | {value.encode("utf-16-le")}


def texts_of(value: str) -> dict[str, str]:
    """A value in a text, plain and in the ways in which texts are nested in each other."""
    return {
        "plain": f"see {value} there",
        "alone": value,
        "json": json.dumps({"note": f"line\n{value}", "list": [value]}),
        "json.twice": json.dumps({"inner": json.dumps({"note": value})}),
        "percent": "q=" + quote(f"see {value}", safe=""),
        "percent.twice": "q=" + quote(quote(f"see {value}", safe=""), safe=""),
        "form": "a=1&q=" + quote_plus(f"see {value}"),
        "escaped": json.dumps("é" + value).replace("@", "\\u0040"),
        "no-break": f"see\u00a0{value}\u00a0there",
    }


def values_of(value: str) -> Iterator[tuple[str, AnyValue]]:
    """Attribute values of every kind that hold the value."""
    for name, text in texts_of(value).items():
        yield f"string.{name}", AnyValue(string_value=text)
        yield f"bytes.{name}", AnyValue(bytes_value=text.encode())
    yield "bytes.binary", AnyValue(bytes_value=b"\x00\xff\xfe" + f" {value} ".encode() + b"\x80\x81")
    nested = AnyValue()
    nested.kvlist_value.values.add(key="inner").value.array_value.values.add(string_value=f"see {value}")
    nested.kvlist_value.values.add(key=f"key {value}").value.string_value = "x"
    nested.kvlist_value.values.add(key="raw").value.bytes_value = f"see {value}".encode()
    yield "map", nested
    array = AnyValue()
    array.array_value.values.add(string_value=f"see {value}")
    array.array_value.values.add(bytes_value=f"see {value}".encode())
    array.array_value.values.append(nested)
    yield "array", array


def plant_attributes(attributes: Any, value: str) -> None:
    """Fill a repeated field of KeyValues."""
    for name, any_value in values_of(value):
        attributes.add(key=f"planted.{name}").value.CopyFrom(any_value)
    attributes.add(key=f"cart of {value}").value.int_value = 1


def plant_span(span: Span, value: str) -> None:
    """Fill everything of a span."""
    text = f"see {value} there"
    span.name = span.status.message = span.trace_state = text
    span.status.code = 2  # type: ignore[assignment]  # the generated types know no plain number
    plant_attributes(span.attributes, value)
    for key in ("http.route", "error.type", "url.full", "spanward.operation", "spanward.event.type"):
        span.attributes.add(key=key).value.string_value = text
    for key in ("spanward.privacy.tags", "spanward.quality.violations", "spanward.pii", "spanward.subjects"):
        span.attributes.add(key=key).value.array_value.values.add(string_value=value)
    event = span.events.add(name=text, time_unix_nano=span.start_time_unix_nano)
    plant_attributes(event.attributes, value)
    link = span.links.add(trace_id=bytes(range(1, 17)), span_id=bytes(range(1, 9)), trace_state=text)
    plant_attributes(link.attributes, value)


def planted_request(*, first: int, now_ns: int, refused: bool = True) -> ExportTraceServiceRequest:
    """A resource for each type, with a good span and, beside it, one that has no valid id."""
    request = ExportTraceServiceRequest()
    for number, (name, (written, _)) in enumerate(PLANTED.items(), first):
        _plant_resource(request.resource_spans.add(), name, written)
        spans = request.resource_spans[-1].scope_spans[0].spans
        good = spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"),
            start_time_unix_nano=now_ns, end_time_unix_nano=now_ns + 1_000_000,
        )  # fmt: skip
        plant_span(good, written)
        if refused:
            bad = spans.add(trace_id=written.encode()[:9], span_id=b"12345678")
            plant_span(bad, written)
    return request


def _plant_resource(resource_spans: ResourceSpans, name: str, written: str) -> None:
    resource = resource_spans.resource
    resource.attributes.add(key="service.name").value.string_value = f"shop-{name} {written}"
    resource.attributes.add(key="kind.planted").value.string_value = name
    plant_attributes(resource.attributes, written)
    resource.entity_refs.add(type=f"see {written}", schema_url=written, id_keys=[written])
    resource_spans.schema_url = f"https://h/?q={quote(written)}"
    scope_spans = resource_spans.scope_spans.add(schema_url=f"https://h/?q={quote(written)}")
    scope_spans.scope.name = f"lib {written}"
    # a version looks like an IPv4 address; the policy expects it there
    scope_spans.scope.version = "1.2.3" if name == "ipv4" else f"see {written}"
    plant_attributes(scope_spans.scope.attributes, written)
