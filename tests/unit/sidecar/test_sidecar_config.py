"""Configuration: every mistake is one line that names the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from spanward.sidecar.component import Kind
from spanward.sidecar.config import DEFAULT_YAML, load, parse
from spanward.store.errors import ConfigurationError

MINIMAL = """
receivers: {otlp: {}}
processors: {policy: {}}
exporters: {memory: {}}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [policy], exporters: [memory]}
"""


def changed(text: str, path: str, value: object) -> str:
    """The configuration with one key set."""
    document = yaml.safe_load(text)
    *parents, last = path.split(".")
    node = document
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value
    return yaml.safe_dump(document)


def test_the_default_listens_on_loopback_only() -> None:
    """Scenario: no --config. Guarantee: the documented ports, all on 127.0.0.1."""
    text = yaml.safe_dump(load(None).effective())
    for port in (4317, 4318, 13133, 17271, 8888):
        assert f"127.0.0.1:{port}" in text
    assert "0.0.0.0" not in text  # noqa: S104 - that is what must not be there


def test_the_effective_configuration_shows_no_secret() -> None:
    """Scenario: a header from the environment. Guarantee: its name is printed, its value not; a reader asks for it."""
    text = """
    receivers: {otlp: {}}
    processors: {policy: {}}
    exporters: {otlp/backup: {endpoint: "localhost:4317", headers: {api-key: "${env:KEY}"}}}
    service: {pipelines: {traces: {receivers: [otlp], processors: [policy], exporters: [otlp/backup]}}}
    """
    printed = yaml.safe_dump(parse(text, source="test", environment={"KEY": "hunter2"}).effective())
    assert "api-key" in printed
    assert "hunter2" not in printed
    with pytest.raises(ConfigurationError, match="NOT_SHOWN"):
        parse(printed, source="printed", environment={})


def test_the_effective_configuration_is_a_configuration() -> None:
    """Scenario: --print-config > file; --config file. Guarantee: it reads back and means the same."""
    effective = load(None).effective()
    again = parse(yaml.safe_dump(effective), source="printed").effective()
    assert again == effective


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", ["not valid YAML"]),
        ("- a", ["mapping", "service"]),
        ("receivers: {}", ["service", "required"]),
        (changed(MINIMAL, "recievers", {}), ["recievers", "unknown key"]),
        (changed(MINIMAL, "exporters.memory", {"colour": 1}), ["exporters.memory.colour", "unknown key"]),
        (changed(MINIMAL, "exporters.teapot", {}), ["exporters.teapot", "no exporter of type 'teapot'", "memory"]),
        (changed(MINIMAL, "exporters.Tea pot", {}), ["exporters.Tea pot", "type/name"]),
        (changed(MINIMAL, "service.extensions", ["jaeger"]), ["service.extensions", "'jaeger' is not configured"]),
        (changed(MINIMAL, "service.pipelines.logs", {}), ["service.pipelines.logs.receivers", "required"]),
        (changed(MINIMAL, "service.telemetry", {"logs": {"level": "loud"}}), ["service.telemetry.logs.level"]),
        (
            changed(MINIMAL, "exporters.memory", {"max_batches": "${env:SPANWARD_NOT_SET}"}),
            ["SPANWARD_NOT_SET", "not set"],
        ),
    ],
)
def test_a_mistake_is_named(text: str, words: list[str]) -> None:
    """Scenario: one mistake in the file. Guarantee: ConfigurationError names the file, the key and what to do."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, source="sidecar.yaml", environment={})
    message = str(caught.value)
    assert message.startswith("sidecar.yaml")
    for word in words:
        assert word in message


def test_other_signals_are_refused_by_name() -> None:
    """Scenario: a logs pipeline. Guarantee: said plainly."""
    pipeline = {"receivers": ["otlp"], "processors": ["policy"], "exporters": ["memory"]}
    with pytest.raises(ConfigurationError, match="only 'traces' pipelines exist"):
        parse(changed(MINIMAL, "service.pipelines.logs", pipeline), source="x")


def test_an_exporter_belongs_to_one_pipeline() -> None:
    """Scenario: two pipelines name one exporter, whose cursor counts one log. Guarantee: refused with the remedy."""
    text = changed(MINIMAL, "receivers.otlp/2", {})
    pipeline = {"receivers": ["otlp/2"], "processors": ["policy"], "exporters": ["memory"]}
    with pytest.raises(ConfigurationError, match=r"belongs to pipeline 'traces'.*'memory/2'"):
        parse(changed(text, "service.pipelines.traces/2", pipeline), source="x")


def test_secret_values_stay_out_of_errors() -> None:
    """Scenario: a secret stands where another type belongs. Guarantee: the message names the key, not the value."""
    with pytest.raises(ConfigurationError) as caught:
        parse(changed(MINIMAL, "exporters.memory", {"max_batches": "hunter2"}), source="x")
    assert "hunter2" not in str(caught.value)


def test_variables_come_from_the_environment() -> None:
    """Scenario: ${env:…}, a default, a typed value and an escaped dollar. Guarantee: as in the Collector."""
    text = changed(MINIMAL, "exporters.memory", {"max_batches": "${env:N}"})
    text = changed(text, "service.telemetry", {"metrics": {"endpoint": "${env:HOST:-localhost}:1$$2"}})
    config = parse(text, source="x", environment={"N": "7"})
    assert config.spec(Kind.EXPORTER, "memory").config.model_dump()["max_batches"] == 7
    assert config.settings.service.telemetry.metrics.endpoint == "localhost:1$2"


def test_a_variable_that_is_no_yaml_is_named() -> None:
    """Scenario: the environment holds an unfinished list. Guarantee: one error, not a traceback."""
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        parse(changed(MINIMAL, "exporters.memory", {"max_batches": "${env:N}"}), source="x", environment={"N": "[1"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Scenario: --config leads nowhere. Guarantee: the path and the reason."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")


def test_the_default_text_is_what_runs() -> None:
    """Scenario: a reader of the source. Guarantee: load(None) is DEFAULT_YAML."""
    assert load(None).effective() == parse(DEFAULT_YAML, source="x").effective()
