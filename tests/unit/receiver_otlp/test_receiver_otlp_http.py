"""OTLP over HTTP: what is refused and how, then what is taken."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanward.receiver.otlp.inflate import BadGzipError, TooLargeError, gunzip
from spanward.sidecar.component import Encoding, IngestResult
from spanward.store.errors import (
    InvalidRequestError,
    KeyringError,
    OverloadedError,
    PermanentError,
    RetryableError,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry_after", "text"),
    [
        (InvalidRequestError("not a message: byte 3"), 400, 3, None, "not a message: byte 3"),
        (PermanentError("never"), 400, 3, None, "never"),
        (OverloadedError("the log is full", retry_after=2.2), 429, 8, "3", "the log is full"),
        (OverloadedError("the log is full"), 429, 8, "1", "the log is full"),
        (RetryableError("the disk is full", retry_after=0.1), 503, 14, "1", "the disk is full"),
        (KeyringError("/secret/path is gone"), 503, 14, "1", "the data folder is not available"),
        (ZeroDivisionError("secret value 42"), 500, 13, None, "internal error"),
    ],
)
@pytest.mark.parametrize("encoding", ["application/x-protobuf", "application/json"])
async def test_failure_of_the_pipeline_has_its_status(
    server: Any,
    failure: Exception,
    status: int,
    code: int,
    retry_after: str | None,
    text: str,
    encoding: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each way to fail has the specification's status, and a Status body in the request's own encoding.

    Nothing that only the log may know is in it.
    """
    caplog.set_level(logging.CRITICAL)
    server.door.answer = failure
    got, headers, body = await server.post(b"{}", encoding)
    assert (got, headers.get("Retry-After")) == (status, retry_after)
    assert headers["Content-Type"].startswith(encoding)
    if encoding == "application/json":
        document = json.loads(body)
        answer = Status(code=document["code"], message=document["message"])
    else:
        answer = Status.FromString(body)
    assert answer.code == code
    assert text in answer.message
    assert b"secret" not in body
    name = {3: "INVALID_ARGUMENT", 8: "RESOURCE_EXHAUSTED", 13: "INTERNAL", 14: "UNAVAILABLE"}[code]
    labels = {"receiver": "otlp", "transport": "http", "code": name}
    assert server.metric("spanward_receiver_refused_requests_total", **labels) == 1


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"hello"),
        ("application/octet-stream", b""),
        ("application/xml", b"<a/>"),
        ("multipart/form-data", b""),
    ],
)
async def test_wrong_content_type_is_415(server: Any, content_type: str, body: bytes) -> None:
    """Something that is not OTLP: 415 with the types that are, as a plain line, and the pipeline never sees it."""
    status, headers, answer = await server.post(body, content_type)
    assert status == 415
    assert headers["Content-Type"].startswith("text/plain")
    assert b"application/x-protobuf or application/json" in answer
    assert server.door.got == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", b"POST /v1/traces"),
        ("/v1/trace", b"POST /v1/traces"),
        ("/v1/metrics", b"does not accept metrics"),
        ("/v1/logs", b"does not accept logs"),
        ("/v1development/profiles", b"does not accept profiles"),
    ],
)
async def test_wrong_path_is_404_with_the_right_one(server: Any, path: str, text: bytes) -> None:
    """A mistyped path or another signal: 404 that says what this server takes."""
    status, _, answer = await server.post(b"", path=path)
    assert status == 404
    assert text in answer


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_wrong_method_is_405(server: Any, method: str) -> None:
    """Any method but POST: 405, and Allow names POST."""
    async with server.session.request(method, server.url + "/v1/traces") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip at all",
        gzip.compress(b"x" * 1000)[:-9],
        gzip.compress(b"x" * 1000)[:5],
        b"",
        gzip.compress(b"ok") + b"trailing",
        gzip.compress(b"ok")[:-4] + b"\0\0\0\0",
        zlib.compress(b"deflate is not gzip"),
    ],
)
async def test_bad_gzip_is_400(server: Any, body: bytes) -> None:
    """Damaged, truncated, empty or wrongly framed gzip: 400 that says so."""
    status, _, answer = await server.post(body, Content_Encoding="gzip")
    assert status == 400
    assert "cannot be decompressed" in Status.FromString(answer).message
    assert server.door.got == []


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
async def test_unknown_content_encoding_is_415(server: Any, encoding: str) -> None:
    """A compression that OTLP does not have: 415 that names those it has."""
    status, headers, answer = await server.post(b"x", Content_Encoding=encoding)
    assert (status, headers["Accept-Encoding"]) == (415, "gzip")
    assert "gzip or identity" in Status.FromString(answer).message


async def test_body_beyond_the_limit_is_413(server: Any) -> None:
    """One byte too many, announced in Content-Length: 413 without reading it; exactly the limit is taken."""
    status, _, answer = await server.post(bytes(MIB + 1))
    assert status == 413
    assert "larger than 1 MiB; send smaller batches" in Status.FromString(answer).message
    status, _, _ = await server.post(bytes(MIB))
    assert status == 200


async def test_chunked_body_beyond_the_limit_is_413(server: Any) -> None:
    """No Content-Length to go by: the bound holds while reading."""

    async def pieces() -> Any:
        for _ in range(20):
            yield bytes(MIB // 10)

    async with server.session.post(
        server.url + "/v1/traces", data=pieces(), headers={"Content-Type": "application/x-protobuf"}
    ) as response:
        assert response.status == 413


async def test_gzip_bomb_is_413(server: Any) -> None:
    """64 MiB of zeros in 64 KiB of gzip: 413, and no more than the limit is ever decompressed."""
    status, _, _ = await server.post(gzip.compress(bytes(64 * MIB)), Content_Encoding="gzip")
    assert status == 413
    status, _, _ = await server.post(gzip.compress(bytes(MIB)), Content_Encoding="gzip")
    assert status == 200


def test_gunzip_never_exceeds_its_bound() -> None:
    """Bombs of one member and of many, exact fits, and a chain of members that would cost quadratic time."""
    member = gzip.compress(bytes(600))
    assert gunzip(member, 600) == bytes(600)
    assert gunzip(member + member, 1200) == bytes(1200)
    for data, limit in ((member, 599), (member + member, 1199), (gzip.compress(bytes(5000)), 1)):
        with pytest.raises(TooLargeError, match=f"more than {limit} bytes"):
            gunzip(data, limit)
    with pytest.raises(BadGzipError, match="more than 16 gzip members"):
        gunzip(gzip.compress(b"") * 17, 10)


async def test_body_that_does_not_come_is_408(start: Any) -> None:
    """A client that announces a body and sends half of it: 408 once its time is up."""
    server = await start(http={"read_timeout_seconds": 0.05})
    answer = await raw(
        server,
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
    )
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 0.05 seconds" in answer


async def test_head_that_does_not_come_closes_the_connection(start: Any) -> None:
    """A client that opens a connection and sends half a request line: it is closed, and holds nothing for ever."""
    server = await start(http={"keepalive_seconds": 0.05})
    assert await raw(server, b"POST /v1/tra") == b""


@pytest.mark.parametrize(("expect", "status"), [(b"", b"400"), (b"Expect: 100-continue\r\n", b"408")])
async def test_damaged_chunks_are_refused(
    start: Any, expect: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A chunked body whose framing is broken, before and after reading it has begun: refused, no stack in the log."""
    server = await start(http={"read_timeout_seconds": 0.1})
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    head += expect + b"\r\n"
    answer = await raw(server, head, b"zz\r\n") if expect else await raw(server, head + b"zz\r\n")
    assert answer.split()[1] == status
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "head",
    [
        b"Authorization: Bearer s3cret" + b"x" * 10_000,
        b"Authorization Bearer s3cret",
        b"Content-Length: s3cret",
        b"Authorization: Bearer s3cret\x00",
    ],
    ids=["too long", "no colon", "no length", "control character"],
)
async def test_log_of_a_damaged_head_has_none_of_its_words(
    server: Any, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    """Headers that cannot be read, a credential among them: 400, one line in the log, and not the credential."""
    answer = await raw(server, b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
    assert answer.split()[1] == b"400"
    assert "what is not HTTP" in caplog.text
    assert "s3cret" not in caplog.text


async def test_client_that_goes_away_costs_nothing(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends in the middle of a body: nothing reaches the pipeline, nothing is logged as an error."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.receiver.http_port)
    writer.write(
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 100")
    writer.close()
    await writer.wait_closed()
    status, _, _ = await server.post(b"{}", "application/json")
    assert status == 200
    assert len(server.door.got) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def raw(server: Any, request: bytes, later: bytes = b"") -> bytes:
    """What comes back for these bytes until the server closes or has answered; `later` is sent after a 100."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.receiver.http_port)
    writer.write(request)
    if later:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(later)
    answer = await reader.read(4096)
    while answer and not answer.endswith((b"}", b"\n")) and (more := await reader.read(4096)):
        answer += more
    writer.close()
    await writer.wait_closed()
    return answer


async def test_requests_beyond_the_bound_wait_and_then_are_sent_away(start: Any) -> None:
    """One turn, taken by a request that is stuck: the next is told 503 with Retry-After, and the first succeeds."""
    server = await start(http={"max_concurrent_requests": 1, "read_timeout_seconds": 0.05})
    inside, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        inside.set()
        await release.wait()

    server.door.before = hold
    first = asyncio.create_task(server.post(b""))
    await inside.wait()
    status, headers, _ = await server.post(b"")
    assert (status, headers["Retry-After"]) == (503, "1")
    release.set()
    assert (await first)[0] == 200


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/x-protobuf", Encoding.PROTOBUF),
        ("application/json", Encoding.JSON),
        ("application/json; charset=utf-8", Encoding.JSON),
        ("Application/JSON", Encoding.JSON),
    ],
)
@pytest.mark.parametrize("compression", [None, "identity", "gzip", "GZIP"])
async def test_request_is_taken_and_answered_in_its_encoding(
    server: Any, content_type: str, encoding: Encoding, compression: str | None
) -> None:
    """Both encodings, with and without gzip: the pipeline gets the plain bytes, the answer has the same type."""
    plain = b'{"resourceSpans": []}'
    body = gzip.compress(plain) if compression and compression.lower() == "gzip" else plain
    headers = {"Content_Encoding": compression} if compression else {}
    server.door.answer = IngestResult(accepted=5)
    status, got, answer = await server.post(body, content_type, **headers)
    assert status == 200
    assert got["Content-Type"].startswith(content_type.lower().partition(";")[0])
    assert answer == (b"{}" if encoding is Encoding.JSON else b"")
    assert server.door.got == [(plain, encoding, "default")]
    labels = {"receiver": "otlp", "transport": "http"}
    assert server.metric("otelcol_receiver_accepted_spans_total", **labels) == 5


async def test_large_gzip_body_is_taken(start: Any) -> None:
    """A body that is large even when compressed (it is inflated off the event loop) arrives unchanged."""
    server = await start()
    plain = b"".join(zlib.crc32(bytes([i & 0xFF, i >> 8])).to_bytes(4, "big") for i in range(40_000))
    body = gzip.compress(plain)
    assert len(body) > 64 << 10
    status, _, _ = await server.post(body, Content_Encoding="gzip")
    assert (status, server.door.got[0][0]) == (200, plain)


async def test_partial_success_is_told_in_both_encodings(server: Any) -> None:
    """Two spans refused beside good ones: 200 with their number and the reason, counted as refused."""
    server.door.answer = IngestResult(rejected=2, message="trace_id is all zeros", accepted=3)
    _, _, body = await server.post(b"")
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "trace_id is all zeros")
    status, _, body = await server.post(b"{}", "application/json")
    assert status == 200
    assert json.loads(body) == {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "trace_id is all zeros"}}
    labels = {"receiver": "otlp", "transport": "http"}
    assert server.metric("otelcol_receiver_refused_spans_total", **labels) == 4
    assert server.metric("otelcol_receiver_accepted_spans_total", **labels) == 6


async def test_tenant_header_decides_whose_spans_these_are(start: Any) -> None:
    """The header names the tenant; a name that could not be one is refused; with the option off it is ignored."""
    server = await start()
    await server.post(b"", X_Tenant="acme")
    assert server.door.got[-1][2] == "acme"
    for bad in ("../etc", "a" * 65, "-a", "a b"):
        status, _, _ = await server.post(b"", X_Tenant=bad)
        assert status == 400
    closed = await start(tenant_header="")
    await closed.post(b"", X_Tenant="acme")
    assert closed.door.got[-1][2] == "default"
