"""A real intake log with governed spans, and destinations that a test scripts."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from spanward.exporter.otlp.config import OtlpExporterConfig
from spanward.exporter.otlp.exporter import OtlpExporter
from spanward.exporter.otlp.factory import create
from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.sidecar.component import Host
from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock
from spanward.store.keyring import Keyring
from spanward.store.log import IntakeLog
from spanward.store.records import DedupRecord, RequestEntry, SpansRecord, concatenate, encode
from spanward.store.rows import build_rows


@dataclass
class Side:
    """The sidecar around the exporter: log, metrics, health reports."""

    data: Path
    log: IntakeLog
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    reports: list[tuple[str, str]] = field(default_factory=list)

    @property
    def host(self) -> Host:
        """What the exporter is given."""
        return cast(
            "Host",
            SimpleNamespace(
                identifier="otlp/test",
                data=self.data,
                log=self.log.reader(),
                clock=self.clock,
                metrics=self.metrics,
                logger=logging.getLogger("spanward.exporter/otlp/test"),
                report=lambda condition, reason: self.reports.append((condition, reason)),
            ),
        )

    def append(self, *names: str, tenants: tuple[str, ...] = ("default",)) -> Batch:
        """Log one record with a span of each name for each tenant."""
        batches = [
            build_rows([made(name) for name in names], tenant=tenant, received_at_ns=self.clock.now_ns())
            for tenant in tenants
        ]
        rows = concatenate(batches)
        entry = RequestEntry("default", "00", 0, rows.num_rows, self.clock.now_ns(), 0, "")
        sequence = self.log.append(encode(SpansRecord(rows, [entry])))
        return Batch(Signal.TRACES, rows, sequence)

    def append_without_spans(self) -> int:
        """Log a record of another kind."""
        return self.log.append(encode(DedupRecord([])))

    def metric(self, name: str) -> float | None:
        """The present value of a counter of the exporter."""
        return self.metrics.get_sample_value(name, {"exporter": "otlp/test"})


def made(name: str) -> SpanRecord:
    resource, scope = ResourceRecord({"service.name": "shop"}), ScopeRecord("lib")
    return SpanRecord("ab" * 16, "cd" * 8, name, 1, 2, resource, scope, verdict=Verdict())


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    keyring = Keyring.open(tmp_path / "keys")
    log = IntakeLog.open(tmp_path / "intake", keyring, clock=ManualClock())
    yield Side(tmp_path, log)
    log.close()


@dataclass
class Arrived:
    """One request at the destination."""

    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> TracesData:
        """The message."""
        return TracesData.FromString(self.body)

    @property
    def names(self) -> list[str]:
        """The names of its spans."""
        return [
            span.name for resource in self.data.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]


Answer = Callable[..., Any]


@dataclass
class Destination:
    """Answers requests from a script; when that is used up, takes everything."""

    script: list[Any] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    endpoint: str = ""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self, arrived: Arrived) -> Any:
        """Keep the request; return what the script says of it."""
        async with self.news:
            self.arrived.append(arrived)
            self.news.notify_all()
        return self.script.pop(0) if self.script else None

    async def wait_for(self, count: int) -> None:
        """Return once so many requests have come."""
        async with self.news:
            await self.news.wait_for(lambda: len(self.arrived) >= count)

    @property
    def names(self) -> list[list[str]]:
        """The span names of each request."""
        return [arrived.names for arrived in self.arrived]


def partial(rejected: int, message: str) -> bytes:
    body = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=body).SerializeToString()


@pytest.fixture
async def http() -> AsyncIterator[Destination]:
    """An HTTP destination; a script entry is (status, headers, body), or a coroutine function to await first."""
    destination = Destination()

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        if headers.get("content-encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        answer: Any = await destination.note(Arrived({**headers, "path": request.path}, body))
        if inspect.iscoroutinefunction(answer):
            answer = await answer()
        status, more, text = answer or (200, {}, b"")
        return web.Response(status=status, headers=more, body=text)

    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    destination.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield destination
    await runner.cleanup()


@pytest.fixture
async def grpc_destination() -> AsyncIterator[Destination]:
    """A gRPC destination; a script entry is bytes to answer, or (code, text, trailers) to abort with."""
    destination = Destination()

    async def export(body: bytes, context: Any) -> bytes:
        headers = dict(context.invocation_metadata())
        answer: Any = await destination.note(Arrived(headers, body))
        if isinstance(answer, bytes) or answer is None:
            return answer or b""
        await context.abort(*answer)
        raise AssertionError("abort does not return")

    server = grpc.aio.server()
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    destination.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield destination
    await server.stop(None)


Make = Callable[..., OtlpExporter]


@pytest.fixture
async def make(side: Side) -> AsyncIterator[Make]:
    """Makes exporters that retry at once; they are shut down at the end."""
    made_ones: list[OtlpExporter] = []

    def exporter(endpoint: str, **options: Any) -> OtlpExporter:
        protocol = "http/protobuf" if endpoint.startswith("http") else "grpc"
        defaults = {
            "endpoint": endpoint,
            "protocol": protocol,
            "tls": {"insecure": protocol == "grpc"},
            "retry": {"initial_seconds": 0.001, "max_seconds": 0.002, "max_asked_seconds": 0.003},
        }
        config = OtlpExporterConfig.model_validate({**defaults, **options})
        made_ones.append(create(config, side.host))
        return made_ones[-1]

    yield exporter
    for one in made_ones:
        await one.shutdown()


async def until(condition: Callable[[], bool]) -> None:
    """Give the event loop turns until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.002)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Any]:
    return until


@pytest.fixture
def partially() -> Callable[[int, str], bytes]:
    """Encodes a partial success."""
    return partial
