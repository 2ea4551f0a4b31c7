"""Configuration, ports, and the stock exporters of opentelemetry-python."""

from __future__ import annotations

import asyncio
import logging
import socket
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from spanward.receiver.otlp.config import OtlpReceiverConfig
from spanward.receiver.otlp.factory import create, factory
from spanward.receiver.otlp.receiver import OtlpReceiver
from spanward.receiver.otlp.service import TraceService
from spanward.sidecar.component import Component, Encoding, Host, IngestResult
from spanward.store.errors import ConfigurationError


async def never(body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
    raise AssertionError("nothing was sent")


def made(**protocols: Any) -> OtlpReceiver:
    host = SimpleNamespace(
        identifier="otlp/2", metrics=CollectorRegistry(), logger=logging.getLogger("spanward.receiver/otlp/2")
    )
    return create(OtlpReceiverConfig.model_validate({"protocols": protocols}), cast("Host", host), never)


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": {}},
        {"protocols": {"grpc": {"endpoint": "127.0.0.1:1", "port": 1}}},
        {"protocols": {"grpc": None, "http": None}},
        {"max_request_mib": 0},
        {"protocols": {"http": {"read_timeout_seconds": 0}}},
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    """Unknown keys, both protocols off, bounds that make no sense: refused when read."""
    with pytest.raises(ValidationError):
        OtlpReceiverConfig.model_validate(wrong)


@pytest.mark.parametrize("endpoint", ["4317", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ":4317"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_endpoint_that_is_none_is_named(protocol: str, endpoint: str) -> None:
    """Not host:port: an error that names the option and shows the form."""
    other = "http" if protocol == "grpc" else "grpc"
    receiver = made(**{protocol: {"endpoint": endpoint}, other: None})
    with pytest.raises(ConfigurationError, match=rf"protocols\.{protocol}\.endpoint.*such as 127\.0\.0\.1:4317"):
        await receiver.start()


@pytest.mark.parametrize("engine", ["auto", "python"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_port_in_use_is_named_and_nothing_stays_bound(protocol: str, engine: str) -> None:
    """Another program has the port: the error names endpoint and remedy, and nothing stays bound."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        endpoints = {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}
        endpoints[protocol]["endpoint"] = endpoint
        endpoints["grpc"]["engine"] = engine
        receiver = made(**endpoints)
        with pytest.raises(ConfigurationError, match=f"cannot listen on {endpoint}.*free the port or set another"):
            await receiver.start()
        await receiver.shutdown()


async def test_protocol_that_is_off_listens_nowhere() -> None:
    """Only HTTP: there is no gRPC port; shutdown twice is once."""
    receiver = made(grpc=None, http={"endpoint": "127.0.0.1:0"})
    await receiver.start()
    assert (receiver.grpc_port, receiver.http_port > 0) == (0, True)
    await receiver.shutdown()
    await receiver.shutdown()


def test_factory_makes_a_component_under_its_own_id() -> None:
    """Two receivers of one sidecar share the metric names and differ in the label."""
    assert factory.config is OtlpReceiverConfig
    registry = CollectorRegistry()
    logger = logging.getLogger("x")
    services = [TraceService(never, name, registry, logger) for name in ("otlp", "otlp/2")]
    assert len(services) == 2
    assert isinstance(made(), Component)
    config = OtlpReceiverConfig()
    assert config.protocols.grpc is not None
    assert config.protocols.http is not None
    assert (config.protocols.grpc.endpoint, config.protocols.http.endpoint) == ("127.0.0.1:4317", "127.0.0.1:4318")


@pytest.mark.parametrize(
    ("engine", "transport"),
    [("native", "grpc"), ("native", "grpc+gzip"), ("python", "grpc"), ("auto", "http"), ("auto", "http+gzip")],
    indirect=["engine"],
)
async def test_stock_exporter_is_served(server: Any, transport: str) -> None:
    """A span made with the stock SDK, sent by its exporters: it arrives as the message that was sent."""
    provider = TracerProvider()
    exporter: SpanExporter
    if transport.startswith("grpc"):
        packed = grpc.Compression.Gzip if transport.endswith("gzip") else None
        exporter = GrpcExporter(f"127.0.0.1:{server.receiver.grpc_port}", insecure=True, compression=packed)
    else:
        compression = Compression.Gzip if transport.endswith("gzip") else Compression.NoCompression
        exporter = HttpExporter(endpoint=server.url + "/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    await asyncio.to_thread(lambda: provider.get_tracer("t").start_span("checkout").end())
    await asyncio.to_thread(provider.shutdown)
    ((body, _, tenant),) = server.door.got
    (span,) = TracesData.FromString(body).resource_spans[0].scope_spans[0].spans
    assert (span.name, tenant) == ("checkout", "default")
