"""CPU of a call over gRPC by what serves it: the receiver alone, in a process of its own, in front of nothing.

    python bench/transport.py [--runs 3] [--calls 10000] [--bytes 0] [--in-flight 8]

Both servers are measured in turns: machines are noisy, and only figures of one run can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import statistics
import subprocess
import sys
from collections.abc import Generator
from importlib.util import find_spec
from typing import Final

import grpc.aio
import psutil
from prometheus_client import CollectorRegistry

from spanward.receiver.otlp.config import OtlpReceiverConfig
from spanward.receiver.otlp.receiver import OtlpReceiver
from spanward.receiver.otlp.service import TraceService
from spanward.sidecar.component import Encoding, IngestResult

ENGINES: Final = ["native", "python"] if find_spec("spanward.native") else ["python"]
_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_WARM_UP: Final = 500


async def _nothing(body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
    del body, encoding, tenant
    return IngestResult()


async def serve(engine: str) -> None:
    """Serve until killed; prints the port."""
    grpc = {"endpoint": "127.0.0.1:0", "engine": engine}
    config = OtlpReceiverConfig.model_validate({"protocols": {"grpc": grpc, "http": None}})
    logger = logging.getLogger("bench")
    receiver = OtlpReceiver(config, TraceService(_nothing, "otlp", CollectorRegistry(), logger), logger)
    await receiver.start()
    print(receiver.grpc_port, flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def serving(engine: str) -> Generator[tuple[int, psutil.Process]]:
    """A server in a process of its own: its port, and the process."""
    command = [sys.executable, __file__, "--serve", engine]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline()), psutil.Process(server.pid)
        finally:
            server.kill()


async def load(port: int, calls: int, body: bytes, in_flight: int) -> None:
    """So many calls over one connection, each answered."""
    numbers = iter(range(calls))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary(_METHOD, None, None)

        async def worker() -> None:
            for _ in numbers:
                await export(body, wait_for_ready=True)

        await asyncio.gather(*(worker() for _ in range(in_flight)))


def measure(engine: str, options: argparse.Namespace) -> float:
    """CPU microseconds of the server for each call."""
    calls, body = int(options.calls), bytes(options.bytes)
    with serving(engine) as (port, process):
        asyncio.run(load(port, _WARM_UP, body, options.in_flight))
        before = _cpu_seconds(process)
        asyncio.run(load(port, calls, body, options.in_flight))
        return (_cpu_seconds(process) - before) / calls * 1e6


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of each server; the figure is their median")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=0, help="of each request")
    parser.add_argument("--in-flight", type=int, default=8, help="calls under way at any time")
    parser.add_argument("--serve", choices=("native", "python"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve))
    figures: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(options.runs):
        for engine in ENGINES:
            figures[engine].append(measure(engine, options))
    for engine, values in figures.items():
        print(f"{engine}: {statistics.median(values):.0f} us of CPU a call ({min(values):.0f} to {max(values):.0f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
