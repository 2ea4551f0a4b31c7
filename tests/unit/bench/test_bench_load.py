"""The load generator against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.fresh_ids import FreshRequest
from bench.load import Load, LoadResult, ToolError, record
from bench.workload import generate

Answer = Callable[[int], ExportTraceServiceResponse]

pytestmark = pytest.mark.usefixtures("generator")


@asynccontextmanager
async def server(answer: Answer, bodies: list[bytes]) -> AsyncGenerator[str, None]:
    async def export(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        bodies.append(body)
        try:
            return answer(len(bodies)).SerializeToString()
        except BlockingIOError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "try again")
        except PermissionError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "never")
        raise AssertionError

    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    running = grpc.aio.server()
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await running.stop(None)


async def sent(load: Load, answer: Answer, bodies: list[bytes], *, first_round: int = 1) -> LoadResult:
    """What the load against a server with such answers comes to."""
    async with server(answer, bodies) as target:
        return await asyncio.to_thread(load.run, target, first_round=first_round)


def taken(_: int) -> ExportTraceServiceResponse:
    return ExportTraceServiceResponse()


async def test_every_round_has_ids_of_its_own(tmp_path: Path) -> None:
    """Scenario: two requests, ten calls, from the fourth round on. Guarantee: Python's copies, each once."""
    requests, bodies = generate(2, 16).requests, list[bytes]()
    load = Load(record(requests, tmp_path / "requests"), apart_ns=10**9, spans=160, in_flight=3, connections=2)
    result = await sent(load, taken, bodies, first_round=4)
    assert (result.calls, result.accepted_spans, result.rejected_spans, result.calls_failed) == (10, 160, 0, 0)
    assert result.bytes == sum(map(len, bodies))
    assert 0 < result.p50_ms <= result.p99_ms
    assert result.cpu_s > 0
    fresh = [FreshRequest(body, apart_ns=10**9) for body in requests]
    assert sorted(bodies) == sorted(request.copy(number) for request in fresh for number in range(4, 9))


async def test_rejected_spans_are_not_accepted(tmp_path: Path) -> None:
    """Scenario: partial success. Guarantee: what the server refused is subtracted."""

    def answer(_: int) -> ExportTraceServiceResponse:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = 2
        response.partial_success.error_message = "two of them"
        return response

    load = Load(record(generate(1, 16).requests, tmp_path / "requests"), spans=48, in_flight=1)
    result = await sent(load, answer, [])
    assert (result.accepted_spans, result.rejected_spans) == (42, 6)


async def test_a_refusal_is_tried_again_with_the_same_bytes(tmp_path: Path) -> None:
    """Scenario: the server is busy at first. Guarantee: the same body again, counted once."""
    bodies: list[bytes] = []

    def answer(number: int) -> ExportTraceServiceResponse:
        if number == 1:
            raise BlockingIOError
        return ExportTraceServiceResponse()

    load = Load(record(generate(1, 16).requests, tmp_path / "requests"), spans=16, in_flight=1)
    result = await sent(load, answer, bodies)
    assert (result.calls, result.refusals, result.calls_failed, result.accepted_spans) == (1, 1, 0, 16)
    assert bodies[0] == bodies[1]


async def test_an_error_for_good_is_a_failed_call(tmp_path: Path) -> None:
    """Scenario: the server says the bytes are wrong. Guarantee: counted, with its words, and nothing as accepted."""

    def answer(_: int) -> ExportTraceServiceResponse:
        raise PermissionError

    load = Load(record(generate(1, 16).requests, tmp_path / "requests"), spans=32, in_flight=1)
    result = await sent(load, answer, [])
    assert (result.calls_failed, result.accepted_spans) == (2, 0)
    assert "never" in result.last_error


async def test_the_load_ends_in_time(tmp_path: Path) -> None:
    """Scenario: a moment of time. Guarantee: it ends, and every call was answered."""
    load = Load(record(generate(1, 16).requests, tmp_path / "requests"), seconds=0.05, in_flight=2)
    result = await sent(load, taken, [])
    assert result.accepted_spans == 16 * result.calls > 0


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (b"\x01", {"spans": 1}, "cut off"),
        (b"", {"spans": 1}, "no requests"),
        (b"\x02\x00\x00\x00\x0a\x7f", {"spans": 1}, "request 0"),
        (b"", {}, "never ends"),
    ],
)
def test_what_cannot_be_sent(content: bytes, limits: dict[str, int], message: str, tmp_path: Path) -> None:
    """Scenario: a damaged or empty recording, no limit. Guarantee: the generator says what is wrong."""
    recording = tmp_path / "requests"
    recording.write_bytes(content)
    with pytest.raises(ToolError, match=message):
        Load(recording, **limits).run("127.0.0.1:1")
