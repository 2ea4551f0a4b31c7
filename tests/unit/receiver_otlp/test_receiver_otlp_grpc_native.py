"""The native gRPC server by itself: its bounds, and calls that are not answered as they should be."""

from __future__ import annotations

import base64
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.support.http2 import Heard, Http2Client, framed, grpc_headers

if TYPE_CHECKING:
    from spanward.native import GrpcCall, GrpcServer

native = pytest.importorskip("spanward.native", reason="it is not built: `make kernel` builds it (needs Rust)")

METHOD = "/test.Service/Method"
INTERNAL, UNAVAILABLE, DEADLINE_EXCEEDED, INVALID_ARGUMENT = 13, 14, 4, 3
KIB = 1 << 10

Serve = Callable[..., "GrpcServer"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that starts a server with changed bounds."""
    servers: list[GrpcServer] = []

    def start(host: str = "127.0.0.1", port: int = 0, **changed: Any) -> GrpcServer:
        options: dict[str, Any] = {
            "method": METHOD,
            "metadata": ["who", "key-bin"],
            "max_message_bytes": 1 << 20,
            "max_pending_bytes": 64 << 20,
            "max_connections": 100,
            "max_concurrent_streams": 100,
            "keepalive_seconds": 60,
            "keepalive_timeout_seconds": 20,
            "max_idle_seconds": 0,
            "body_seconds": 20,
        }
        servers.append(native.GrpcServer(host, port, **options | changed))
        return servers[-1]

    yield start
    for server in servers:
        server.stop(0)


def taken(server: GrpcServer, number: int = 1) -> list[GrpcCall]:
    """So many calls, as soon as they are there."""
    calls: list[GrpcCall] = []
    while len(calls) < number:
        assert select.select([server.fileno()], [], [], 20)[0], "no call came"
        calls += server.take()
    return calls


def refuses(port: int) -> bool:
    """Wait until nobody listens."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=20).close()
        except ConnectionError:
            return True


def closed(client: Http2Client) -> bool:
    """Wait until the server ends the connection."""
    while client.socket.recv(4096):
        pass
    return True


def test_call_is_handed_over_and_answered(serve: Serve) -> None:
    """A call with metadata, text and binary: as it was sent; the descriptor is readable only while calls wait."""
    server = serve()
    assert server.take() == []
    binary = base64.b64encode(b"\xe4\xb8\x96\xff").decode().rstrip("=")
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD, ("who", "somebody"), ("key-bin", binary)))
        client.send(stream, framed(b"question"), end=True)
        (call,) = taken(server)
        assert (call.body, call.metadata) == (b"question", ("somebody", "世\ufffd"))
        assert select.select([server.fileno()], [], [], 0)[0] == []
        call.answer(b"answer" * 100_000)
        assert client.answer(stream).body == framed(b"answer" * 100_000)
        again = client.begin(grpc_headers(METHOD))
        client.send(again, framed(b""), end=True)
        assert [call.metadata for call in taken(server)] == [(None, None)]


def test_first_answer_counts(serve: Serve) -> None:
    """A refusal with any text and details, then an answer: the client gets the refusal, each character of it."""
    server = serve()
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD))
        client.send(stream, framed(b""), end=True)
        (call,) = taken(server)
        call.abort(INVALID_ARGUMENT, "50 % zu groß\n", b"\x00details")
        call.answer(b"")
        heard = client.answer(stream)
    assert (heard.grpc, heard.body) == (INVALID_ARGUMENT, b"")
    assert heard.headers["grpc-message"] == "50 %25 zu gro%C3%9F%0A"
    assert base64.b64decode(heard.headers["grpc-status-details-bin"] + "==") == b"\x00details"


def test_call_that_is_dropped_fails(serve: Serve) -> None:
    """Taken and forgotten: INTERNAL, not a client that waits for ever."""
    server = serve()
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD))
        client.send(stream, framed(b""), end=True)
        taken(server).clear()
        assert client.answer(stream).grpc == INTERNAL


@pytest.mark.parametrize("body", [b"", b"\0\0", framed(b"whole")[:-1], framed(b"one") + framed(b"two"), framed(b"", 2)])
def test_what_is_not_one_message_is_refused(serve: Serve, body: bytes) -> None:
    """None, half of one, two, one with an unknown flag: INTERNAL, and nobody has to take it."""
    server = serve()
    with Http2Client(server.port) as client:
        assert client.call(grpc_headers(METHOD), body).grpc == INTERNAL
    assert server.take() == []


def test_given_up_before_it_was_taken(serve: Serve) -> None:
    """A client that resets its call while it waits: it is not handed over; the next one is."""
    server = serve()
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD))
        client.send(stream, framed(b"given up"), end=True)
        assert select.select([server.fileno()], [], [], 20)[0]
        client.http2.reset_stream(stream, 8)
        client.http2.ping(b"spanward")
        client.flush()
        client.listen()  # the answer to the ping says that the reset was read
        client.send(client.begin(grpc_headers(METHOD)), framed(b"next"), end=True)
        while (bodies := [call.body for call in server.take()]) in ([], [b"given up"]):
            time.sleep(0.01)
    assert bodies in ([b"next"], [b"given up", b"next"])


def test_full_room_makes_calls_wait(serve: Serve) -> None:
    """More bodies than may be pending: some wait unread or are told to come again; once there is room all are taken."""
    server = serve(max_pending_bytes=256 * KIB, body_seconds=0.5)
    body = framed(bytes(100 * KIB))
    with Http2Client(server.port) as client:
        first = [client.begin(grpc_headers(METHOD)) for _ in range(2)]
        for stream in first:
            client.send(stream, body, end=True)
        calls = taken(server, 2)
        assert client.call(grpc_headers(METHOD), body).grpc == UNAVAILABLE
        while calls:
            calls.pop().answer(b"")
        for stream in first:
            assert client.answer(stream).grpc == 0
        last = client.begin(grpc_headers(METHOD))
        client.send(last, body, end=True)
        taken(server)[0].answer(b"")
        assert client.answer(last).grpc == 0


def test_no_room_at_all_is_unavailable(serve: Serve) -> None:
    """Not even room to begin: the call waits, then UNAVAILABLE; clients send it again."""
    server = serve(max_pending_bytes=KIB + 100, body_seconds=0.2)
    with Http2Client(server.port) as client:
        client.send(client.begin(grpc_headers(METHOD)), framed(b""), end=True)
        held = taken(server)
        assert client.call(grpc_headers(METHOD), framed(b"")).grpc == UNAVAILABLE
        assert len(held) == 1


def test_body_that_does_not_come_is_given_up(serve: Serve) -> None:
    """Half a body and silence: DEADLINE_EXCEEDED, which clients send again."""
    server = serve(body_seconds=0.2)
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD))
        client.send(stream, framed(bytes(1000))[:500])
        assert client.answer(stream).grpc == DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"PRI * HTTP/2.0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\x28\1\0\0\0\0\1",
    ],
    ids=["silence", "greeting", "headers"],
)
def test_client_that_stalls_is_let_go(serve: Serve, words: bytes) -> None:
    """Silence from the beginning, or within the greeting or the headers: closed once it does not answer a ping."""
    server = serve(keepalive_seconds=0.2, keepalive_timeout_seconds=0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(words)
        while connection.recv(4096):
            pass


def test_client_that_answers_pings_is_kept(serve: Serve) -> None:
    """Pinged several times while its call is under way: the connection stays, the call is answered."""
    server = serve(keepalive_seconds=0.1, keepalive_timeout_seconds=20)
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD))
        client.send(stream, framed(b""), end=True)
        (call,) = taken(server)
        for _ in range(6):
            client.listen()  # a ping each, answered
        call.answer(b"")
        assert client.answer(stream).grpc == 0


def test_connections_beyond_the_limit_wait(serve: Serve) -> None:
    """One connection allowed: the second client is served when the first has gone."""
    server = serve(max_connections=1)
    first = Http2Client(server.port)
    first.send(first.begin(grpc_headers(METHOD)), framed(b"first"), end=True)
    taken(server)[0].answer(b"")
    with Http2Client(server.port) as second:
        stream = second.begin(grpc_headers(METHOD))
        second.send(stream, framed(b"second"), end=True)
        assert select.select([server.fileno()], [], [], 0.2)[0] == []
        first.socket.close()
        (call,) = taken(server)
        call.answer(b"")
        assert (call.body, second.answer(stream).grpc) == (b"second", 0)


def test_stop_waits_for_answers(serve: Serve) -> None:
    """Stopped with a call in flight: no new connection, the call is answered, then stop returns; twice is once."""
    server = serve()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        answer = channel.unary_unary(METHOD, None, None).future(b"")
        (call,) = taken(server)
        ending = threading.Thread(target=server.stop, args=(60,))
        ending.start()
        assert refuses(server.port)
        assert ending.is_alive()
        call.answer(b"answer")
        assert answer.result(30) == b"answer"
        ending.join(30)
        assert not ending.is_alive()
    server.stop(60)


def test_stop_cuts_off_what_is_not_answered(serve: Serve) -> None:
    """No answer within the grace: the connection is closed, and a late answer goes nowhere."""
    server = serve()
    with Http2Client(server.port) as client:
        client.send(client.begin(grpc_headers(METHOD)), framed(b""), end=True)
        (call,) = taken(server)
        server.stop(0.1)
        assert closed(client)
        call.answer(b"")


def test_server_that_is_forgotten_ends(serve: Serve) -> None:
    """Dropped without a stop: its port is closed."""
    options = {"method": METHOD, "metadata": [], "max_message_bytes": 1, "max_pending_bytes": KIB}
    bounds = {"max_connections": 1, "max_concurrent_streams": 1, "body_seconds": 1, "max_idle_seconds": 0}
    server = native.GrpcServer("127.0.0.1", 0, **options, **bounds, keepalive_seconds=1, keepalive_timeout_seconds=1)
    port = server.port
    del server
    assert refuses(port)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"metadata": ["Not A Key"]}, ValueError),
        ({"body_seconds": -1.0}, ValueError),
        ({"keepalive_seconds": float("nan")}, ValueError),
        ({"host": "host.invalid"}, OSError),
        ({"host": "203.0.113.1"}, OSError),
    ],
)
def test_what_cannot_be_is_refused(serve: Serve, wrong: dict[str, Any], error: type[Exception]) -> None:
    """Keys, times and hosts that make no sense: an error, and no server."""
    with pytest.raises(error):
        serve(**wrong)


def test_seconds_without_end_are_taken(serve: Serve) -> None:
    """Infinity: no limit, and no overflow."""
    server = serve(keepalive_seconds=float("inf"), keepalive_timeout_seconds=1e300, body_seconds=float("inf"))
    with Http2Client(server.port) as client:
        stream = client.begin(grpc_headers(METHOD))
        client.send(stream, framed(b""), end=True)
        taken(server)[0].answer(b"")
        heard: Heard = client.answer(stream)
        assert heard.grpc == 0
