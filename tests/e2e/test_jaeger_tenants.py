"""Several tenants through one Jaeger, and what is sent to Jaeger instead of to the sidecar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.jaeger.answers import JaegerClient
from tests.jaeger.marks import REAL_JAEGER
from tests.jaeger.process import RunningJaeger, start_jaeger
from tests.support.running import RunningSidecar, default_config, eventually, start_sidecar

pytest_plugins = ("tests.jaeger.fixtures",)
pytestmark = REAL_JAEGER

Both = tuple[RunningSidecar, RunningJaeger]


@pytest.fixture(scope="module")
def both(jaeger_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A sidecar and a Jaeger that knows two tenants."""
    folder = tmp_path_factory.mktemp("tenants")
    sidecar = start_sidecar(default_config(), folder / "data")
    try:
        jaeger = start_jaeger(jaeger_binary, sidecar.jaeger, sidecar.grpc, folder, tenants=True)
        try:
            yield sidecar, jaeger
        finally:
            jaeger.stop()
    finally:
        sidecar.stop()


def send_as(endpoint: str, service: str, tenant: str | None) -> str:
    """Send one span with the stock exporter; its trace id."""
    provider = TracerProvider(resource=Resource({"service.name": service}))
    headers = {"x-tenant": tenant} if tenant else None
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, headers=headers)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("work") as span:
        span.set_attribute("note", "ask bob@example.com")
    provider.shutdown()
    return f"{span.get_span_context().trace_id:032x}"


def test_a_tenant_must_be_named_and_known(both: Both) -> None:
    """Scenario: requests without a tenant, and for one that is not configured. Guarantee: refused, nothing shown."""
    send_as(both[0].grpc, "open", None)
    for headers in ({}, {"x-tenant": "stranger"}):
        client = JaegerClient(both[1].http, headers)
        answer = client.ask("/api/v3/services")
        client.close()
        assert answer.status_code == 401
        assert "open" not in answer.text


def test_each_tenant_sees_its_own_traces_in_jaeger(both: Both) -> None:
    """Scenario: two tenants and the default one send. Guarantee: each finds its own in every call, and no other's."""
    sidecar, jaeger = both
    send_as(sidecar.grpc, "of-nobody", None)
    ids = {tenant: send_as(sidecar.grpc, f"of-{tenant}", tenant) for tenant in ("acme", "umbrella")}
    for tenant, other in (("acme", "umbrella"), ("umbrella", "acme")):
        client = JaegerClient(jaeger.http, {"x-tenant": tenant})
        assert client.json("/api/v3/services")["services"] == [f"of-{tenant}"]
        assert client.ui_found(service=f"of-{tenant}") == [ids[tenant]]
        assert client.ui_found(service=f"of-{other}") == []
        assert client.ui_trace(ids[tenant])["spans"]
        assert client.ask(f"/api/traces/{ids[other]}").status_code == 404
        client.close()


def test_what_is_sent_to_jaeger_is_governed_by_spanward(jaeger_binary: Path, tmp_path: Path) -> None:
    """Scenario: an application still sends to Jaeger's own port. Guarantee: stored, and its personal data replaced."""
    sidecar = start_sidecar(default_config(), tmp_path / "data")
    try:
        jaeger = start_jaeger(jaeger_binary, sidecar.jaeger, sidecar.grpc, tmp_path)
        client = JaegerClient(jaeger.http)
        try:
            trace_id = send_as(jaeger.otlp, "old-shop", None)
            eventually(lambda: client.ask(f"/api/traces/{trace_id}").status_code == 200)
            answer = client.ask(f"/api/traces/{trace_id}").text
        finally:
            client.close()
            jaeger.stop()
    finally:
        sidecar.stop()
    assert "bob@example.com" not in answer
    assert "ask <email:k1:" in answer.replace("\\u003c", "<")
