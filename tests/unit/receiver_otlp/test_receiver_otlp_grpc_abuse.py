"""Clients that mean no good, or do not speak HTTP/2: the server goes on serving the others."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from h2.exceptions import ProtocolError

from tests.support.http2 import Http2Client, framed, grpc_headers

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

pytestmark = pytest.mark.parametrize("engine", ["native", "python"], indirect=True)


async def abused(server: Any, abuse: Callable[[Http2Client], object]) -> int | None:
    """What the server said at the end to a client that broke the rules, None where it said nothing."""

    def client() -> int | None:
        with Http2Client(server.receiver.grpc_port) as client, suppress(ProtocolError, ConnectionError):
            abuse(client)
        return client.goaway

    return await asyncio.to_thread(client)


async def said(server: Any, words: bytes) -> bytes:
    """All that the server says to these bytes before it closes the connection."""

    def client() -> bytes:
        heard = b""
        address = ("127.0.0.1", server.receiver.grpc_port)
        with suppress(ConnectionError), socket.create_connection(address, timeout=30) as connection:
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(4096):
                heard += more
        return heard

    return await asyncio.to_thread(client)


@pytest.mark.parametrize("number", [50, 2000])
async def test_pings_are_answered_or_refused(server: Any, number: int) -> None:
    """Pings without end: each is answered, or the client is told to be calm (11) and let go; others do not notice."""

    def ping(client: Http2Client) -> None:
        for _ in range(number):
            client.http2.ping(b"spanward")
            client.flush()
        assert client.call(grpc_headers(EXPORT), framed(b"")).grpc in {0, None}

    assert await abused(server, ping) in {None, 11}
    assert await server.call(b"next") == b""


async def test_streams_that_are_reset_at_once(server: Any) -> None:
    """Calls opened and reset by the thousand: refused or tolerated; others do not notice."""

    def reset(client: Http2Client) -> None:
        for _ in range(3000):
            stream = client.http2.get_next_available_stream_id()
            client.http2.send_headers(stream, grpc_headers(EXPORT))
            client.http2.reset_stream(stream, 8)
        client.flush()
        client.call(grpc_headers(EXPORT), framed(b""))

    assert await abused(server, reset) in {None, 0, 11}
    assert await server.call(b"next") == b""


async def test_settings_without_end(server: Any) -> None:
    """A thousand changes of settings: refused or tolerated; others do not notice."""

    def change(client: Http2Client) -> None:
        for size in range(1000):
            client.http2.update_settings({4: 65_535 + size})
            client.flush()

    await abused(server, change)
    assert await server.call(b"next") == b""


@pytest.mark.parametrize("seed", range(8))
async def test_noise_is_let_go(server: Any, seed: int) -> None:
    """Random bytes, alone and after a good beginning: the connection is closed, the server is not."""
    noise = random.Random(seed).randbytes(2000)
    for words in (noise, PREFACE + noise, PREFACE + SETTINGS + noise):
        await said(server, words)
    assert await server.call(b"next") == b""
    assert len(server.door.got) == 1


async def test_http1_client_is_told(server: Any, engine: str) -> None:
    """An HTTP/1.1 request: an answer in its own language, or none; the connection is closed."""
    answer = await said(server, b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    if engine == "native":
        head, _, text = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 505 ")
        assert f"content-length: {len(text)}".encode() in head.lower()
    assert await server.call(b"next") == b""


@pytest.mark.parametrize("words", [b"", b"PRI", PREFACE[:-1], PREFACE, PREFACE + SETTINGS[:3], PREFACE + SETTINGS])
async def test_clients_that_leave_early(server: Any, words: bytes) -> None:
    """A connection that ends in the middle of its greeting: closed, and no more."""
    await said(server, words)
    assert await server.call(b"next") == b""


async def test_clients_that_stall_hold_up_nobody(server: Any) -> None:
    """Fifty that stop within the greeting, the headers or the body: the others are served meanwhile."""
    headers = bytes([0, 0, 40, 1, 0, 0, 0, 0, 1])  # of forty bytes, none of which comes
    body = Http2Client(server.receiver.grpc_port)
    body.send(body.begin(grpc_headers(EXPORT)), framed(bytes(1000))[:100])
    stalled = [body.socket]
    for number in range(50):
        connection = socket.create_connection(("127.0.0.1", server.receiver.grpc_port), timeout=30)
        connection.sendall((b"PRI", PREFACE, PREFACE + SETTINGS + headers)[number % 3])
        stalled.append(connection)
    try:
        for _ in range(5):
            assert await server.call(os.urandom(10)) == b""
    finally:
        for connection in stalled:
            connection.close()
