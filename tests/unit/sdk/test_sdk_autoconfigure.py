"""The configurator and the exporter that OpenTelemetry finds through entry points."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._configuration import _BaseConfigurator, _OTelSDKConfigurator
from opentelemetry.sdk.trace import TracerProvider

from spanward.sdk import autoconfigure, session
from spanward.sdk.autoconfigure import SpanwardConfigurator, SpanwardSpanExporter, governed_names, is_asked_for
from spanward.store.errors import ConfigurationError
from tests.unit.sdk.sdk_collector import Collector, attributes

EMAIL = "jo.frost@example.com"


@pytest.fixture(autouse=True)
def fresh_process(no_global_provider: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No provider before the test, none of its threads after it, and the environment put back."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "")
    yield
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """SPANWARD_POLICY names no file: an error that says so, and no exporter that lets everything through."""
    monkeypatch.setenv("SPANWARD_POLICY", "no/such/policy.yaml")
    with pytest.raises(ConfigurationError, match=r"policy\.yaml"):
        SpanwardSpanExporter()


@pytest.mark.parametrize(
    ("named", "governed"),
    [
        ("", ["spanward"]),
        ("none", ["none"]),
        ("otlp", ["spanward"]),
        ("otlp_proto_http, console ,otlp", ["spanward", "console"]),
        ("spanward,otlp", ["spanward"]),
    ],
)
def test_stock_otlp_exporters_are_replaced_by_the_governed_one(named: str, governed: list[str]) -> None:
    """Whoever asks for this configurator does not want a raw exporter beside it."""
    assert governed_names(named) == governed


@pytest.mark.parametrize(
    ("configurator", "exporters", "asked"),
    [(None, "", False), ("sdk", "otlp", False), ("spanward", "", True), (None, "console, spanward", True)],
)
def test_it_acts_only_when_asked_by_name(
    monkeypatch: pytest.MonkeyPatch,
    configurator: str | None,
    exporters: str,
    asked: bool,
) -> None:
    """Being installed is not being asked."""
    if configurator is not None:
        monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", configurator)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporters)
    assert is_asked_for() is asked


def test_asked_for_it_sets_up_governed_tracing(monkeypatch: pytest.MonkeyPatch, http_endpoint: Collector) -> None:
    """OTEL_PYTHON_CONFIGURATOR=spanward with the distro's default exporter: governed spans with session ids arrive."""
    monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "spanward")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", http_endpoint.endpoint)
    SpanwardConfigurator().configure(auto_instrumentation_version="1")  # type: ignore[no-untyped-call]  # the base class declares no types
    assert os.environ["OTEL_TRACES_EXPORTER"] == "spanward"
    with session(session_id="s1"):
        trace.get_tracer("test").start_span(f"mail to {EMAIL}").end()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    assert provider.force_flush()
    (span,) = http_endpoint.spans()
    assert EMAIL not in span.name
    assert attributes(span)["session.id"] == "s1"


class Recording(_BaseConfigurator):
    """Somebody else's configurator."""

    calls: list[dict[str, Any]] = []  # noqa: RUF012 - a list of one test

    def _configure(self, **kwargs: Any) -> None:
        self.calls.append(kwargs)


class Unloadable(EntryPoint):
    """An entry point whose module is gone."""

    def load(self) -> Any:
        """Fail."""
        raise ImportError("gone")


class Loadable(EntryPoint):
    """An entry point that leads to `Recording`."""

    def load(self) -> Any:
        """The class."""
        return Recording


def test_not_asked_for_the_next_configurator_takes_over(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another package's configurator gets the call that it would have got without us; a broken one is skipped."""
    group = "opentelemetry_configurator"
    found = (EntryPoint("spanward", "x:y", group), Unloadable("broken", "x:y", group), Loadable("theirs", "x:y", group))
    monkeypatch.setattr(autoconfigure, "entry_points", lambda **_: found)
    SpanwardConfigurator().configure(auto_instrumentation_version="1")  # type: ignore[no-untyped-call]  # the base class declares no types
    assert Recording.calls == [{"auto_instrumentation_version": "1"}]
    assert "broken cannot be loaded" in caplog.text


def test_not_asked_for_and_alone_the_sdk_configures_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other configurator: the SDK's own, as it is."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(autoconfigure, "entry_points", lambda **_: ())
    monkeypatch.setattr(_OTelSDKConfigurator, "_configure", lambda _self, **kwargs: calls.append(kwargs))
    SpanwardConfigurator().configure(one=1)  # type: ignore[no-untyped-call]  # the base class declares no types
    assert calls == [{"one": 1}]


def test_the_entry_points_lead_here() -> None:
    """What pyproject.toml promises to OpenTelemetry."""
    (configurator,) = entry_points(group="opentelemetry_configurator", name="spanward")
    (exporter,) = entry_points(group="opentelemetry_traces_exporter", name="spanward")
    assert configurator.load() is SpanwardConfigurator
    assert exporter.load() is SpanwardSpanExporter


def test_the_exporter_writes_into_a_lake_when_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """SPANWARD_LAKE: no endpoint is needed."""
    monkeypatch.setenv("SPANWARD_LAKE", str(tmp_path / "lake"))
    exporter = SpanwardSpanExporter()
    assert exporter.force_flush()
    exporter.shutdown()
    assert (tmp_path / "lake" / "meta.json").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/sdk.md"])
def test_who_reads_of_the_command_reads_how_to_install_it(page: str) -> None:
    """Scenario: an environment without opentelemetry-instrument. Guarantee: the page names its package."""
    (command,) = entry_points(group="console_scripts", name="opentelemetry-instrument")
    assert command.dist is not None
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    assert re.search(rf"pip install \S+ {command.dist.name}\b", text)
