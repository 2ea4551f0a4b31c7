"""OTLP as other clients than the Python SDK speak it, against the whole sidecar."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import urllib.parse
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from spanward.store.sql import query
from tests.support.running import RunningSidecar

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
START = 1_767_225_600_000_000_000
MIB = 1 << 20


def a_request(name: str = "n", *, text: str = "") -> ExportTraceServiceRequest:
    """One span."""
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=os.urandom(16),
            span_id=os.urandom(8),
            name=name,
            start_time_unix_nano=START,
            end_time_unix_nano=START + 1,
        )
    )
    if text:
        span.attributes.add(key="text").value.string_value = text
    return request


def rows(sidecar: RunningSidecar, statement: str = "select * from spans") -> list[dict[str, Any]]:
    assert sidecar.sidecar.store is not None
    return list(query(sidecar.sidecar.store, statement).to_pylist())


def connect(sidecar: RunningSidecar) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urllib.parse.urlsplit(sidecar.http).netloc, timeout=60)


def ask(
    connection: http.client.HTTPConnection,
    body: Any,
    content_type: str = PROTOBUF,
    method: str = "POST",
    **headers: str,
) -> tuple[int, bytes]:
    """One request on a connection that stays open."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, "/v1/traces", body, {"Content-Type": content_type, **named})
    answer = connection.getresponse()
    return answer.status, answer.read()


# --- what a connection survives ---------------------------------------------------------------------------------------


def test_one_connection_serves_good_requests_between_bad_ones(sidecar: RunningSidecar) -> None:
    """Keep-alive: refusals of every sort on one socket, each followed by a good request, which is stored."""
    connection = connect(sidecar)
    refused: list[tuple[int, dict[str, Any]]] = [
        (415, {"body": b"x" * 100_000, "content_type": "text/plain"}),
        (415, {"body": b"x" * 100_000, "Content_Encoding": "br"}),
        (405, {"body": None, "method": "HEAD"}),
        (405, {"body": None, "method": "OPTIONS", "Origin": "http://localhost"}),
        (405, {"body": b"x" * 100_000, "method": "PUT"}),
        (400, {"body": b"\xff" * 100_000}),
        (400, {"body": b"\x1f\x8b" + bytes(100_000), "Content_Encoding": "gzip"}),
        (400, {"body": b'{"resourceSpans": [', "content_type": JSON}),
    ]
    ask(connection, b"")
    first = connection.sock
    for number, (status, request) in enumerate(refused):
        assert ask(connection, **request)[0] == status
        assert ask(connection, a_request(f"after {number}").SerializeToString())[0] == 200
        assert connection.sock is first, f"the connection was closed by {request}"
    connection.close()
    assert {row["name"] for row in rows(sidecar)} == {f"after {number}" for number in range(len(refused))}


def test_chunked_bodies_are_taken(sidecar: RunningSidecar) -> None:
    """No Content-Length, plain and gzip, in pieces of a few bytes, several on one connection."""
    connection = connect(sidecar)
    for name, pack in (("plain", bytes), ("gzip", gzip.compress)):
        body = pack(a_request(name).SerializeToString())
        pieces = (body[at : at + 7] for at in range(0, len(body), 7))
        coding = {"Content_Encoding": "gzip"} if name == "gzip" else {}
        assert ask(connection, pieces, **coding) == (200, b"")
    connection.close()
    assert {row["name"] for row in rows(sidecar)} == {"plain", "gzip"}


@pytest.mark.parametrize(
    "content_type",
    [f"{PROTOBUF}; charset=utf-8", f"{JSON}; charset=utf-8", f'{JSON};charset="UTF-8"', "Application/JSON"],
)
def test_parameters_of_the_content_type_do_not_matter(sidecar: RunningSidecar, content_type: str) -> None:
    """As browsers and proxies write it: taken, and answered in the same encoding."""
    connection = connect(sidecar)
    if "json" in content_type.lower():
        assert ask(connection, json.dumps(JAVASCRIPT).encode(), content_type) == (200, b"{}")
    else:
        assert ask(connection, a_request().SerializeToString(), content_type) == (200, b"")
    connection.close()
    assert len(rows(sidecar)) == 1


# --- sizes ------------------------------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    """A request of exactly so many bytes in one span."""
    text = size - 200
    while (length := a_request(text="y" * text).ByteSize()) != size:
        text += size - length
    return a_request(text="y" * text).SerializeToString()


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_request_of_the_largest_size_is_taken_and_one_byte_more_is_not(
    sidecar: RunningSidecar, transport: str
) -> None:
    """64 MiB in one span: stored, its text cut where the policy stops looking. One byte more: the status for it."""
    if transport == "http":
        connection = connect(sidecar)
        assert ask(connection, padded(64 * MIB)) == (200, b"")
        connection.close()
        connection = connect(sidecar)
        assert ask(connection, padded(64 * MIB + 1))[0] == 413
        connection.close()
    else:
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(sidecar.grpc, options=options) as channel:
            export = channel.unary_unary(EXPORT, None, None)
            assert export(padded(64 * MIB), timeout=60) == b""
            with pytest.raises(grpc.RpcError) as refused:
                export(padded(64 * MIB + 1), timeout=60)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [row] = rows(sidecar, "select attributes_str['text'] as text from spans")
    assert 900_000 < len(row["text"]) < 1_100_000


def test_an_empty_request_is_taken(sidecar: RunningSidecar) -> None:
    """Nothing, and shells without spans at each level: full success, no rows."""
    shells = ExportTraceServiceRequest()
    shells.resource_spans.add().scope_spans.add()
    shells.resource_spans.add().resource.attributes.add(key="a").value.string_value = "b"
    connection = connect(sidecar)
    with grpc.insecure_channel(sidecar.grpc) as channel:
        for body in (b"", shells.SerializeToString()):
            assert channel.unary_unary(EXPORT, None, None)(body, timeout=10) == b""
            assert ask(connection, body) == (200, b"")
    for text in (b"", b"{}", b'{"resourceSpans": []}', b'{"resourceSpans": [{"scopeSpans": [{}]}]}'):
        assert ask(connection, text, JSON) == (200, b"{}")
    connection.close()
    assert rows(sidecar) == []


# --- other people's clients -------------------------------------------------------------------------------------------


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field, lengths below 128 only."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def test_a_message_written_by_hand_is_understood(sidecar: RunningSidecar) -> None:
    """A client without a library, and one newer than this sidecar: fields in any order, unknown ones skipped."""
    times = b"\x39" + START.to_bytes(8, "little") + b"\x41" + (START + 9).to_bytes(8, "little")
    every_wire_type = b"\xf8\x3e\x2a" + b"\xfa\x3e\x03new" + b"\xf9\x3e" + bytes(8) + b"\xfd\x3e" + bytes(4)
    span = times + field(5, b"by hand") + every_wire_type + field(2, b"\x01" * 8) + b"\x30\x03" + field(1, b"\x02" * 16)
    body = every_wire_type + field(1, field(2, field(2, span) + b"\xfa\x3e\x03new"))
    with grpc.insecure_channel(sidecar.grpc) as channel:
        assert channel.unary_unary(EXPORT, None, None)(body, timeout=10) == b""
    [row] = rows(sidecar)
    assert (row["name"], row["trace_id"], row["span_id"]) == ("by hand", "02" * 16, "01" * 8)
    assert (row["kind"], row["start_unix_nano"], row["duration_ns"]) == ("client", START, 9)


JAVASCRIPT: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "web"}},
                    {"key": "process.pid", "value": {"intValue": 4711}},
                    {"key": "process.command_args", "value": {"arrayValue": {"values": [{"stringValue": "node"}]}}},
                ],
                "droppedAttributesCount": 0,
            },
            "scopeSpans": [
                {
                    "scope": {"name": "@opentelemetry/instrumentation-http", "version": "0.57.1"},
                    "spans": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "parentSpanId": "00f067aa0ba902b7",
                            "name": "GET",
                            "kind": 3,
                            "startTimeUnixNano": "1767225600123456789",
                            "endTimeUnixNano": "1767225600223456789",
                            "attributes": [
                                {"key": "http.request.method", "value": {"stringValue": "GET"}},
                                {"key": "http.response.status_code", "value": {"intValue": 200}},
                                {"key": "ratio", "value": {"doubleValue": 0.25}},
                                {"key": "whole", "value": {"doubleValue": 3}},
                                {"key": "cached", "value": {"boolValue": False}},
                                {"key": "nothing", "value": {}},
                            ],
                            "droppedAttributesCount": 0,
                            "events": [
                                {
                                    "attributes": [],
                                    "name": "response",
                                    "timeUnixNano": "1767225600200000000",
                                    "droppedAttributesCount": 0,
                                }
                            ],
                            "droppedEventsCount": 0,
                            "status": {"code": 0},
                            "links": [],
                            "droppedLinksCount": 0,
                            "flags": 257,
                        }
                    ],
                }
            ],
        }
    ]
}
"""As the JavaScript SDK's JSON exporter shapes it: numbers for int64 values, texts for times, empty lists kept."""


def test_json_of_the_javascript_sdk_is_stored_field_by_field(sidecar: RunningSidecar) -> None:
    """Each field of the body is in the row; times as numbers, as older releases write them, make the same row."""
    older = json.loads(json.dumps(JAVASCRIPT))
    [span] = older["resourceSpans"][0]["scopeSpans"][0]["spans"]
    span |= {
        "spanId": "b7ad6b7169203332",
        "startTimeUnixNano": 1767225600123456789,
        "endTimeUnixNano": 1767225600223456789,
    }
    connection = connect(sidecar)
    for body in (JAVASCRIPT, older):
        assert ask(connection, json.dumps(body).encode(), JSON) == (200, b"{}")
    connection.close()
    first, second = rows(sidecar, "select * from spans order by span_id")
    assert (first["trace_id"], first["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (first["parent_span_id"], first["kind"], first["flags"]) == ("00f067aa0ba902b7", "client", 257)
    assert (first["start_unix_nano"], first["duration_ns"]) == (1767225600123456789, 100_000_000)
    assert (first["http_request_method"], first["http_response_status_code"]) == ("GET", 200)
    assert dict(first["attributes_double"]) == {"ratio": 0.25, "whole": 3.0}
    assert dict(first["attributes_bool"]) == {"cached": False}
    assert [event["name"] for event in first["events"]] == ["response"]
    assert {**first, "received_at": 0, "span_id": ""} == {**second, "received_at": 0, "span_id": ""}


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_partial_success_names_what_was_refused(sidecar: RunningSidecar, content_type: str) -> None:
    """Good spans beside bad ones, in both encodings: 200, how many, which, why; the good ones stored."""
    connection = connect(sidecar)
    if content_type == JSON:
        body = json.loads(json.dumps(JAVASCRIPT))
        spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        spans += [{**spans[0], "traceId": "00" * 16}, {**spans[0], "spanId": "beef"}]
        status, answer = ask(connection, json.dumps(body).encode(), JSON)
        partial = json.loads(answer)["partialSuccess"]
        message = partial["errorMessage"]
        assert partial["rejectedSpans"] == "2"  # int64 is text in protobuf's JSON
    else:
        request = a_request()
        spans = request.resource_spans[0].scope_spans[0].spans
        spans.add().CopyFrom(spans[0])
        spans.add().CopyFrom(spans[0])
        spans[1].trace_id = bytes(16)
        spans[2].span_id = b"beef"
        status, answer = ask(connection, request.SerializeToString())
        told = ExportTraceServiceResponse.FromString(answer).partial_success
        message = told.error_message
        assert told.rejected_spans == 2
    connection.close()
    assert status == 200
    trace_id, span_id = ("traceId", "spanId") if content_type == JSON else ("trace_id", "span_id")
    assert f"span 1 of resource 0, scope 0: {trace_id} is all zeros" in message
    assert f"span 2 of resource 0, scope 0: {span_id} has" in message
    assert len(rows(sidecar)) == 1


# --- many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_64_connections_with_a_span_a_request(sidecar: RunningSidecar, transport: str) -> None:
    """64 clients, each with a connection of its own and 10 requests of one span: no error, every span stored once."""

    async def over_grpc(number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(sidecar.grpc, options=options) as channel:
            for turn in range(10):
                body = a_request(f"{number}/{turn}").SerializeToString()
                assert await channel.unary_unary(EXPORT, None, None)(body, timeout=60) == b""

    async def over_http(number: int) -> None:
        async with aiohttp.ClientSession(headers={"Content-Type": PROTOBUF}) as session:
            for turn in range(10):
                body = a_request(f"{number}/{turn}").SerializeToString()
                async with session.post(f"{sidecar.http}/v1/traces", data=body) as answer:
                    assert (answer.status, await answer.read()) == (200, b"")

    send = over_grpc if transport == "grpc" else over_http
    await asyncio.gather(*(send(number) for number in range(64)))
    names = [row["name"] for row in rows(sidecar, "select name from spans")]
    assert sorted(names) == sorted(f"{number}/{turn}" for number in range(64) for turn in range(10))
