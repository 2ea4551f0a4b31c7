"""Any OTLP request, for property tests."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    EntityRef,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from spanward.store.schema import PROMOTED_DOUBLES, PROMOTED_INTS, PROMOTED_STRINGS

UINT32 = st.integers(0, (1 << 32) - 1)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TIME = st.integers(0, (1 << 63) - 1)
ENUM = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(0, 5)
TEXT = st.text(max_size=8)
KEY = st.sampled_from(["service.name", "@k", *PROMOTED_STRINGS, *PROMOTED_INTS, *PROMOTED_DOUBLES]) | TEXT


_TOKEN: Final = re.compile(rb'"(?:[^"\\\\]|\\\\.)*"|[-+.\w]+|[^"\w]')
_ODD_VALUES: Final = [
    b"null", b"true", b"0", b"-0", b"-1", b"01", b"1.0", b"1e2", b"1E400", b"-0.0", b"5e-324", b"NaN", b"9" * 20,
    b'""', b'"0"', b'"-0"', b'"007"', b'"+1"', b'"1.0"', b'"NaN"', b'"-Infinity"', b'"x\\u0000y"', b'"\\ud83d\\ude00"',
    b'"\\ud800"', b'"\\u00e9\\/"', b'"AA=="', b'"AA"', b'"_-8="', b'"0a0B"', b"{}", b"[]", b"[null]", b'{"values":[]}',
    b'{"stringValue":"a","intValue":"1"}', b'{"intValue":null}', b'{"tomorrow":[1,{"a":null}]}', b'{"key":"k"}',
    b'{"arrayValue":{}}', b'{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}',
]  # fmt: skip
"""Values that are read in one place and refused in another, or written as nobody writes them."""
_ODD: Final = [b"", b"\xef\xbb\xbf", *(bytes([byte]) for byte in b'[]{},:"\\\xff\n\x0b'), *_ODD_VALUES]


def ids(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length).filter(any)


def requests(text: st.SearchStrategy[str] = TEXT, key: st.SearchStrategy[str] = KEY) -> st.SearchStrategy[TracesData]:
    """Requests without anything to refuse; `text` is wherever text can be, `key` are attribute keys."""
    plain = st.one_of(
        st.builds(AnyValue, string_value=text),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=INT64),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=6)),
        st.just(AnyValue()),
    )

    def deeper(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
        pairs = st.builds(KeyValue, key=key, value=values)
        return st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(values, max_size=3))) | st.builds(
            AnyValue, kvlist_value=st.builds(KeyValueList, values=st.lists(pairs, max_size=3))
        )

    values = st.recursive(plain, deeper, max_leaves=6)
    attributes = st.lists(st.builds(KeyValue, key=key, value=values), max_size=6)
    resources = st.builds(
        Resource,
        attributes=attributes,
        dropped_attributes_count=UINT32,
        entity_refs=st.lists(_entities(text), max_size=1),
    )
    scopes = st.builds(
        InstrumentationScope, name=text, version=text, attributes=attributes, dropped_attributes_count=UINT32
    )
    of_scope = st.builds(
        ScopeSpans, scope=scopes, schema_url=text, spans=st.lists(_spans(text, attributes), max_size=2)
    )
    of_resource = st.builds(
        ResourceSpans, resource=resources, schema_url=text, scope_spans=st.lists(of_scope, max_size=2)
    )
    return st.builds(TracesData, resource_spans=st.lists(of_resource, max_size=2))


def _spans(text: st.SearchStrategy[str], attributes: st.SearchStrategy[list[KeyValue]]) -> st.SearchStrategy[Span]:
    events = st.builds(
        Span.Event, time_unix_nano=TIME, name=text, attributes=attributes, dropped_attributes_count=UINT32
    )
    links = st.builds(
        Span.Link,
        trace_id=ids(16) | st.just(bytes(16)) | st.just(b""),
        span_id=ids(8) | st.just(b""),
        trace_state=text,
        attributes=attributes,
        dropped_attributes_count=UINT32,
        flags=UINT32,
    )
    return st.builds(
        Span,
        trace_id=ids(16),
        span_id=ids(8),
        parent_span_id=st.just(b"") | ids(8),
        trace_state=text,
        flags=UINT32,
        name=text,
        kind=ENUM,
        start_time_unix_nano=TIME,
        end_time_unix_nano=TIME,
        attributes=attributes,
        dropped_attributes_count=UINT32,
        events=st.lists(events, max_size=2),
        dropped_events_count=UINT32,
        links=st.lists(links, max_size=2),
        dropped_links_count=UINT32,
        status=st.builds(Status, message=text, code=ENUM),
    )


def _entities(text: st.SearchStrategy[str]) -> st.SearchStrategy[EntityRef]:
    return st.builds(
        EntityRef,
        schema_url=text,
        type=text,
        id_keys=st.lists(text, max_size=2),
        description_keys=st.lists(text, max_size=2),
    )


REQUESTS = requests()


def otlp_json(data: TracesData) -> bytes:
    """The message in OTLP/JSON: protobuf's own JSON form, but for hex ids and integer enums."""
    return json.dumps(_hex_ids(MessageToDict(data, use_integers_for_enums=True))).encode()


def _hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_hex_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in {"traceId", "spanId", "parentSpanId"} else _hex_ids(item)
            for key, item in value.items()
        }
    return value


def damage(body: bytes, draw: st.DataObject) -> bytes:
    """The body with bytes changed, cut out and put in."""
    damaged = bytearray(body)
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(damaged)))
        end = draw.draw(st.integers(start, min(len(damaged), start + 4)))
        damaged[start:end] = draw.draw(st.binary(max_size=4))
    return bytes(damaged)


def damage_json(body: bytes, draw: st.DataObject) -> bytes:
    """The document with pieces cut out, and put in what JSON, or OTLP/JSON, takes only in some places."""
    damaged = bytearray(body)
    for _ in range(draw.draw(st.integers(1, 3))):
        start = draw.draw(st.integers(0, len(damaged)))
        end = draw.draw(st.integers(start, min(len(damaged), start + 8)))
        damaged[start:end] = draw.draw(st.sampled_from(_ODD))
    return bytes(damaged)


def odd_json(body: bytes, draw: st.DataObject) -> bytes:
    """The document, still JSON, with values in the place of others."""
    tokens = _TOKEN.findall(body)
    values = [place for place, token in enumerate(tokens) if token not in b"{}[]:, "] or [0]
    for _ in range(draw.draw(st.integers(1, 3))):
        tokens[draw.draw(st.sampled_from(values))] = draw.draw(st.sampled_from(_ODD_VALUES))
    return b"".join(tokens)
