"""A receiver on free ports, in front of an ingest that a test controls."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from spanward.receiver.otlp.config import OtlpReceiverConfig
from spanward.receiver.otlp.receiver import OtlpReceiver
from spanward.receiver.otlp.service import TraceService
from spanward.sidecar.component import Encoding, IngestResult

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass
class Door:
    """Stands where the pipeline would: notes what comes, answers what it was told to."""

    answer: IngestResult | Exception = field(default_factory=lambda: IngestResult(accepted=1))
    got: list[tuple[bytes, Encoding, str]] = field(default_factory=list)
    before: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
        """See `spanward.sidecar.component.Ingest`."""
        self.got.append((body, encoding, tenant))
        if self.before is not None:
            await self.before()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Running:
    """A started receiver and ways to talk to it."""

    receiver: OtlpReceiver
    door: Door
    metrics: CollectorRegistry
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Where the HTTP server is."""
        return f"http://127.0.0.1:{self.receiver.http_port}"

    async def post(
        self, body: bytes, content_type: str = "application/x-protobuf", path: str = "/v1/traces", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request with exactly these bytes; header names have `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(
            self.url + path, data=io.BytesIO(body), headers={"Content-Type": content_type, **named}
        ) as response:
            return response.status, dict(response.headers), await response.read()

    async def call(self, body: bytes, **options: Any) -> bytes:
        """One Export over gRPC, on raw bytes."""
        channel_options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{self.receiver.grpc_port}", options=channel_options
        ) as channel:
            return bytes(await channel.unary_unary(EXPORT, None, None)(body, **options))

    def metric(self, name: str, **labels: str) -> float | None:
        """The present value of a metric."""
        return self.metrics.get_sample_value(name, labels)


def settings(**changes: Any) -> OtlpReceiverConfig:
    """A configuration on free ports with a bound of 1 MiB."""
    protocols = {name: {"endpoint": "127.0.0.1:0", **changes.pop(name, {})} for name in ("grpc", "http")}
    return OtlpReceiverConfig.model_validate({"max_request_mib": 1, "protocols": protocols, **changes})


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """What speaks gRPC; a module that is about it has its tests run with each."""
    name: str = getattr(request, "param", "auto")
    if name == "native":
        pytest.importorskip("spanward.native", reason="it is not built: `make kernel` builds it (needs Rust)")
    return name


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(door: Door, engine: str) -> AsyncIterator[Start]:
    """A function that starts a receiver with changed settings."""
    running: list[Running] = []

    async def run(**changes: Any) -> Running:
        changes["grpc"] = {"engine": engine, **changes.get("grpc", {})}
        metrics = CollectorRegistry()
        service = TraceService(door, "otlp", metrics, logging.getLogger("spanward.receiver/otlp"))
        receiver = OtlpReceiver(settings(**changes), service, logging.getLogger("test"))
        await receiver.start()
        running.append(Running(receiver, door, metrics, aiohttp.ClientSession(auto_decompress=False)))
        return running[-1]

    yield run
    for one in running:
        await one.session.close()
        await one.receiver.shutdown()


@pytest.fixture
async def server(start: Start) -> Running:
    return await start()
