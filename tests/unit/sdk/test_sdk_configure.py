"""`configure`: where governed spans go, and what happens to a provider that is there already."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from spanward.processor.policy.config import Policy
from spanward.sdk import Spanward, configure, session, traced
from spanward.sdk._processor import exporter_of, is_governed, processors_of
from spanward.store.errors import ConfigurationError
from tests.unit.sdk.sdk_collector import Collector, attributes

EMAIL = "jo.frost@example.com"


@pytest.fixture(autouse=True)
def fresh_process(no_global_provider: None) -> Iterator[None]:
    """No provider before the test, and none of its threads after it."""
    yield
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


# --- wrong arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoint": "localhost:1", "lake": "x"},
        {"protocol": "udp"},
        {"max_queue_size": 0},
        {"max_queue_size": 10, "max_export_batch_size": 20},
        {"policy": "no/such/policy.yaml"},
        {"keyring": "no/such/keyring"},
        {"hash_key_file": "no/such/file"},
    ],
)
def test_a_wrong_argument_changes_nothing(arguments: dict[str, Any]) -> None:
    """Each wrong argument: ConfigurationError, and the process has no provider afterwards."""
    with pytest.raises(ConfigurationError):
        configure(**arguments)
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_variables_that_the_exporter_cannot_use_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout variable that is no number: our error, not the exporter's traceback."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    with pytest.raises(ConfigurationError, match="soon"):
        configure("localhost:4317")


def test_a_lake_without_arrow_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The base install has no Arrow: the error says what to install."""
    monkeypatch.setitem(sys.modules, "spanward.exporter.lake.span_exporter", None)
    with pytest.raises(ConfigurationError, match=r"spanward\[lake\]"):
        configure(lake=tmp_path)


def test_a_lake_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    """A file where the folder should be: one line that names it."""
    (tmp_path / "lake").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="lake"):
        configure(lake=tmp_path / "lake")


# --- an endpoint that is down -----------------------------------------------------------------------------------------


def test_an_endpoint_that_is_down_is_no_error() -> None:
    """Nobody listens: configure, spans, flush and shutdown all return."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with configure(f"http://127.0.0.1:{port}", protocol="http/protobuf", timeout=0.2) as handle:
        with handle.tracer().start_as_current_span("unheard"):
            pass
        handle.flush(0.5)


class Broken(SpanProcessor):
    """Somebody's processor that cannot flush."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Fail."""
        raise RuntimeError("no flush")

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing."""


def test_trouble_of_others_does_not_come_out_of_flush(caplog: pytest.LogCaptureFixture) -> None:
    """Another processor of the provider raises in force_flush: False, and a line in the log."""
    handle = configure("http://127.0.0.1:9", protocol="http/protobuf", timeout=0.1, set_global=False)
    handle.tracer_provider.add_span_processor(Broken())
    assert not handle.flush(0.1)
    assert "could not be flushed" in caplog.text
    handle.shutdown()


# --- spans on their way -----------------------------------------------------------------------------------------------


def test_spans_arrive_governed_over_http(http_endpoint: Collector) -> None:
    """HTTP, gzip and headers: the span arrives with its labels, its session, its resource, and without the address."""
    handle = configure(
        http_endpoint.endpoint,
        protocol="http/protobuf",
        headers={"Authorization": "Bearer t"},
        compression="gzip",
        service_name="shop",
        resource_attributes={"team": "red"},
    )

    @traced(classification="confidential", record_args=True)
    def greet(who: str) -> str:
        return who

    with session(session_id="s1"):
        assert greet(EMAIL) == EMAIL
        handle.tracer("other").start_span("plain").end()
    assert handle.flush()
    handle.shutdown()
    spans = {span.name.rsplit(".", 1)[-1]: attributes(span) for span in http_endpoint.spans()}
    assert spans["greet"]["spanward.classification"] == "confidential"
    assert {found["session.id"] for found in spans.values()} == {"s1"}
    assert EMAIL.encode() not in b"".join(http_endpoint.bodies)
    assert "<email" in spans["greet"]["spanward.input"]
    (header,) = http_endpoint.headers
    assert header["authorization"] == "Bearer t"
    assert header["content-encoding"] == "gzip"
    resource = {pair.key: pair.value.string_value for pair in http_endpoint.resource_spans()[0].resource.attributes}
    assert (resource["service.name"], resource["team"]) == ("shop", "red")


def test_spans_arrive_governed_over_grpc(grpc_endpoint: Collector) -> None:
    """GRPC with headers and compression, through a bare `host:port` on loopback."""
    endpoint = grpc_endpoint.endpoint.removeprefix("http://")
    with configure(endpoint, headers={"X-Tenant": "red"}, compression="gzip") as handle:
        handle.tracer().start_span(f"mail to {EMAIL}").end()
    (span,) = grpc_endpoint.spans()
    assert EMAIL not in span.name
    assert grpc_endpoint.headers[0]["x-tenant"] == "red"


def test_the_stock_variables_are_enough(monkeypatch: pytest.MonkeyPatch, http_endpoint: Collector) -> None:
    """Endpoint, protocol and headers only in OTEL_* variables: configure() without an argument sends there."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", http_endpoint.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-one=1")
    with configure() as handle:
        handle.tracer().start_span("one").end()
    assert [span.name for span in http_endpoint.spans()] == ["one"]
    assert http_endpoint.headers[0]["x-one"] == "1"


def test_hash_keys_make_tokens_that_can_be_looked_up(http_endpoint: Collector, tmp_path: Path) -> None:
    """With a key file an address becomes a keyed token with the key's id; without, it is masked."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"hash_keys": [{"id": "k9", "secret": "ab" * 32}]}))
    path.chmod(0o600)
    with configure(
        http_endpoint.endpoint, protocol="http/protobuf", hash_key_file=path, policy=Policy.default()
    ) as handle:
        handle.tracer().start_span("one", attributes={"note": EMAIL}).end()
    (span,) = http_endpoint.spans()
    assert attributes(span)["note"].startswith("<email:k9:")


def test_a_sampler_is_used(http_endpoint: Collector) -> None:
    """ALWAYS_OFF: nothing is exported."""
    with configure(http_endpoint.endpoint, protocol="http/protobuf", sampler=ALWAYS_OFF) as handle:
        handle.tracer().start_span("one").end()
    assert http_endpoint.spans() == []


# --- providers --------------------------------------------------------------------------------------------------------


def test_configuring_again_replaces_the_destination(http_endpoint: Collector, grpc_endpoint: Collector) -> None:
    """A notebook cell that runs twice: spans go to the new destination, once; the first handle has no say."""
    first = configure(http_endpoint.endpoint, protocol="http/protobuf")
    first.tracer().start_span("one").end()
    second = configure(grpc_endpoint.endpoint)
    assert second.tracer_provider is first.tracer_provider
    second.tracer().start_span("two").end()
    first.shutdown()
    second.tracer().start_span("three").end()
    assert second.flush()
    second.shutdown()
    second.tracer().start_span("too late").end()
    second.shutdown()
    assert second.flush()
    assert [span.name for span in http_endpoint.spans()] == ["one"]
    assert [span.name for span in grpc_endpoint.spans()] == ["two", "three"]


def test_a_provider_that_is_set_is_joined_and_raw_neighbours_are_named(
    http_endpoint: Collector,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The application has set up the SDK: our exporter joins it, says what it cannot change and who sees raw spans."""
    raw = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(raw))
    trace.set_tracer_provider(provider)
    with caplog.at_level(logging.WARNING, logger="spanward.sdk"):
        handle = configure(http_endpoint.endpoint, protocol="http/protobuf", service_name="shop")
    assert handle.tracer_provider is provider
    assert "service_name cannot be changed" in caplog.text
    assert "SimpleSpanProcessor is on the same tracer provider" in caplog.text
    handle.tracer().start_span(EMAIL).end()
    handle.shutdown()
    assert raw.get_finished_spans()[0].name == EMAIL
    assert EMAIL not in http_endpoint.spans()[0].name


def test_a_private_provider_leaves_the_global_one_alone(http_endpoint: Collector) -> None:
    """set_global=False: only who is given the provider sends there."""
    with configure(http_endpoint.endpoint, protocol="http/protobuf", set_global=False) as handle:
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)

        @traced(tracer_provider=handle.tracer_provider, name="mine")
        def mine() -> None: ...

        mine()
    assert [span.name for span in http_endpoint.spans()] == ["mine"]


def test_a_provider_of_another_make_stays(caplog: pytest.LogCaptureFixture) -> None:
    """The global provider is not the SDK's: it stays, and the log says that our spans go another way."""
    foreign = trace.NoOpTracerProvider()
    trace.set_tracer_provider(foreign)
    handle = configure("http://127.0.0.1:9", protocol="http/protobuf", timeout=0.1)
    assert trace.get_tracer_provider() is foreign
    assert "NoOpTracerProvider" in caplog.text
    assert isinstance(handle.tracer_provider, TracerProvider)
    handle.shutdown()


def test_after_zero_code_configuration_there_is_nothing_left_to_do(
    monkeypatch: pytest.MonkeyPatch,
    http_endpoint: Collector,
) -> None:
    """opentelemetry-instrument has set up a governed exporter: configure() without a destination adds no second one."""
    from spanward.sdk.autoconfigure import SpanwardSpanExporter

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", http_endpoint.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(SpanwardSpanExporter()))
    trace.set_tracer_provider(provider)
    handle = configure()
    handle.tracer().start_span("one").end()
    assert handle.flush()
    handle.shutdown()
    assert len(processors_of(provider)) == 1
    assert [span.name for span in http_endpoint.spans()] == ["one"]


def test_governed_exporters_are_told_from_raw_ones() -> None:
    """What the warning about raw spans rests on."""
    assert not is_governed(InMemorySpanExporter())
    assert not is_governed(None)


def test_the_exporter_of_a_batch_is_found_in_every_version_of_the_sdk() -> None:
    """A batch processor as 1.34 has it, without `span_exporter`: still known for governed, so not exported twice."""

    class Shared:
        _exporter = InMemorySpanExporter()

    class Batch(SpanProcessor):
        _batch_processor = Shared()

    assert exporter_of(Batch()) is Shared._exporter
    assert exporter_of(SpanProcessor()) is None


def test_importing_the_sdk_loads_no_arrow() -> None:
    """A fresh interpreter: `import spanward.sdk` brings in neither Arrow nor any other part of the lake."""
    heavy = ("pyarrow", "deltalake", "duckdb", "numpy", "grpc")
    code = f"import sys, spanward.sdk; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_documented() -> None:
    """Everything that `spanward.sdk` exports has a docstring."""
    import spanward.sdk

    assert all(getattr(spanward.sdk, name).__doc__ for name in spanward.sdk.__all__)
    assert spanward.sdk.Spanward is Spanward
