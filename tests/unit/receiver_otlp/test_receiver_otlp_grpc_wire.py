"""gRPC's own rules, spoken by hand: what both servers take and refuse alike."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zlib
from typing import Any

import grpc
import pytest

from tests.support.http2 import Headers, Heard, Http2Client, framed, grpc_headers

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MIB = 1 << 20

pytestmark = pytest.mark.parametrize("engine", ["native", "python"], indirect=True)


def code(status: grpc.StatusCode) -> int:
    return int(status.value[0])


async def called(server: Any, headers: Headers, body: bytes) -> Heard:
    """One call on a connection of its own."""

    def call() -> Heard:
        with Http2Client(server.receiver.grpc_port) as client:
            return client.call(headers, body)

    return await asyncio.to_thread(call)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, framed(b"any bytes")),
        ("identity", framed(b"any bytes")),
        ("gzip", framed(gzip.compress(b"any bytes"), 1)),
        ("deflate", framed(zlib.compress(b"any bytes"), 1)),
        ("gzip", framed(b"any bytes")),
        ("deflate", framed(b"any bytes")),
    ],
)
async def test_each_compression_is_taken(server: Any, encoding: str | None, body: bytes) -> None:
    """gzip, deflate and none, also a message that was not compressed though the call may be: the same bytes arrive."""
    more = [("grpc-encoding", encoding)] if encoding else []
    heard = await called(server, grpc_headers(EXPORT, *more, content_type="application/grpc+proto"), body)
    assert (heard.grpc, heard.body) == (0, framed(b""))
    assert heard.headers["grpc-accept-encoding"] == "identity, deflate, gzip"
    assert [got[0] for got in server.door.got] == [b"any bytes"]


@pytest.mark.parametrize(
    "body",
    [
        framed(b"not gzip", 1),
        framed(gzip.compress(bytes(1000))[:-9], 1),
        framed(gzip.compress(b"x") + b"more", 1),
        framed(gzip.compress(b"x") * 2, 1),
        framed(gzip.compress(b"x")[:-8] + b"checksum", 1),
    ],
    ids=["none", "truncated", "followed", "twice", "checksum"],
)
async def test_damaged_compression_is_refused(server: Any, body: bytes) -> None:
    """No gzip, half of it, more behind it, a wrong checksum: INTERNAL, and nothing reaches the pipeline."""
    heard = await called(server, grpc_headers(EXPORT, ("grpc-encoding", "gzip")), body)
    assert heard.grpc == code(grpc.StatusCode.INTERNAL)
    assert server.door.got == []


async def test_compressed_message_of_an_uncompressed_call_is_refused(server: Any) -> None:
    """The flag without an encoding: INTERNAL, as the specification asks."""
    heard = await called(server, grpc_headers(EXPORT), framed(gzip.compress(b"x"), 1))
    assert heard.grpc == code(grpc.StatusCode.INTERNAL)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", struct.pack("!BI", 0, MIB + 1) + b"the first bytes"),
        ("identity", framed(bytes(MIB + 1))),
        ("identity", framed(bytes(16 * MIB))),
        ("gzip", framed(gzip.compress(bytes(MIB + 1)), 1)),
        ("gzip", framed(gzip.compress(bytes(256 * MIB), 1), 1)),
        ("deflate", framed(zlib.compress(bytes(16 * MIB)), 1)),
    ],
    ids=["declared", "one byte", "much", "gzip", "gzip bomb", "deflate bomb"],
)
async def test_oversize_is_refused_at_once(server: Any, encoding: str, body: bytes) -> None:
    """Too long by its own word, as sent, or once decompressed: RESOURCE_EXHAUSTED, and the server goes on."""
    heard = await called(server, grpc_headers(EXPORT, ("grpc-encoding", encoding)), body)
    assert heard.grpc == code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert server.door.got == []
    assert await server.call(b"next") == b""


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", framed(bytes(MIB))),
        ("gzip", framed(gzip.compress(bytes(MIB)), 1)),
        ("deflate", framed(zlib.compress(bytes(MIB)), 1)),
    ],
    ids=["identity", "gzip", "deflate"],
)
async def test_largest_message_is_taken(server: Any, encoding: str, body: bytes) -> None:
    """Exactly the limit, before and after decompression: taken whole."""
    heard = await called(server, grpc_headers(EXPORT, ("grpc-encoding", encoding)), body)
    assert heard.grpc == 0
    assert [len(got[0]) for got in server.door.got] == [MIB]


async def test_unknown_compression_is_refused(server: Any, engine: str) -> None:
    """An encoding nobody knows: UNIMPLEMENTED with those that are known; grpcio says INTERNAL."""
    heard = await called(server, grpc_headers(EXPORT, ("grpc-encoding", "br")), framed(b"x", 1))
    if engine == "native":
        assert heard.grpc == code(grpc.StatusCode.UNIMPLEMENTED)
        assert heard.headers["grpc-accept-encoding"] == "identity, deflate, gzip"
    else:
        assert heard.grpc == code(grpc.StatusCode.INTERNAL)
    assert server.door.got == []


@pytest.mark.parametrize("path", ["/", "/x.Y/Z", EXPORT + "/", EXPORT.lower()])
async def test_other_method_is_unimplemented(server: Any, path: str) -> None:
    """Any path but one: UNIMPLEMENTED."""
    heard = await called(server, grpc_headers(path), framed(b""))
    assert heard.grpc == code(grpc.StatusCode.UNIMPLEMENTED)


@pytest.mark.parametrize("status", [405, 415])
async def test_what_is_not_grpc_is_refused(server: Any, engine: str, status: int) -> None:
    """Another verb, another content type: a status of HTTP. grpcio resets the first and takes the second."""
    changed = {"method": "PUT"} if status == 405 else {"content_type": "application/json"}
    heard = await called(server, grpc_headers(EXPORT, **changed), framed(b"x"))
    if engine == "native":
        assert (heard.headers[":status"], heard.grpc) == (str(status), None)
        assert server.door.got == []
    else:
        assert heard.reset is not None or heard.grpc == 0


async def test_first_of_two_tenants_counts(server: Any) -> None:
    """The same metadata key twice: the first value."""
    twice = (("x-tenant", "acme"), ("x-tenant", "other"))
    assert (await called(server, grpc_headers(EXPORT, *twice), framed(b""))).grpc == 0
    assert [got[2] for got in server.door.got] == ["acme"]


async def test_too_many_headers_are_refused(server: Any, engine: str) -> None:
    """More metadata than 16 KiB: not taken, and the native server says why in HTTP's words."""
    heard = await called(server, grpc_headers(EXPORT, ("x-tenant", "a" * 60_000)), framed(b""))
    assert heard.headers[":status"] == "431" if engine == "native" else heard.grpc != 0
    assert server.door.got == []


async def test_message_in_pieces_is_put_together(server: Any) -> None:
    """A message whose prefix and bytes come one by one: taken as if it had come at once."""

    def call() -> Heard:
        with Http2Client(server.receiver.grpc_port) as client:
            stream = client.begin(grpc_headers(EXPORT))
            for byte in framed(b"any bytes"):
                client.send(stream, bytes([byte]))
            client.send(stream, b"", end=True)
            return client.answer(stream)

    assert (await asyncio.to_thread(call)).grpc == 0
    assert [got[0] for got in server.door.got] == [b"any bytes"]
