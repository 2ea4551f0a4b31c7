"""What the SDK's tests share: a provider of their own, and the global one put back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from spanward.sdk._guard import forget_warnings
from tests.unit.sdk.sdk_collector import Collector, grpc_collector, http_collector


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine's reaches a test, and each may warn once."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "SPANWARD_")):
            monkeypatch.delenv(name)
    forget_warnings()


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Where the spans of `provider` come out."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    """A provider that is not the global one."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def no_global_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process as if nobody had set a tracer provider; OpenTelemetry allows that once, so the flag goes back too."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def http_endpoint() -> Iterator[Collector]:
    """A stock OTLP/HTTP endpoint."""
    with http_collector() as collector:
        yield collector


@pytest.fixture
def grpc_endpoint() -> Iterator[Collector]:
    """A stock OTLP/gRPC endpoint."""
    with grpc_collector() as collector:
        yield collector
