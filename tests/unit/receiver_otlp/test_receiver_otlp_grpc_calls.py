"""Calls of gRPC clients among each other: given up, many at once, cut off by the server's end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sized
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import pytest

from spanward.receiver.otlp import grpc_native, grpc_python
from spanward.store.errors import ConfigurationError

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

pytestmark = pytest.mark.parametrize("engine", ["native", "python"], indirect=True)


class Held:
    """Calls that the pipeline does not answer until it may."""

    def __init__(self, server: Any, number: int = 1) -> None:
        self._door = server.door
        self._number = number
        self._released = asyncio.Event()
        self.arrived = asyncio.Event()
        server.door.before = self._hold

    async def _hold(self) -> None:
        if len(self._door.got) >= self._number:
            self.arrived.set()
        await self._released.wait()

    def release(self) -> None:
        self._released.set()


def channel(server: Any) -> grpc.aio.Channel:
    """A connection that no other channel shares."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.receiver.grpc_port}", options=options)


async def status_of(call: Awaitable[bytes]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def ended(rest: Callable[[], Sized]) -> None:
    """Wait until there is no rest."""
    while rest():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def test_cancelled_calls_leave_nothing_behind(server: Any, engine: str) -> None:
    """Fifty calls that are given up while the pipeline has them: the next one is answered, and nothing of ours is left.

    grpcio keeps tasks of its own until it is stopped.
    """
    held = Held(server, 50)
    async with channel(server) as connection:
        export = connection.unary_unary(EXPORT, None, None)
        calls = [export(b"x") for _ in range(50)]
        await asyncio.wait_for(held.arrived.wait(), 30)
        for call in calls:
            call.cancel()
        for call in calls:
            with pytest.raises(asyncio.CancelledError):
                await call
        held.release()
        assert await export(b"next") == b""
    if engine == "native":
        await ended(lambda: server.receiver._grpc._tasks)


async def test_client_that_does_not_wait_is_told_by_itself(server: Any) -> None:
    """A deadline that passes while the pipeline works: DEADLINE_EXCEEDED for that call only."""
    held = Held(server)
    async with channel(server) as connection:
        export = connection.unary_unary(EXPORT, None, None)
        assert await status_of(export(b"late", timeout=0.3)) is grpc.StatusCode.DEADLINE_EXCEEDED
        held.release()
        assert await export(b"next") == b""


async def test_two_hundred_calls_at_once_on_a_connection(server: Any) -> None:
    """All are with the pipeline at one time, and each gets its own answer."""
    held = Held(server, 200)
    async with channel(server) as connection:
        export = connection.unary_unary(EXPORT, None, None)
        calls = [asyncio.ensure_future(export(str(number).encode())) for number in range(200)]
        await asyncio.wait_for(held.arrived.wait(), 60)
        held.release()
        assert await asyncio.gather(*calls) == [b""] * 200
    assert sorted(int(body) for body, _, _ in server.door.got) == list(range(200))


async def test_streams_beyond_the_limit_wait(start: Any, engine: str) -> None:
    """Two streams a connection, twenty calls: never more than two with the pipeline, and all are answered.

    grpcio refuses some of its own client's calls; UNAVAILABLE is what clients send again.
    """
    server = await start(grpc={"max_concurrent_streams": 2})
    at_once: list[int] = []
    inside = 0

    async def count() -> None:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        await asyncio.sleep(0.005)
        inside -= 1

    server.door.before = count
    async with channel(server) as connection:
        export = connection.unary_unary(EXPORT, None, None)
        assert await export(b"") == b""  # by now the client has read the server's settings
        told = set(await asyncio.gather(*(status_of(export(b"")) for _ in range(20))))
    assert max(at_once) <= 2
    assert told - ({grpc.StatusCode.UNAVAILABLE} if engine == "python" else set()) == {grpc.StatusCode.OK}


async def test_many_connections_at_once(server: Any) -> None:
    """A hundred clients with a connection each, all waiting for the pipeline: every one is answered."""
    held = Held(server, 100)

    async def call(number: int) -> bytes:
        async with channel(server) as connection:
            return bytes(await connection.unary_unary(EXPORT, None, None)(str(number).encode()))

    calls = [asyncio.ensure_future(call(number)) for number in range(100)]
    await asyncio.wait_for(held.arrived.wait(), 60)
    held.release()
    assert await asyncio.gather(*calls) == [b""] * 100


async def test_calls_in_flight_survive_the_shutdown(server: Any) -> None:
    """The server is told to end: its port is closed, the call it has is answered, then it has ended; twice is once."""
    held = Held(server)
    async with channel(server) as connection:
        call = asyncio.ensure_future(connection.unary_unary(EXPORT, None, None)(b"x"))
        await asyncio.wait_for(held.arrived.wait(), 30)
        ending = asyncio.ensure_future(server.receiver.shutdown())
        with suppress(ConnectionError):
            while True:  # as long as somebody listens
                socket.create_connection(("127.0.0.1", server.receiver.grpc_port), timeout=5).close()
                await asyncio.sleep(0.01)
        assert not ending.done()
        held.release()
        assert await call == b""
        await ending
    await server.receiver.shutdown()


async def test_shutdown_does_not_wait_for_ever(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that the pipeline never answers: it is cut off after the grace, and its task has ended."""
    for module in (grpc_native, grpc_python):
        monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    before = asyncio.all_tasks()
    held = Held(server)
    async with channel(server) as connection:
        call = asyncio.ensure_future(status_of(connection.unary_unary(EXPORT, None, None)(b"x")))
        await asyncio.wait_for(held.arrived.wait(), 30)
        await server.receiver.shutdown()
        assert await call in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}
    await ended(lambda: asyncio.all_tasks() - before)


async def test_port_of_a_running_server_is_taken(server: Any, start: Any) -> None:
    """A second server on the same port: refused with the remedy, not given half of the calls."""
    endpoint = f"127.0.0.1:{server.receiver.grpc_port}"
    with pytest.raises(ConfigurationError, match=f"cannot listen on {endpoint}; free the port or set another"):
        await start(grpc={"endpoint": endpoint})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_names_and_addresses_are_listened_on(start: Any, host: str) -> None:
    """A name or an address: the server is found under it."""
    server = await start(grpc={"endpoint": f"{host}:0"})
    async with grpc.aio.insecure_channel(f"{host}:{server.receiver.grpc_port}") as connection:
        assert await connection.unary_unary(EXPORT, None, None)(b"", timeout=30) == b""


async def test_idle_connections_are_closed(start: Any) -> None:
    """A limit on idleness: a connection without calls is closed; its client connects again and is served."""
    server = await start(grpc={"keepalive": {"max_idle_seconds": 1}})
    async with channel(server) as connection:
        export = connection.unary_unary(EXPORT, None, None)
        assert await export(b"") == b""
        await asyncio.wait_for(connection.wait_for_state_change(grpc.ChannelConnectivity.READY), 30)
        assert await export(b"") == b""
