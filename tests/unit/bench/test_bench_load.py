"""The load generator against a real gRPC server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rich.console import Console

from bench.load import Load, LoadResult
from bench.machine import cpu_model, describe
from bench.run import Run, _arguments, _check, show, summary
from bench.server import ServerError, Sidecar
from bench.workload import generate

Answer = Callable[[int], ExportTraceServiceResponse]


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


async def test_every_call_has_ids_of_its_own() -> None:
    """Scenario: two requests sent ten times. Guarantee: ten different bodies, all spans counted as accepted."""
    bodies: list[bytes] = []
    load = Load(generate(2, 16).requests, 16, in_flight=3)
    async with server(lambda _: ExportTraceServiceResponse(), bodies) as target:
        result = await load.run(target, calls=10)
    assert (result.calls, result.accepted, result.rejected) == (10, 160, 0)
    assert len(set(bodies)) == 10
    assert len(result.latencies) == 10
    assert result.latency(0.0) <= result.latency(0.99)


async def test_rejected_spans_are_not_accepted() -> None:
    """Scenario: partial success. Guarantee: what the server refused is subtracted."""

    def answer(_: int) -> ExportTraceServiceResponse:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = 2
        return response

    async with server(answer, []) as target:
        result = await Load(generate(1, 16).requests, 16, in_flight=1).run(target, calls=3)
    assert (result.accepted, result.rejected) == (42, 6)


async def test_a_refusal_is_tried_again_with_the_same_bytes() -> None:
    """Scenario: the server is busy at first. Guarantee: the same body again, counted once."""
    bodies: list[bytes] = []

    def answer(number: int) -> ExportTraceServiceResponse:
        if number == 1:
            raise BlockingIOError
        return ExportTraceServiceResponse()

    async with server(answer, bodies) as target:
        result = await Load(generate(1, 16).requests, 16, in_flight=1).run(target, calls=1)
    assert (result.calls, result.refusals) == (1, 1)
    assert bodies[0] == bodies[1]


async def test_an_error_for_good_ends_the_load() -> None:
    """Scenario: the server says the bytes are wrong. Guarantee: no figure, the error comes out."""

    def answer(_: int) -> ExportTraceServiceResponse:
        raise PermissionError

    async with server(answer, []) as target:
        with pytest.raises(ExceptionGroup) as raised:
            await Load(generate(1, 16).requests, 16, in_flight=1).run(target, calls=1)
    assert isinstance(raised.value.exceptions[0], grpc.aio.AioRpcError)


async def test_the_load_ends_in_time() -> None:
    """Scenario: no time at all. Guarantee: nothing is sent, latencies are empty."""
    result = await Load(generate(1, 16).requests, 16, in_flight=2).run("127.0.0.1:1", seconds=0.0)
    assert (result.calls, result.latency(0.5)) == (0, 0.0)


@pytest.mark.parametrize(
    ("result", "queried", "message"),
    [
        (LoadResult(accepted=5), 4, "counts 4 rows where 5"),
        (LoadResult(accepted=5, rejected=1), 5, "1 rejected"),
        (LoadResult(), 0, "0 spans accepted"),
    ],
)
def test_runs_that_do_not_count(result: LoadResult, queried: int, message: str) -> None:
    """Scenario: table and clients disagree, or nothing was accepted. Guarantee: the run is refused."""
    with pytest.raises(ServerError, match=message):
        _check(result, queried)


def test_a_server_that_refuses_for_good(tmp_path: Path) -> None:
    """Scenario: a call fails for good, or the load has a bug. Guarantee: its log is shown; a bug is not hidden."""
    sidecar = Sidecar(tmp_path)
    (tmp_path / "sidecar.log").write_text("the reason\n", encoding="utf-8")

    async def fails(error: Exception) -> None:
        raise ExceptionGroup("load", [error])

    refusal = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), "broken", "")
    with pytest.raises(ServerError, match=r"(?s)refused the load: .*broken.*the reason"):
        sidecar.loaded_by(fails(refusal))
    with pytest.raises(ExceptionGroup):
        sidecar.loaded_by(fails(ZeroDivisionError()))


def test_a_server_that_does_not_run(tmp_path: Path) -> None:
    """Scenario: a server that was not started. Guarantee: an error that says so; stop is harmless."""
    sidecar = Sidecar(tmp_path)
    with pytest.raises(ServerError, match="does not run"):
        sidecar.cpu_seconds()
    assert sidecar.committed_rows() == 0
    sidecar.stop()


def test_a_server_that_cannot_start(tmp_path: Path) -> None:
    """Scenario: the data folder is a file. Guarantee: the sidecar's own words, no process left."""
    sidecar = Sidecar(tmp_path)
    sidecar.data.write_text("in the way", encoding="utf-8")
    with pytest.raises(ServerError, match="ended before it was ready"), sidecar:
        pass


def test_the_report_has_medians_and_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: three runs. Guarantee: the median of each figure, and where it was measured."""
    runs = [Run("kernel", 10, speed, 1.0, 1.0, 0.1, 100.0, 60.0, 1.0, 2.0, 0) for speed in (3.0, 1.0, 2.0)]
    figures = summary(runs)
    assert figures["spans_per_cpu_second"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    report = {
        "machine": describe(),
        "workload": generate(1, 16).manifest.as_dict(),
        "options": {"spans_per_request": 512, "runs": 3},
        "summary": {"kernel": figures},
        "runs": runs,
    }
    show(report, Console(width=200))
    shown = capsys.readouterr().out
    assert "spans per cpu second" in shown
    assert "rows in the lake: kernel" in shown
    assert "3 runs each, 512 spans a request" in shown


def test_a_machine_without_a_processor_name(tmp_path: Path) -> None:
    """Scenario: /proc/cpuinfo is missing. Guarantee: the architecture instead."""
    assert cpu_model(tmp_path / "missing")
    named = tmp_path / "cpuinfo"
    named.write_text("processor : 0\nmodel name\t: Fast CPU 3000\n", encoding="utf-8")
    assert cpu_model(named) == "Fast CPU 3000"


def test_options_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: no runs. Guarantee: one line that names the option."""
    with pytest.raises(SystemExit):
        _arguments(["--runs", "0"])
    assert "--runs must be above 0" in capsys.readouterr().err
